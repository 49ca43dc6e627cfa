import type { DataSource } from '../data/index.js';
import { type AccelerationRow, strategyRow } from '../evaluation/acceleration.js';
import { datasetBitsPerDimension } from '../evaluation/bits-per-dimension.js';
import { frechetDistance } from '../evaluation/distances/frechet.js';
import { earlierReadingsText, openTestSplit } from '../evaluation/test-readings.js';
import type { MeasureName } from '../papers/index.js';
import type { Solver } from '../sampling/solvers/solver.js';
import { convergenceRankingMetric } from '../sampling/study/metrics.js';
import type { Bench } from './bench.js';
import type { Asked } from './recipe.js';

/** A number that was measured here, with what it depends on. */
export interface Figure {
  value: number;
  standardError?: number;
  /** Images or samples behind it. */
  n: number;
  /** The feature network, for a distance. */
  network?: string;
  /** The same distance of real images of the validation split, of so many. */
  floor?: { value: number; n: number };
  /** Of each training, where there are several; the value is their mean. */
  values?: number[];
  /** What else has to be said. */
  note?: string;
}

/** How the test split is read, and where that is written down. */
export interface TestReadingPlace {
  ledger: string;
  open: () => Promise<DataSource>;
  /** What the model is called there. */
  model: string;
  reason: string;
}

/**
 * Takes a figure of a model on the bench.
 * @returns the figure, or in words why there is none
 */
export async function measured(
  bench: Bench,
  { measure, of }: Asked,
  place: TestReadingPlace,
): Promise<Figure | string> {
  const take = takers[measure];
  return take ? take(bench, of, place) : 'nothing here computes it';
}

type Taker = (
  bench: Bench,
  of: string | undefined,
  place: TestReadingPlace,
) => Promise<Figure | string>;

const takers: Partial<Record<MeasureName, Taker>> = {
  'bits per dimension': takeBits,
  'held-out loss': takeHeldOut,
  FID: takeDistance,
  time: takeTime,
  'time of a batch': takeTime,
  'speed-up': takeSpeedup,
  'iterations of a block': takeIterations,
  'share of CRM': takeShare,
};

async function takeBits(bench: Bench, _: string | undefined, place: TestReadingPlace) {
  const { flow, options } = bench;
  const { data, earlier } = await openTestSplit(place.open, {
    ...{ model: flow, name: place.model, measure: 'bits per dimension' },
    ...{ reason: place.reason, ledger: place.ledger },
  });
  const { mean, standardError, images } = await datasetBitsPerDimension(flow, data, {
    seed: options.seed,
    ...(options.images !== undefined && { count: options.images }),
    ...(options.signal && { signal: options.signal }),
    onProgress: (share) => options.onProgress?.(share, 'likelihood'),
  });
  const note = earlierReadingsText(earlier);
  return { value: mean, standardError, n: images, ...(note !== undefined && { note }) };
}

/** The last validation of the training, and whether the loss still fell. */
async function takeHeldOut({ validations = [] }: Bench): Promise<Figure | string> {
  const last = validations.at(-1);
  if (!last) return 'these weights came without the log of their training';
  const before = validations.filter(({ step }) => step <= 0.8 * last.step).at(-1);
  const change = before && Math.abs(last.loss - before.loss) / Math.abs(before.loss);
  return {
    value: last.loss,
    n: last.images,
    ...(change !== undefined && {
      note: `changed by ${(100 * change).toPrecision(2)} % over the last fifth of the steps`,
    }),
  };
}

/** Figures of several trainings as one: their mean, with its standard error. */
export function overTrainings(figures: readonly (Figure | string)[]): Figure | string {
  const [first] = figures;
  if (first === undefined || typeof first === 'string') return first ?? 'nothing was trained';
  const taken = figures.filter((figure): figure is Figure => typeof figure !== 'string');
  if (taken.length < 2) return first;
  const values = taken.map(({ value }) => value);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const notes = taken.flatMap(({ note }, i) => (note === undefined ? [] : [`${i + 1}: ${note}`]));
  return {
    ...first,
    value: mean,
    standardError: Math.sqrt(square / (values.length - 1) / values.length),
    values,
    ...(notes.length > 0 && { note: notes.join('; ') }),
  };
}

/** The names of strategies in the acceleration table, by the papers' names of methods. */
const strategyNames: Record<string, string> = {
  sequential: 'sequential',
  'GS-Jacobi': 'GS-Jacobi, published form',
  'Jacobi in all blocks': 'Jacobi',
  SeJD: 'SeJD, published rule',
};

/** A method's row of the acceleration table; undefined for what is no method. */
async function rowOf(bench: Bench, of: string | undefined): Promise<AccelerationRow | undefined> {
  const name = of === undefined ? 'planned' : strategyNames[of];
  if (name === undefined) return undefined;
  const table = await bench.acceleration();
  const tuned = table.rows.some(({ strategy }) => strategy === of);
  return strategyRow(table, tuned ? (of as string) : name);
}

const noMethod = (of: string | undefined): string => `nothing here times ${of}`;

async function takeTime(bench: Bench, of: string | undefined): Promise<Figure | string> {
  const row = await rowOf(bench, of);
  if (!row) return noMethod(of);
  const seconds = row.times.map((time) => time / 1000);
  const { batch } = bench.options;
  return {
    value: row.milliseconds / 1000,
    n: row.times.length,
    note: `seconds of a batch of ${batch}, ${seconds.map((each) => each.toPrecision(3)).join(', ')}`,
  };
}

async function takeSpeedup(bench: Bench, of: string | undefined): Promise<Figure | string> {
  const row = await rowOf(bench, of);
  if (!row) return noMethod(of);
  const { error } = row;
  return {
    value: row.speedup,
    n: row.times.length,
    note: `batch of ${bench.options.batch}; largest error ${error.toExponential(1)} of the data range`,
  };
}

/** Iterations by the published rule of Selective Jacobi Decoding; blocks are told as it counts them. */
async function takeIterations(bench: Bench, of: string | undefined): Promise<Figure | string> {
  const { iterations } = (await rowOf(bench, 'SeJD')) as AccelerationRow;
  const inOrder = [...iterations].reverse();
  const { tokens } = await bench.acceleration();
  // A block that is solved token by token makes a step for each token but the first.
  const counts = inOrder.map((count) => (count === 0 ? tokens - 1 : count));
  const [, number] = /^block (\d+)/.exec(of ?? '') ?? [];
  const n = bench.options.batch * bench.options.repeats;
  if (number === undefined) {
    const later = counts.slice(1);
    return { value: later.reduce((sum, count) => sum + count, 0) / later.length, n };
  }
  const value = counts[Number(number) - 1];
  return value === undefined ? noBlock(of, counts.length) : { value, n };
}

async function takeShare(bench: Bench, of: string | undefined): Promise<Figure | string> {
  const images = await bench.metricImages();
  try {
    const shares = convergenceRankingMetric(bench.flow, images).map(({ share }) => 100 * share);
    const value = shares[Number(/^block (\d+)$/.exec(of ?? '')?.[1])];
    return value === undefined ? noBlock(of, shares.length) : { value, n: images.shape[0] };
  } finally {
    images.dispose();
  }
}

/** A smaller twin does not have all blocks. */
function noBlock(of: string | undefined, blocks: number): string {
  return `this model has ${blocks} blocks, and no ${of}`;
}

async function takeDistance(bench: Bench, of: string | undefined): Promise<Figure | string> {
  const sequential = of === undefined || of === 'sequential';
  const method = sequential ? undefined : await rowOf(bench, of);
  if (!sequential && !method) return noMethod(of);
  return distanceOf(bench, method?.solvers);
}

/** The Fréchet distance of samples from the training images, with the floor beside it. */
export async function distanceOf(bench: Bench, solver?: readonly Solver[]): Promise<Figure> {
  const real = await bench.realStatistics();
  const { statistics, broken } = await bench.sampleStatistics(solver);
  const { validation } = bench.splits;
  const n = Math.min(bench.options.samples, validation.length);
  const floor = await bench.statisticsOf(validation, n, 'held-out images');
  const { name } = await bench.network();
  return {
    value: frechetDistance(statistics, real),
    n: statistics.count,
    network: name,
    floor: { value: frechetDistance(floor, real), n },
    ...(broken > 0 && { note: `${broken} samples were not finite and are left out` }),
  };
}
