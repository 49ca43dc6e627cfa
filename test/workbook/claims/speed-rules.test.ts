import { expect, test } from 'vitest';
import {
  bottleneck,
  boundedBySteps,
  laterBlocksTakeFew,
  leansOnNearTokens,
  overAuthorsLoop,
  overCompiledLoop,
  sameQuality,
  timesAsFast,
} from '../../../workbook/claims/speed-rules.js';
import type {
  Acceleration,
  AuthorsLoopFlow,
  PaperSizeRow,
} from '../../../workbook/records/record.js';

/** Rows of one image whose loops take so many times as long as an evaluation. */
const sizes = (...multiples: number[]) =>
  multiples.map(
    (multiple): PaperSizeRow => ({
      ...{ model: '2-768-8-8', tokens: 1024, precision: 'float32', batch: 1, execution: '' },
      loopSeconds: [multiple, 100 * multiple, multiple],
      evaluationSeconds: [1, 1, 1],
    }),
  );

test('S1 holds where each of three loops takes ten times as long, and is open with fewer', () => {
  expect(bottleneck(sizes(10, 11, 12), 1)).toBe(true);
  expect(bottleneck(sizes(9, 11, 12), 1)).toBe('in part');
  expect(bottleneck(sizes(9, 9, 9), 1)).toBe(false);
  expect(bottleneck(sizes(10, 11), 1)).toBeUndefined();
  expect(bottleneck(sizes(10, 11, 12), 8)).toBeUndefined();
  const half = sizes(20).map((row) => ({ ...row, precision: 'bfloat16' as const }));
  expect(bottleneck([...sizes(9, 9, 9), ...half], 1)).toBe(false);
});

/** A flow of 101 tokens whose SeJD is so many times as fast at eight images. */
function flow(speed: number, rise = 0, later = 25): AuthorsLoopFlow {
  const row = (batch: number, strategy: string, seconds: number) => ({
    ...{ batch, strategy, evaluations: [100, later, 3], seconds: [seconds] },
    ...{ rms: 0, largest: 0, notFinite: 0 },
  });
  const sample = { FD: 10, error: 1, riseError: 1, n: 2000, notFinite: 0 };
  return {
    ...{ model: 'a flow', tokens: 101, guidance: 0, annealed: false, seed: 0, threads: 2 },
    chosen: null,
    rows: [
      row(1, 'sequential', 1),
      row(1, 'SeJD, published rule', 5),
      row(8, 'sequential', speed),
      row(8, 'SeJD, published rule', 1),
    ],
    quality: [
      { ...sample, strategy: 'sequential', rise: 0 },
      { ...sample, strategy: 'SeJD', rise },
    ],
  };
}

test('S5 and S6 over the authors’ loop are judged at eight images, in each of three flows', () => {
  expect(overAuthorsLoop([flow(2), flow(3), flow(4)], 'SeJD')).toBe(true);
  expect(overAuthorsLoop([flow(1.9), flow(3), flow(4)], 'SeJD')).toBe('in part');
  expect(overAuthorsLoop([flow(1), flow(1), flow(1)], 'SeJD')).toBe(false);
  expect(overAuthorsLoop([flow(2), flow(3)], 'SeJD')).toBeUndefined();
  // A strategy without a setting is not fast.
  expect(timesAsFast(flow(2), 'GS-Jacobi', 8)).toBeUndefined();
  expect(overAuthorsLoop([flow(2), flow(3), flow(4)], 'GS-Jacobi')).toBe(false);
});

test('FD may rise by two errors of the difference, and later blocks take a quarter of the steps', () => {
  expect(sameQuality([flow(2, 2), flow(2, -9)], 'SeJD')).toBe(true);
  expect(sameQuality([flow(2, 2.1), flow(2)], 'SeJD')).toBe('in part');
  expect(sameQuality([flow(2, 3), flow(2, 3)], 'SeJD')).toBe(false);
  expect(sameQuality([flow(2)], 'SeJD')).toBeUndefined();
  expect(laterBlocksTakeFew([flow(1), flow(1), flow(1)])).toBe(true);
  expect(laterBlocksTakeFew([flow(1, 0, 26), flow(1), flow(1)])).toBe('in part');
  expect(boundedBySteps([flow(1, 0, 100), flow(1), flow(1)])).toBe(true);
  expect(boundedBySteps([flow(1, 0, 101), flow(1), flow(1)])).toBe('in part');
  expect(boundedBySteps([flow(1), flow(1)])).toBeUndefined();
});

test('over the compiled loop a strategy has to be clearly faster for one image', () => {
  const table = (times: number[], batch = 1) => ({
    model: 'a flow',
    table: {
      batch,
      rows: [
        { strategy: 'sequential', times: [10, 10, 10] },
        { strategy: 'SeJD, published rule', times },
      ],
    } as Acceleration,
  });
  const judged = (...times: number[][]) =>
    overCompiledLoop(
      [...times.map((of) => table(of)), table([1, 1, 1], 8)],
      'SeJD, published rule',
    );
  expect(judged([5, 5, 6], [8, 8, 8])).toBe(true);
  expect(judged([5, 5, 6], [4, 12, 13])).toBe('in part');
  expect(judged([11, 11, 12], [12, 12, 12])).toBe(false);
  expect(judged([5, 5, 6])).toBeUndefined();
});

test('redundancy is asked of each probe', () => {
  const judged = (small: number) =>
    leansOnNearTokens((_, name) => ({
      value: name.startsWith('image error') ? (name.includes('49 tokens') ? small : 16) : 10,
      error: undefined,
    }));
  expect([judged(16), judged(14)]).toEqual([true, 'in part']);
});
