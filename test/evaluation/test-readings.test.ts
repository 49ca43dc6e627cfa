import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { leaves, tf } from '../../src/core/index.js';
import {
  earlierReadingsText,
  openTestSplit,
  testReadings,
  weightsDigest,
} from '../../src/evaluation/test-readings.js';
import { disposeModel, type Model } from '../../src/flow/index.js';
import { createModel } from '../../src/models/registry.js';
import { noiseExperiment } from '../../workbook/experiments/index.js';
import { temporaryFolder } from '../temporary-folder.js';
import { tinyImages } from '../workbook/reproduction/tiny.js';

const { config } = noiseExperiment('fashion-mnist', { kind: 'gaussian', sigma: 0.1 });

function someModel(seed: number): Model {
  const model = createModel(config, seed);
  onTestFinished(() => disposeModel(model));
  return model;
}

const someLedger = (): string => path.join(temporaryFolder(), 'results', 'ledger.jsonl');

const images = (split: 'test' | 'train') => () =>
  tinyImages('digits', split, { channels: 1, classes: 3 });

test('a second reading of the same weights, data and measure is told', async () => {
  const ledger = someLedger();
  const [model, other] = [someModel(1), someModel(2)];
  const request = {
    model,
    name: 'a model',
    measure: 'bits per dimension',
    reason: 'Table 2',
    ledger,
  };
  const first = await openTestSplit(images('test'), request);
  expect(first.data.split).toBe('test');
  expect(first.earlier).toEqual([]);
  expect(earlierReadingsText(first)).toBeUndefined();
  // Other weights, and another measure, are other figures.
  const trainedOn = await openTestSplit(images('test'), { ...request, model: other });
  expect(trainedOn.earlier).toEqual([]);
  expect(earlierReadingsText(trainedOn)).toMatch(
    /^The test split has been read for other weights of this name once before, last on [-\d]+ \(Table 2\)\. Do not/,
  );
  expect((await openTestSplit(images('test'), { ...request, measure: 'FD' })).earlier).toEqual([]);
  const copy = await openTestSplit(images('test'), { ...request, name: 'its copy' });
  expect(copy.earlier).toHaveLength(1);
  expect(copy.otherWeights).toEqual([]);
  expect(earlierReadingsText(copy)).toMatch(/once before, last on \d{4}-\d\d-\d\d \(Table 2\)/);
  const readings = await testReadings(ledger);
  expect(readings.map(({ model: name }) => name)).toEqual([
    ...['a model', 'a model', 'a model', 'its copy'],
  ]);
  expect(new Set(readings.map(({ weights }) => weights)).size).toBe(2);
  expect(readings[0]).toMatchObject({ data: 'digits', weights: weightsDigest(model) });
});

test('readings at the same time are all written down, after whatever is there', async () => {
  const ledger = someLedger();
  const request = { model: someModel(1), measure: 'FD', reason: 'why', ledger };
  await openTestSplit(images('test'), { ...request, name: 'first' });
  fs.writeFileSync(ledger, fs.readFileSync(ledger, 'utf8').trimEnd());
  const names = ['second', 'third', 'fourth', 'fifth'];
  await openTestSplit(images('test'), { ...request, name: 'alone' });
  await Promise.all(names.map((name) => openTestSplit(images('test'), { ...request, name })));
  const written = (await testReadings(ledger)).map(({ model }) => model);
  expect(written.slice(0, 2)).toEqual(['first', 'alone']);
  expect(written.slice(2).sort()).toEqual([...names].sort());
});

test('a digest tells of every number, and of none that is not there', () => {
  const [model, same] = [someModel(3), someModel(3)];
  expect(weightsDigest(model)).toBe(weightsDigest(same));
  const [, leaf] = Object.entries(leaves(same.parameters)).at(-1) as [string, tf.Tensor];
  const changed = { ...same, parameters: tf.add(leaf, 1e-6) };
  expect(weightsDigest(changed)).not.toBe(weightsDigest(model));
});

test('what cannot be written down is not read', async () => {
  const ledger = someLedger();
  const request = { model: someModel(1), name: 'm', measure: 'FD', reason: 'why', ledger };
  await expect(openTestSplit(images('test'), { ...request, reason: ' ' })).rejects.toThrow(
    /No reason came/,
  );
  await expect(openTestSplit(images('train'), request)).rejects.toThrow(/split 'train'/);
  expect(fs.existsSync(ledger)).toBe(false);
  await openTestSplit(images('test'), request);
  fs.appendFileSync(ledger, '{"date": "yesterday"}\n');
  await expect(testReadings(ledger)).rejects.toThrow(
    /line 2, a reading of a test split, does not fit: date/,
  );
  await expect(openTestSplit(images('test'), request)).rejects.toThrow(/Restore the file/);
});
