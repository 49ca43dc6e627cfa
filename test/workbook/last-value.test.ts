import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { imageDataset } from '../../src/data/index.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { createModel } from '../../src/models/registry.js';
import { imageGrid } from '../../src/show/image-grid.js';
import { lineChart } from '../../workbook/charts/builders.js';
import { lastValueView } from '../../workbook/last-value.js';

let before = 0;

beforeEach(() => {
  before = tf.memory().numTensors;
});

afterEach(() => {
  expect(tf.memory().numTensors).toBe(before);
});

const pngStart = /^iVBORw0KGgo/;

describe('the last value of a cell', () => {
  test('a tensor: shape, type, statistics, numbers where they are few', async () => {
    const tensor = tf.tensor2d([
      [1, 2],
      [3, Number.NaN],
    ]);
    const view = await lastValueView(tensor);
    tensor.dispose();
    expect(view?.data['text/plain']).toBe(
      'Tensor float32 (2, 2)\n1 to 3, mean 2, standard deviation 0.8165, 1 not finite\n1  2  3  NaN',
    );
    expect(view?.data).not.toHaveProperty('image/png');
    expect((await lastValueView(tensor))?.data['text/plain']).toBe(
      'Tensor float32 (2, 2), disposed',
    );
  });

  test('a tensor of images: their picture; of words or of no numbers: its shape', async () => {
    const images = tf.zeros([70, 1, 8, 8]);
    const view = await lastValueView(images);
    expect(view?.data['image/png']).toMatch(pngStart);
    expect(view?.data['text/plain']).toMatch(/^Tensor float32 \(70, 1, 8, 8\)\n0 to 0/);
    const words = tf.tensor1d(['a', 'b']);
    expect((await lastValueView(words))?.data['text/plain']).toBe('Tensor string (2)');
    const none = tf.zeros([0, 3]);
    expect((await lastValueView(none))?.data['text/plain']).toBe('Tensor float32 (0, 3)');
    tf.dispose([images, words, none]);
  });

  test('a model: its parts and their parameters', async () => {
    const image = { channels: 1, height: 8, width: 8 };
    const shape = { patchSize: 4, channels: 16, blocks: 2, layersPerBlock: 1, headWidth: 8 };
    const config = { kind: 'tarflow', image, classes: 3, ...shape, volumePreserving: false };
    const model = createModel(config, 1);
    const view = await lastValueView(model);
    const text = view?.data['text/plain'] ?? '';
    expect(text).toMatch(/^tarflow \S+: images 1 × 8 × 8, 3 classes, [\d,]+ parameters\n/);
    expect(text).toMatch(/\nblocks\.0 +\d+ +[\d,]+\nblocks\.1 /);
    expect(view?.data['text/html']).toContain('<table>');
    disposeModel(model);
  });

  test('a data set: a contact sheet', async () => {
    const data = imageDataset({
      name: 'made',
      split: 'train',
      image: { channels: 1, height: 4, width: 4 },
      classes: ['only'],
      pixels: new Uint8Array(3 * 16),
      labels: new Int32Array(3),
      licence: 'none',
    });
    const view = await lastValueView(data);
    expect(view?.data['text/plain']).toBe('made (train): 3 samples, 1 × 4 × 4');
    expect(view?.data['image/png']).toMatch(pngStart);
  });

  test('a chart, a picture, images on the host, traces of a solver', async () => {
    const rows = [{ x: 1, y: 1 }];
    const chart = await lastValueView(lineChart({ title: 'Squares', rows, x: 'x', y: 'y' }));
    expect(Object.keys(chart?.data ?? {})).toHaveLength(3);
    expect(chart?.metadata['image/png']?.width).toBeGreaterThan(50);
    const images = { data: new Float32Array(2 * 16), shape: [2, 1, 4, 4] as const };
    expect((await lastValueView(images))?.data['image/png']).toMatch(pngStart);
    expect((await lastValueView(await imageGrid(images)))?.data['image/png']).toMatch(pngStart);
    const trace = {
      ...{ block: 0, solver: { kind: 'sequential' }, evaluations: 16, evaluatedTokens: 64 },
      ...{ iterations: [], unconverged: [], fallbacks: [], milliseconds: 12 },
    };
    const table = (await lastValueView([trace]))?.data['text/plain'];
    expect(table).toMatch(/block +solver +iterations[\s\S]*\n +0 +sequential +0 +16 +64 +0 +12$/);
  });

  test('a claim that was recorded: how many figures, in place of its whole record', async () => {
    const claim = {
      ...{ id: 'design', title: 'Kinds', command: 'npm run workbook' },
      figures: { a: 1 },
      ...{
        read: ['a'],
        configuration: {},
        seed: 1,
        cost: {},
        versions: {},
        weights: {},
        elsewhere: [],
        date: '',
      },
    };
    expect((await lastValueView(claim))?.data['text/plain']).toBe(
      'design: 1 figure recorded, 1 of them read from earlier runs',
    );
  });

  test('anything else is left to the kernel', async () => {
    for (const value of [{}, [], [1], new Map(), () => 1, new Uint8Array(8), { mark: 'x' }]) {
      expect(await lastValueView(value)).toBeUndefined();
    }
  });
});
