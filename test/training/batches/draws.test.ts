import { expect, test } from 'vitest';
import { drawsFrom } from '../../../src/training/batches/index.js';

test('a new run draws for each sample from the start', () => {
  expect(drawsFrom([], 0)).toEqual([{ from: 0, by: 'sample' }]);
});

test('a run of before draws were recorded changes where it is resumed, once', () => {
  const changed = [
    { from: 0, by: 'batch' },
    { from: 1234, by: 'sample' },
  ];
  expect(drawsFrom(undefined, 1234)).toEqual(changed);
  expect(drawsFrom(drawsFrom(undefined, 1234), 1234)).toEqual(changed);
  expect(drawsFrom(drawsFrom(undefined, 1234), 2000)).toEqual(changed);
});

test('such a run that saved nothing begins anew', () => {
  expect(drawsFrom(undefined, 0)).toEqual([{ from: 0, by: 'sample' }]);
});
