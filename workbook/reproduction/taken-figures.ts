import type { Conditioned } from '../../src/conditions/given.js';
import type { DataSource } from '../../src/data/index.js';
import { datasetBitsPerDimension } from '../../src/evaluation/bits-per-dimension.js';
import { frechetDistance } from '../../src/evaluation/distances/frechet.js';
import { type LossConvergence, lossConvergence } from '../../src/evaluation/loss-convergence.js';
import { meanWithError } from '../../src/evaluation/statistics.js';
import { earlierReadingsText, openTestSplit } from '../../src/evaluation/test-readings.js';
import { blocksOf } from '../../src/flow/flow.js';
import type { Model } from '../../src/flow/model.js';
import type { Solver } from '../../src/sampling/solvers/solver.js';
import { type AccelerationRow, strategyRow } from '../acceleration/acceleration.js';
import type { MeasureName } from '../papers/index.js';
import type { Asked } from './asked.js';
import type { Bench, SamplesPlace } from './bench.js';

/** A number that was measured here, with what it depends on. */
export interface Figure {
  value: number;
  /** Over the images, or where there are {@link values} over the trainings. */
  standardError?: number;
  /** Images or samples behind it, of each training. */
  n: number;
  /** The feature network, for a distance. */
  network?: string;
  /** What a distance by this network is called. */
  called?: string;
  /** The same distance of real images of the validation split, of so many. */
  floor?: { value: number; n: number };
  /** Of each training, where there are several; the value is their mean. */
  values?: number[];
  /** Of each training that was followed: its held-out loss and the distance of its samples at some steps. */
  points?: { step: number; loss: number; distance: number }[][];
  /**
   * Of a held-out loss: how much it still changed over the last fifth of each training; null of one
   * whose log does not tell.
   */
  convergence?: (LossConvergence | null)[];
  /** What else has to be said. */
  note?: string;
}

/** How the test split is read, where that is written down, and where samples that are stopped go on. */
export interface FigurePlace {
  /** Where samples of a distance are written while they are made; absent for nowhere. */
  samples?: SamplesPlace;
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
  place: FigurePlace,
): Promise<Figure | string> {
  const never = whyNever({ measure, of }, bench.flow);
  if (never !== undefined) return never;
  const taken = await (takers[measure] as Taker)(bench, of, place);
  if (typeof taken === 'string' || Number.isFinite(taken.value)) return taken;
  return `it is ${taken.value}`;
}

type Taker = (bench: Bench, of: string | undefined, place: FigurePlace) => Promise<Figure | string>;

const takers: Partial<Record<MeasureName, Taker>> = {
  'bits per dimension': takeBits,
  'held-out loss': takeHeldOut,
  FID: takeDistance,
  'time of a batch': takeTime,
  'speed-up': takeSpeedup,
  'iterations of a block': takeIterations,
  'share of CRM': takeShare,
};

/** Measures of a series of trainings, which are not taken of one model. */
const series: readonly MeasureName[] = ['best σ', 'correlation of loss and FID'];

/** Whether samples are compared with real images for a measure. */
export function comparesSamples(measure: MeasureName): boolean {
  return measure === 'FID' || series.includes(measure);
}

/** Whether sampling is timed for a measure. */
export function isTime(measure: MeasureName): boolean {
  return measure === 'time of a batch' || measure === 'speed-up';
}

/** Whether a number is measured here. */
export function isMeasured({ measure, of }: Pick<Asked, 'measure' | 'of'>): boolean {
  if (series.includes(measure)) return true;
  if (takers[measure] === undefined) return false;
  if (measure === 'FID' && of === undefined) return true;
  const ofMethods: readonly MeasureName[] = ['time of a batch', 'speed-up', 'FID'];
  return !ofMethods.includes(measure) || (of !== undefined && methods.includes(of));
}

/** The method of sampling that a number is of; none where it is of none. */
export function methodOf({ measure, of }: Asked): string[] {
  if (measure === 'iterations of a block') return ['SeJD'];
  return of !== undefined && methods.includes(of) ? [of] : [];
}

/**
 * Why a figure can never be had of such a model, whatever data or weights are given; undefined where it
 * can.
 */
export function whyNever({ measure, of }: Asked, model: Model): string | undefined {
  if (!isMeasured({ measure, of })) return 'nothing here computes it';
  const number = blockNumber(of);
  if (number === undefined) return undefined;
  const blocks = blocksOf(model).length;
  const index = measure === 'share of CRM' ? number : number - 1;
  return index < blocks ? undefined : `this model has ${blocks} blocks, and no ${of}`;
}

/** The number in a name such as 'block 2 in the order of sampling', which is counted from 1, or 'block 2'. */
function blockNumber(of: string | undefined): number | undefined {
  const [, number] = /^block (\d+)/.exec(of ?? '') ?? [];
  return number === undefined ? undefined : Number(number);
}

/** Methods of the acceleration tables, by the papers' names. */
const methods: readonly string[] = ['sequential', 'GS-Jacobi', 'Jacobi in all blocks', 'SeJD'];

async function takeBits(bench: Bench, _: string | undefined, place: FigurePlace) {
  const { flow, options } = bench;
  const { data, ...before } = await openTestSplit(place.open, {
    ...{ model: flow, name: place.model, measure: 'bits per dimension' },
    ...{ reason: place.reason, ledger: place.ledger },
  });
  const { mean, images, standardError } = await datasetBitsPerDimension(flow, data, {
    seed: options.seed,
    ...(options.images !== undefined && { count: options.images }),
    ...(options.signal && { signal: options.signal }),
    onProgress: (share) => options.onProgress?.(share, 'likelihood'),
  });
  const note = earlierReadingsText(before);
  return {
    ...{ value: mean, n: images },
    ...(standardError !== undefined && { standardError }),
    ...(note !== undefined && { note }),
  };
}

/** The last validation of the training, and how much the loss still changed at its end. */
async function takeHeldOut({ validations = [], decodes }: Bench): Promise<Figure | string> {
  const last = validations.at(-1);
  if (!last) return 'these weights came without the log of their training';
  const found = lossConvergence(
    validations.map(({ step, loss }) => ({ step, validation: { loss } })),
  );
  const change = found ? changeText(found) : 'how much it still changed is not known';
  return {
    ...{ value: last.loss, n: last.images, convergence: [found ?? null] },
    note: decodes ? `of latents; ${change}` : change,
  };
}

function changeText({ from, to, change }: LossConvergence): string {
  const amount = Math.abs(change).toPrecision(2);
  return `${change <= 0 ? 'fell' : 'rose'} by ${amount} from step ${from} to ${to}`;
}

/** Figures of several trainings as one: their mean, with its standard error. */
export function overTrainings(figures: readonly (Figure | string)[]): Figure | string {
  const without = figures.find((figure) => typeof figure === 'string');
  if (without !== undefined) return without;
  const taken = figures as readonly Figure[];
  const [first] = taken;
  if (!first) return 'nothing was trained';
  if (taken.length < 2) return first;
  const values = taken.map(({ value }) => value);
  const { mean, ...error } = meanWithError(values);
  const points = taken.flatMap((figure) => figure.points ?? []);
  const ends = taken.flatMap((figure) => figure.convergence ?? []);
  const notes = taken.flatMap(({ note }, i) => (note === undefined ? [] : [`${i + 1}: ${note}`]));
  return {
    ...first,
    value: mean,
    ...error,
    values,
    ...(points.length > 0 && { points }),
    ...(ends.length > 0 && { convergence: ends }),
    ...(notes.length > 0 && { note: notes.join('; ') }),
  };
}

/** A method's row of the acceleration table. */
async function rowOf(bench: Bench, of: string | undefined): Promise<AccelerationRow> {
  return strategyRow(await bench.acceleration(), of as string);
}

async function takeTime(bench: Bench, of: string | undefined): Promise<Figure> {
  const row = await rowOf(bench, of);
  const seconds = row.times.map((time) => time / 1000);
  const { batch } = bench.options;
  return {
    value: row.milliseconds / 1000,
    n: row.times.length,
    note: `a batch of ${batch}: ${seconds.map((each) => each.toPrecision(3)).join(', ')}`,
  };
}

async function takeSpeedup(bench: Bench, of: string | undefined): Promise<Figure> {
  const { error, speedup, times } = await rowOf(bench, of);
  const { batch } = bench.options;
  const note = `batch of ${batch}; largest error ${error.toExponential(1)} of the data range`;
  return { value: speedup, n: times.length, note };
}

/** Iterations by the published rule of Selective Jacobi Decoding; blocks are told as it counts them. */
async function takeIterations(bench: Bench, of: string | undefined): Promise<Figure> {
  const { iterations } = await rowOf(bench, 'SeJD');
  const inOrder = [...iterations].reverse();
  const { tokens } = await bench.acceleration();
  // A block that is solved token by token makes a step for each token but the first.
  const counts = inOrder.map((count) => (count === 0 ? tokens - 1 : count));
  const number = blockNumber(of);
  const n = bench.options.batch * bench.options.repeats;
  if (number === undefined) {
    const later = counts.slice(1);
    return { value: later.reduce((sum, count) => sum + count, 0) / later.length, n };
  }
  return { value: counts[number - 1] as number, n };
}

async function takeShare(bench: Bench, of: string | undefined): Promise<Figure> {
  const { shares, images } = await bench.convergenceShares();
  return { value: shares[blockNumber(of) as number] as number, n: images };
}

async function takeDistance(
  bench: Bench,
  of = 'sequential',
  { samples }: FigurePlace,
): Promise<Figure | string> {
  const solver = of === 'sequential' ? undefined : (await rowOf(bench, of)).solvers;
  return distanceOf(bench, {
    ...(solver && { solver }),
    ...(samples && { samples }),
  });
}

/**
 * The Fréchet distance of samples from the training images, with the floor beside it; or that hardly
 * any sample was finite.
 */
export async function distanceOf(
  bench: Bench,
  { solver, samples: place }: { solver?: readonly Solver[]; samples?: SamplesPlace } = {},
): Promise<Figure | string> {
  const { statistics, broken } = await bench.sampleStatistics(solver, place);
  const { samples } = bench.options;
  if (!statistics) return `${broken} of ${samples} samples were not finite`;
  const real = await bench.realStatistics();
  const { validation } = await bench.real();
  const n = Math.min(samples, validation.length);
  const floor = await bench.statisticsOf(validation, n, 'held-out images');
  const { name, distances } = await bench.network();
  return {
    value: frechetDistance(statistics, real),
    n: statistics.count,
    network: name,
    called: distances?.frechet ?? 'Fréchet distance',
    floor: { value: frechetDistance(floor, real), n },
    note: samplingText(bench, broken),
  };
}

/** How samples were drawn, and what real images are where latents were modelled. */
function samplingText(bench: Bench, broken: number): string {
  const { flow, sampling, noise } = bench;
  const { guidance = 0, rule, temperature, denoising, unlabelled, labelledAsTrained } = sampling;
  const labels = labelledAsTrained ? 'labels drawn as in training' : 'labels drawn uniformly';
  const { text } = flow.config as Conditioned;
  const floor = bench.knowsRealImages
    ? 'decoded; the images of the floor are decoded held-out latents'
    : 'decoded; held-out and real images are decoded latents, too';
  const decoded = bench.decodesReal ? floor : 'decoded';
  return [
    ...(flow.config.classes > 0 ? [unlabelled ? 'without labels' : labels] : []),
    ...(text ? ['captions of held-out images'] : []),
    guidance > 0
      ? `w = ${guidance}, ${rule === 'product' ? 'product of Gaussians' : 'annealed'}`
      : 'no guidance',
    ...(temperature === undefined ? [] : [`τ = ${temperature}`]),
    noise.kind === 'gaussian' && denoising > 0 ? `denoised, λ = ${denoising}` : 'not denoised',
    ...(bench.decodes ? [decoded] : []),
    ...(broken > 0 ? [`${broken} samples were not finite and are left out`] : []),
  ].join(', ');
}
