import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { randomKey } from '../../../src/core/random.js';
import { pixelBatch } from '../../../src/data/index.js';
import { testReadings } from '../../../src/evaluation/test-readings.js';
import type { Model } from '../../../src/flow/model.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { createModel } from '../../../src/models/registry.js';
import { noisyImages } from '../../../src/training/batches/index.js';
import { findExperiment } from '../../../workbook/experiments/index.js';
import { noisyTensor, testImages } from '../../../workbook/notebook/dataset-images.js';
import { temporaryFolder } from '../../temporary-folder.js';
import { madeUpImages } from '../../training/small.js';

let folder: string;
vi.mock(import('../../../workbook/records/results-folder.js'), async (original) => {
  const resultsFolder = () => path.join(folder, 'results');
  const run = () => process.env.TARFLOW_RESULTS || resultsFolder();
  return { ...(await original()), resultsFolder, resultFile: (name) => path.join(run(), name) };
});

let model: Model;
beforeAll(async () => {
  model = createModel(findExperiment('fashion-mnist-conditional').config, 1);
  return () => disposeModel(model);
});
beforeEach(() => {
  vi.stubEnv('TARFLOW_QUICK', '');
  vi.stubEnv('TARFLOW_RESULTS', '');
  folder = temporaryFolder();
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const request = () => ({
  models: { first: model, second: model },
  measure: 'FD',
  reason: 'a figure of a notebook',
});
const ledger = (where = 'results') => path.join(folder, where, 'test-readings.jsonl');

test('test images come with a line in the ledger for each model', async () => {
  const said = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  const one = { ...request(), models: { first: model } };
  const data = await testImages('fashion-mnist', one);
  expect([data.split, data.length]).toEqual(['test', 10_000]);
  expect(said).not.toHaveBeenCalled();
  const [reading, ...more] = await testReadings(ledger());
  expect(more).toEqual([]);
  expect(reading).toMatchObject({ model: 'first', data: 'fashion-mnist', measure: 'FD' });
  // Both names have the same weights.
  await testImages('fashion-mnist', request());
  expect(said.mock.calls.flat().join('\n')).toMatch(
    /^first; FD: .* once before.*\nsecond; FD: .* 2 times/,
  );
  expect(await testReadings(ledger())).toHaveLength(3);
});

test('a run with a folder of its own counts what is committed, and leaves it', async () => {
  const said = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  const one = { ...request(), models: { first: model } };
  await testImages('fashion-mnist', one);
  vi.stubEnv('TARFLOW_RESULTS', path.join(folder, 'run'));
  await testImages('fashion-mnist', one);
  expect(said.mock.calls.flat().join('\n')).toContain('once before');
  expect(await testReadings(ledger())).toHaveLength(1);
  expect(await testReadings(ledger('run'))).toHaveLength(1);
});

test('in quick mode nothing is written', async () => {
  vi.stubEnv('TARFLOW_QUICK', '1');
  expect((await testImages('fashion-mnist', request())).split).toBe('test');
  expect(fs.readdirSync(folder)).toEqual([]);
});

test('images with the noise of training, as a tensor', () => {
  const data = madeUpImages('test', 5);
  const noise = { kind: 'gaussian', sigma: 0.1 } as const;
  const x = noisyTensor(data, [4, 1], noise, randomKey(3));
  expect(x.shape).toEqual([2, 1, 4, 4]);
  expect([...x.dataSync()]).toEqual([
    ...noisyImages(pixelBatch(data, [4, 1]), noise, randomKey(3)),
  ]);
});
