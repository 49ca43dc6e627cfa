import type { Conditioned } from '../../src/conditions/context.js';
import type { DataSource } from '../../src/data/index.js';
import { datasetBitsPerDimension } from '../../src/evaluation/bits-per-dimension.js';
import { frechetDistance } from '../../src/evaluation/frechet-distance.js';
import { meanWithError } from '../../src/evaluation/statistics.js';
import { earlierReadingsText, openTestSplit } from '../../src/evaluation/test-readings.js';
import type { Model } from '../../src/flow/model.js';
import { blocksOf } from '../../src/flow/model.js';
import type { Solver } from '../../src/sampling/solvers/solvers.js';
import { type LossConvergence, lossConvergence } from '../measures/loss-convergence.js';
import { strategyRow } from '../records/accelerations.js';
import type { AccelerationRow, Figure } from '../records/record.js';
import { type Asked, isMeasured, isOfModel, type MeasureOfModel } from './measurable.js';
import type { MeasuredModel } from './measured-model.js';

/** A validation of a training, of so many images. */
export interface HeldOut {
  step: number;
  validation: { loss: number };
  images: number;
}

/** How the test split is read, and where that is written down; and the log of the training. */
export interface FigurePlace {
  ledger: string;
  open: () => Promise<DataSource>;
  /** What the model is called there. */
  model: string;
  reason: string;
  /** None where weights are given. */
  validations: readonly HeldOut[];
}

/**
 * Takes a figure of a model.
 * @returns the figure, or in words why there is none
 */
export async function measured(
  model: MeasuredModel,
  { measure, of }: Asked,
  place: FigurePlace,
): Promise<Figure | string> {
  const never = whyNever({ measure, of }, model.parts.flow);
  if (never !== undefined) return never;
  if (!isOfModel(measure)) return 'it is of several trainings';
  const taken = await takers[measure](model, of, place);
  if (typeof taken === 'string' || Number.isFinite(taken.value)) return taken;
  return `it is ${taken.value}`;
}

type Taker = (
  model: MeasuredModel,
  of: string | undefined,
  place: FigurePlace,
) => Promise<Figure | string>;

const takers: Record<MeasureOfModel, Taker> = {
  'bits per dimension': takeBits,
  'held-out loss': takeHeldOut,
  FID: takeDistance,
  'time of a batch': takeTime,
  'speed-up': takeSpeedup,
  'iterations of a block': takeIterations,
  'share of CRM': takeShare,
};

/**
 * Why a figure can never be had of such a model, whatever data or weights are given; undefined where it
 * can.
 */
export function whyNever({ measure, of }: Asked, flow: Model): string | undefined {
  if (!isMeasured({ measure, of })) return 'nothing here computes it';
  const number = blockNumber(of);
  if (number === undefined) return undefined;
  const blocks = blocksOf(flow).length;
  const index = measure === 'share of CRM' ? number : number - 1;
  return index < blocks ? undefined : `this model has ${blocks} blocks, and no ${of}`;
}

/** The number in a name such as 'block 2 in the order of sampling', which is counted from 1, or 'block 2'. */
function blockNumber(of: string | undefined): number | undefined {
  const [, number] = /^block (\d+)/.exec(of ?? '') ?? [];
  return number === undefined ? undefined : Number(number);
}

async function takeBits(model: MeasuredModel, _: string | undefined, place: FigurePlace) {
  const { flow, options } = model.parts;
  const { data, ...before } = await openTestSplit(place.open, {
    model: flow,
    name: place.model,
    measure: 'bits per dimension',
    reason: place.reason,
    ledger: place.ledger,
  });
  const { mean, images, standardError } = await datasetBitsPerDimension(flow, data, {
    seed: options.seed,
    count: options.images,
    signal: options.signal,
    onProgress: (share) => options.onProgress?.(share, 'likelihood'),
  });
  return { value: mean, n: images, standardError, note: earlierReadingsText(before) };
}

/** The last validation of the training, and how much the loss still changed at its end. */
async function takeHeldOut(
  model: MeasuredModel,
  _: string | undefined,
  { validations }: FigurePlace,
): Promise<Figure | string> {
  const last = validations.at(-1);
  if (!last) return 'these weights came without the log of their training';
  const found = lossConvergence(validations);
  const change = found ? changeText(found) : 'how much it still changed is not known';
  return {
    value: last.validation.loss,
    n: last.images,
    convergence: [found ?? null],
    note: model.decodes ? `of latents; ${change}` : change,
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
async function rowOf(model: MeasuredModel, of = 'sequential'): Promise<AccelerationRow> {
  return strategyRow(await model.acceleration(), of);
}

async function takeTime(model: MeasuredModel, of: string | undefined): Promise<Figure> {
  const row = await rowOf(model, of);
  const seconds = row.times.map((time) => time / 1000);
  const { batch } = model.parts.options;
  return {
    value: row.milliseconds / 1000,
    n: row.times.length,
    note: `a batch of ${batch}: ${seconds.map((each) => each.toPrecision(3)).join(', ')}`,
  };
}

async function takeSpeedup(model: MeasuredModel, of: string | undefined): Promise<Figure> {
  const { error, speedup, times } = await rowOf(model, of);
  const { batch } = model.parts.options;
  const note = `batch of ${batch}; largest error ${error.toExponential(1)} of the data range`;
  return { value: speedup, n: times.length, note };
}

/** Iterations by the published rule of Selective Jacobi Decoding; blocks are told as it counts them. */
async function takeIterations(model: MeasuredModel, of: string | undefined): Promise<Figure> {
  const { iterations } = await rowOf(model, 'SeJD');
  const inOrder = [...iterations].reverse();
  const { tokens } = await model.acceleration();
  // A block that is solved token by token makes a step for each token but the first.
  const counts = inOrder.map((count) => (count === 0 ? tokens - 1 : count));
  const number = blockNumber(of);
  const n = model.parts.options.batch * model.parts.options.repeats;
  if (number === undefined) {
    const later = counts.slice(1);
    return { value: later.reduce((sum, count) => sum + count, 0) / later.length, n };
  }
  return { value: counts[number - 1] ?? Number.NaN, n };
}

async function takeShare(model: MeasuredModel, of: string | undefined): Promise<Figure> {
  const { shares, images } = await model.convergenceShares();
  return { value: shares[blockNumber(of) ?? 0] ?? Number.NaN, n: images };
}

async function takeDistance(model: MeasuredModel, of = 'sequential'): Promise<Figure | string> {
  return distanceOf(model, of === 'sequential' ? undefined : (await rowOf(model, of)).solvers);
}

/**
 * The Fréchet distance of samples from the training images, with the floor beside it; or that hardly
 * any sample was finite.
 */
export async function distanceOf(
  model: MeasuredModel,
  solver?: readonly Solver[],
): Promise<Figure | string> {
  const { statistics, broken } = await model.sampleStatistics(solver);
  const { samples, part } = model.parts.options;
  if (part) return `part ${part.number} of ${part.of} of its samples is drawn`;
  if (!statistics) return `${broken} of ${samples} samples were not finite`;
  const real = await model.realStatistics();
  const { validation } = await model.real();
  const n = Math.min(samples, validation.length);
  const floor = await model.statisticsOf(validation, n, 'held-out images');
  const { name, distances } = await model.network();
  return {
    value: frechetDistance(statistics, real),
    n: statistics.count,
    network: name,
    called: distances?.frechet ?? 'Fréchet distance',
    floor: { value: frechetDistance(floor, real), n },
    note: samplingText(model, broken),
  };
}

/** How samples were drawn, and what real images are where latents were modelled. */
function samplingText(model: MeasuredModel, broken: number): string {
  const { flow, noise, recipe } = model.parts;
  const {
    guidance = 0,
    rule,
    temperature,
    denoising,
    unlabelled,
    labelledAsTrained,
  } = recipe.sampling;
  const labels = labelledAsTrained ? 'labels drawn as in training' : 'labels drawn uniformly';
  const { text } = flow.config as Conditioned;
  const floor = model.knowsRealImages
    ? 'decoded; the images of the floor are decoded held-out latents'
    : 'decoded; held-out and real images are decoded latents, too';
  const decoded = model.decodesReal ? floor : 'decoded';
  return [
    ...(flow.config.classes > 0 ? [unlabelled ? 'without labels' : labels] : []),
    ...(text ? ['captions of held-out images'] : []),
    guidance > 0
      ? `w = ${guidance}, ${rule === 'product' ? 'product of Gaussians' : 'annealed'}`
      : 'no guidance',
    ...(temperature === undefined ? [] : [`τ = ${temperature}`]),
    noise.kind === 'gaussian' && denoising > 0 ? `denoised, λ = ${denoising}` : 'not denoised',
    ...(model.decodes ? [decoded] : []),
    ...(broken > 0 ? [`${broken} samples were not finite and are left out`] : []),
  ].join(', ');
}
