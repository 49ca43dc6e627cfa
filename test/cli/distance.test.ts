import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { startEngine } from '../../src/backend/engine.js';
import { tf } from '../../src/backend/tf.js';
import { imagesTensor, loadDataset, pixelBatch } from '../../src/data/index.js';
import { frechetDistance } from '../../src/evaluation/distances/frechet.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { classifierFeatures, disposeClassifier, loadClassifier } from '../../src/models/index.js';
import { expectRefused, tarflow, temporaryFolder } from './command-line.js';

beforeAll(async () => {
  await startEngine();
});

const judge = path.join('results', 'checkpoints', 'fashion-mnist-classifier.safetensors');
const network = ['--network', `classifier:${judge}`];

describe('tarflow distance', () => {
  test('is what the library computes, with the floor beside it', async () => {
    const before = tf.memory().numTensors;
    const { code, stdout } = await tarflow(
      ...['distance', 'fashion-mnist/validation', 'fashion-mnist/train', ...network],
      ...['--floor', 'fashion-mnist/train', '--count', '100', '--json'],
    );
    expect(code).toBe(0);
    expect(tf.memory().numTensors).toBe(before);
    const outcome = JSON.parse(stdout);
    expect(outcome).toMatchObject({
      network: 'fashion-mnist-classifier',
      images: 100,
      realImages: 100,
      // The floor is the real set itself here.
      floor: { images: 100, precision: 1, recall: 1, coverage: 1 },
    });
    expect(outcome.floor.frechet).toBeLessThan(1e-6);
    const classifier = await loadClassifier(judge);
    const [a, b] = await Promise.all(
      (['validation', 'train'] as const).map(async (split) => {
        const data = await loadDataset('fashion-mnist', split);
        const images = imagesTensor(
          data,
          Array.from({ length: 100 }, (_, i) => i),
        );
        const { features, logits } = classifierFeatures(classifier, images);
        tf.dispose([images, logits]);
        return features;
      }),
    );
    expect(outcome.frechet).toBeCloseTo(frechetDistance(a!, b!), 6);
    expect(outcome.kernel.deviation).toBeGreaterThan(0);
    expect(outcome.precision).toBeGreaterThan(0.3);
    disposeClassifier(classifier);
    tf.dispose([a!, b!]);
  });

  test('takes samples and folders of pictures, and prints a table', async () => {
    const folder = temporaryFolder();
    const data = await loadDataset('fashion-mnist', 'train');
    const images = imagesTensor(
      data,
      Array.from({ length: 40 }, (_, i) => i),
    );
    const samples = path.join(folder, 'samples.safetensors');
    await writeSafetensors(samples, {
      images: { dtype: 'F32', shape: images.shape, data: images.dataSync() as Float32Array },
    });
    images.dispose();
    const { code, stdout } = await tarflow(
      'distance',
      samples,
      'fashion-mnist/train',
      ...network,
      '--count',
      '40',
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/40 images against 40 real ones/);
    expect(stdout).toMatch(/Fréchet distance +0\.000\n/);
    expect(stdout).toMatch(/coverage +1\.000/);
    const pictures = path.join(folder, 'pictures');
    fs.mkdirSync(pictures);
    const raw = { width: 28, height: 28, channels: 1 } as const;
    for (let i = 0; i < 40; i++) {
      const picture = sharp(pixelBatch(data, [i]), { raw }).toColourspace('b-w');
      await picture.toFile(path.join(pictures, `${String(i).padStart(2, '0')}.png`));
    }
    const again = await tarflow(
      ...['distance', pictures, samples, ...network, '--floor', 'fashion-mnist/train'],
      ...['--count', '40'],
    );
    expect(again.stderr).not.toMatch(/tarflow:/);
    expect(again.stdout).toMatch(/Fréchet distance +0\.000 +0\.000\n/);
  });

  test('mistakes are told in one message', async () => {
    const folder = temporaryFolder();
    const empty = path.join(folder, 'empty');
    fs.mkdirSync(empty);
    await expectRefused(
      'distance',
      folder,
      [
        ['no-such', ['fashion-mnist/train'], /no images 'no-such'.*\n?.*fashion-mnist/],
        [empty, ['fashion-mnist/train'], /holds no images/],
        ['fashion-mnist/validation', ['fashion-mnist/other'], /other/],
        [
          'fashion-mnist/train',
          ['fashion-mnist/train', '--floor', 'fashion-mnist/validation'],
          /validation has 5000 images for a floor of 9000.*\n?.*--count 5000/,
        ],
        ['fashion-mnist/train', ['fashion-mnist/train', '--network', 'inception'], /'inception'/],
      ],
      ['--count', '9000'],
    );
  });
});
