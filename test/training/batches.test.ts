import { expect, test } from 'vitest';
import { type Batch, type BatchPlan, batchMaker, batchSource } from '../../src/training/batches.js';
import { madeUpImages, smallConfig, smallSettings } from './small.js';

const data = madeUpImages('train', 50);
const plan: BatchPlan = { config: smallConfig, settings: { ...smallSettings, flip: true }, data };

async function taken(first: number, end: number): Promise<Batch[]> {
  const source = batchSource(plan, first, end);
  const batches: Batch[] = [];
  try {
    for (let step = first; step < end; step++) batches.push(await source.next());
  } finally {
    await source.close();
  }
  return batches;
}

test('a batch depends on the seed and its step alone', () => {
  const make = batchMaker(plan);
  // Six steps an epoch: the tenth is of the second.
  const tenth = make(10);
  expect(make(3)).not.toEqual(tenth);
  expect(make(10)).toEqual(tenth);
  expect(batchMaker(plan)(10)).toEqual(tenth);
  const settings = { ...plan.settings, seed: plan.settings.seed + 1 };
  expect(batchMaker({ ...plan, settings })(10)).not.toEqual(tenth);
});

test.each([
  ['here', 3, 20],
  ['in a thread of its own', 3, 203],
])('the batches of a run, made %s, are those of its steps', async (_, first, end) => {
  const make = batchMaker(plan);
  const expected = Array.from({ length: end - first }, (_, i) => make(first + i));
  expect(await taken(first, end)).toEqual(expected);
});

test('a thread that fails says why', async () => {
  const broken = { ...data, labels: data.labels.map(() => 7) };
  const source = batchSource({ ...plan, data: broken }, 0, 200);
  try {
    await expect(source.next()).rejects.toThrow(/Label 7 of sample \d+ is out of range/);
  } finally {
    await source.close();
  }
});

test('a thread can be closed at any time', async () => {
  const source = batchSource(plan, 0, 200);
  await source.next();
  await source.close();
  await source.close();
});
