import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { loadDataset } from '../../src/data/index.js';
import { datasetBitsPerDimension, testReadings } from '../../src/evaluation/index.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { createTarFlow, type TarFlowConfig } from '../../src/models/index.js';
import { type CheckpointDetails, saveCheckpoint } from '../../src/training/checkpoint.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { savedAutoencoder, smallConfig } from '../training/small.js';
import { refused, succeeds, tarflow, temporaryFolder } from './command-line.js';

const image = { channels: 1, height: 28, width: 28 };
const config: TarFlowConfig = { ...smallConfig, image, patchSize: 7, classes: 0 };

async function checkpoint(shape = config, details: CheckpointDetails = {}): Promise<string> {
  const file = path.join(temporaryFolder(), 'checkpoint.safetensors');
  const flow = createTarFlow(shape, 3);
  await saveCheckpoint(flow, file, details);
  disposeModel(flow);
  return file;
}

test('measures what the library measures', async () => {
  const file = await checkpoint();
  const before = tf.memory().numTensors;
  const data = ['--data', 'mnist-10k-subset'];
  const options = [...data, '--split', 'train', '--count', '20', '--seed', '3', '--json'];
  const { stdout } = await succeeds(tarflow('bpd', file, ...options));
  expect(tf.memory().numTensors).toBe(before);
  const flow = createTarFlow(config, 3);
  const { mean, standardError } = await datasetBitsPerDimension(
    flow,
    await loadDataset('mnist-10k-subset', 'train'),
    { count: 20, seed: 3 },
  );
  disposeModel(flow);
  expect(JSON.parse(stdout)).toMatchObject({
    checkpoint: file,
    data: 'mnist-10k-subset',
    split: 'train',
    images: 20,
    seed: 3,
    bitsPerDimension: mean,
    standardError,
  });
});

test('the standard error of one image is a dash, and absent from JSON', async () => {
  const file = await checkpoint();
  const options = ['--data', 'mnist-10k-subset', '--count', '1'];
  expect((await tarflow('bpd', file, ...options)).stdout).toMatch(/^\d+\.\d{4} ± – bits/);
  const outcome = JSON.parse((await tarflow('bpd', file, ...options, '--json')).stdout);
  expect(outcome).not.toHaveProperty('standardError');
  expect(outcome.byClass).toEqual([
    { class: expect.any(String), mean: outcome.bitsPerDimension, images: 1 },
  ]);
});

test('measures a folder of images, brought to the size of the model', async () => {
  const folder = temporaryFolder();
  fs.mkdirSync(path.join(folder, 'test'));
  for (const [name, width] of [
    ['a', 40],
    ['b', 90],
  ] as const) {
    const background = { r: 200, g: 100, b: 0 };
    await sharp({ create: { width, height: 60, channels: 3, background } }).toFile(
      path.join(folder, 'test', `${name}.png`),
    );
  }
  const file = await checkpoint();
  const ledger = path.join(folder, 'ledger.jsonl');
  const options = ['--data', `folder:${folder}`, '--split', 'test', '--ledger', ledger];
  const because = ['--reason', 'a test of folders'];
  const { code, stdout, stderr } = await tarflow('bpd', file, ...options, ...because, '--json');
  expect(code).toBe(0);
  expect(stderr).not.toMatch(/before/);
  expect(JSON.parse(stdout)).toMatchObject({ split: 'test', images: 2, byClass: [] });
  const again = await tarflow('bpd', file, ...options, ...because);
  expect(again.stderr).toMatch(/read for this figure once before, .*\(a test of folders\)/);
  // All runs call their checkpoint alike: another one is another model.
  const called = (one: string) => path.basename(path.dirname(one));
  expect(await testReadings(ledger)).toMatchObject([
    { model: called(file), measure: 'bits per dimension', reason: 'a test of folders' },
    { model: called(file) },
  ]);
  const other = await checkpoint({ ...config, channels: 12 });
  const unrelated = await succeeds(tarflow('bpd', other, ...options, ...because));
  expect(unrelated.stderr).not.toMatch(/before/);
  // What cannot be measured is not read.
  const written = await testReadings(ledger);
  const unfit = ['--data', 'emoji-base-64', '--split', 'test', '--ledger', ledger, ...because];
  await refused(tarflow('bpd', file, ...unfit));
  expect(await testReadings(ledger)).toEqual(written);
});

test('averages draws of the noise, and tells the classes apart', async () => {
  const file = await checkpoint();
  const options = ['--data', 'mnist-10k-subset', '--count', '30', '--json'];
  const run = async (...more: string[]) => {
    const { stdout } = await succeeds(tarflow('bpd', file, ...options, ...more));
    return JSON.parse(stdout);
  };
  const [one, three] = [await run(), await run('--draws', '3')];
  expect(three.draws).toBe(3);
  expect(three.bitsPerDimension).not.toBe(one.bitsPerDimension);
  expect(Math.abs(three.bitsPerDimension / one.bitsPerDimension - 1)).toBeLessThan(0.01);
  const { byClass } = three as { byClass: { images: number; mean: number; class: string }[] };
  expect(byClass.length).toBeGreaterThan(1);
  expect(byClass.reduce((sum, { images }) => sum + images, 0)).toBe(30);
  const total = byClass.reduce((sum, { images, mean }) => sum + images * mean, 0);
  expect(total / 30).toBeCloseTo(three.bitsPerDimension, 10);
});

test('takes the data set of the checkpoint, and warns where the noise was Gaussian', async () => {
  const noise = { kind: 'gaussian' as const, sigma: 0.1 };
  const file = await checkpoint(config, { dataset: 'mnist-10k-subset', noise });
  const { stdout, stderr } = await succeeds(tarflow('bpd', file, '--count', '10'));
  expect(stdout).toMatch(
    /^\d+\.\d{4} ± 0\.\d{4} bits per dimension \(10 images of mnist-10k-subset, validation; seed 0/,
  );
  expect(stderr).toContain('Gaussian noise');
});

test.each([
  [{ split: 'train' }, false],
  [{ split: 'train+validation' }, true],
])('%o: validation images that were trained on are told', async (details, told) => {
  const file = await checkpoint(config, { dataset: 'fashion-mnist', ...details });
  const { stderr } = await succeeds(tarflow('bpd', file, '--count', '4'));
  if (told) expect(stderr).toContain('was trained on these images, too');
  else expect(stderr).not.toContain('trained on these');
});

test("a user's mistake exits 2 and names the thing and the remedy", async () => {
  const file = await checkpoint();
  const small = await checkpoint({ ...config, image: { channels: 1, height: 14, width: 14 } });
  const latents = await checkpoint(config, { dataset: 'some latents', latents: { scale: 2 } });
  const vae = await savedAutoencoder(temporaryFolder());
  const data = ['--data', 'mnist-10k-subset'];
  const mistakes: [string, string[], RegExp][] = [
    [file, [], /does not say what it was trained on.*--data fashion-mnist/],
    [latents, [], /trained on latents, and bits per dimension are those of pixels/],
    [vae, [], /'vae' has no density\. It can encode images and decode latents .*; else choose/],
    [file, ['--data', 'cifar'], /Unknown data set 'cifar'.*mnist-10k-subset/],
    [file, [...data, '--split', 'valid'], /Unknown split 'valid'.*train, validation, test/],
    [file, [...data, '--split', 'test'], /for final figures.*Say why by --reason/],
    [file, [...data, '--split', 'test', '--reason', ''], /No reason came/],
    [file, [...data, '--reason', 'why'], /--reason came without a test split\. Add it, or leave/],
    [file, [...data, '--ledger', 'here.jsonl'], /--ledger came without a test split/],
    [file, [...data, '--count', '-3'], /Expected a whole number above 0/],
    [small, data, /mnist-10k-subset has images of 1×28×28.*takes 1×14×14/],
    [`${file}.none`, data, /none/],
  ];
  expectNoTensorsLeft();
  for (const [model, options, message] of mistakes) {
    expect(await refused(tarflow('bpd', model, ...options))).toMatch(message);
  }
});
