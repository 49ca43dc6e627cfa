import * as path from 'node:path';
import { expect, test } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { succeeds, tarflow, temporaryFolder } from './command-line.js';

const short = ['steps=3', 'batchSize=8', 'validateEvery=3', 'validationImages=8', 'saveEvery=3'];

test.each([
  ['fashion-mnist-maf', ['blocks=2', 'hiddenUnits=64']],
  ['fashion-mnist-coupling', ['stepsPerLevel=1', 'hiddenChannels=8']],
  [
    'design-even',
    ['layersPerBlock=1,1', 'patchSize=7', 'gridSide=4', 'channels=32', 'warmupSteps=1'],
  ],
])('%s is trained, measured and sampled by the same commands as a TarFlow', async (name, small) => {
  const folder = temporaryFolder();
  const run = path.join(folder, 'run');
  expectNoTensorsLeft();
  await succeeds(
    tarflow(...['train', '--experiment', name, '--out', run, '--set', ...small, ...short]),
  );
  const checkpoint = path.join(run, 'checkpoint.safetensors');
  const measured = await succeeds(
    tarflow('bpd', checkpoint, '--split', 'validation', '--count', '16', '--json'),
  );
  const { images, bitsPerDimension } = JSON.parse(measured.stdout);
  expect(images).toBe(16);
  expect(bitsPerDimension).toBeGreaterThan(1);
  expect(bitsPerDimension).toBeLessThan(12);
  const out = path.join(folder, 'samples.safetensors');
  await succeeds(tarflow('sample', checkpoint, '--count', '2', '--seed', '3', '--out', out));
  const { tensors } = await readSafetensors(out);
  expect(tensors.images?.shape).toEqual([2, 1, 28, 28]);
  expect(tensors.images?.data.every(Number.isFinite)).toBe(true);
});
