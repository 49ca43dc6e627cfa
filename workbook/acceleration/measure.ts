import type { Label } from '../../src/conditions/labels.js';
import { currentEngine, type ExecutionOptions } from '../../src/core/engine.js';
import { checkCount, UserError } from '../../src/core/errors.js';
import { tf } from '../../src/core/tf.js';
import type { Model } from '../../src/flow/model.js';
import { blocksOf } from '../../src/flow/model.js';
import { checkGuided, partContext } from '../../src/sampling/check-guidance.js';
import type { Guidance } from '../../src/sampling/guidance.js';
import { type InverseOptions, inverse } from '../../src/sampling/inverse.js';
import { currentMachine } from '../../src/sampling/planner/machine.js';
import {
  modelFingerprint,
  type Plan,
  plannedSolvers,
} from '../../src/sampling/planner/plan-file.js';
import {
  checkTolerance,
  dataRange,
  largestError,
  latentsToPlan,
  planSampling,
} from '../../src/sampling/planner/plan-sampling.js';
import { breathe, median, takeTurns, timed } from '../../src/sampling/planner/timing.js';
import { sampleNoise } from '../../src/sampling/sample.js';
import { executionOf, executionText } from '../../src/sampling/solvers/execution.js';
import {
  addShortfalls,
  noShortfalls,
  type Shortfalls,
} from '../../src/sampling/solvers/solve-block.js';
import { type Solver, solversOfBlocks } from '../../src/sampling/solvers/solvers.js';
import { publishedSolvers, selectiveJacobi } from '../../src/sampling/solvers/strategies.js';
import {
  convergenceRankingMetric,
  initialGuessingMetric,
} from '../../src/sampling/study/metrics.js';
import {
  type PixelDistance,
  pixelStatistics,
  statisticsDistance,
} from '../measures/pixel-distance.js';
import type { Acceleration, AccelerationRow } from '../records/record.js';

/** Everything runs as the options say. */
export interface AccelerationOptions extends ExecutionOptions {
  /** Samples made together. Default 1. */
  batch?: number;
  guidance?: Guidance;
  /** A class for all, one per sample of a batch, or one per sample of all repeats (batch · repeats). */
  label?: Label;
  /**
   * The states of captions of a batch (batch, entries, width), or of all repeats
   * (batch · repeats, entries, width). Absent: the empty caption.
   */
  text?: tf.Tensor3D;
  /** Largest difference from sequential sampling, as a share of the data range. Default 1e-3. */
  tolerance?: number;
  /** Default: one is made, for this batch and guidance, on noise that is not measured on. */
  plan?: Plan;
  /**
   * A small set of real images without noise, for CRM and IGM. Default: samples of the model, and
   * a plan without them.
   */
  images?: tf.Tensor4D;
  /** Default 3. */
  repeats?: number;
  /** Default 0. */
  seed?: number;
  /**
   * Solvers by name, for rows between the sequential and the planned one. Default:
   * {@link accelerationStrategies}.
   */
  strategies?: Readonly<Record<string, Solver | readonly Solver[]>>;
  /** Called with the share done, 0 to 1, and what is being done. */
  onProgress?: (share: number, what: string) => void;
  signal?: AbortSignal;
}

/**
 * The acceleration table: how fast a model samples by sequential, Jacobi, published and planned
 * solvers, and how far the samples are from the sequential ones.
 *
 * Each repeat has noise of its own, the same for all strategies. All of it is run through all of
 * them before any of it is timed; then they take turns. Rows of the same solvers share their runs.
 *
 * @throws UserError for counts below 1, a tolerance that is not above 0, a plan of another model,
 *   strategies that do not fit, samples that are not finite, and as `inverse` does
 */
export async function measureAcceleration(
  flow: Model,
  options: AccelerationOptions = {},
): Promise<Acceleration> {
  const { batch = 1, tolerance = 1e-3, repeats = 3, seed = 0, onProgress } = options;
  checkTolerance(tolerance);
  checkCount('batch', batch);
  checkCount('repeats', repeats);
  checkGiven(options, batch, repeats);
  const given = options.strategies && checkedStrategies(flow, options.strategies);
  if (options.plan) plannedSolvers(flow, options.plan);
  const stack = blocksOf(flow);
  checkGuided(flow, options);
  const sequential = new Array<Solver>(stack.length).fill({ kind: 'sequential' });
  const noises: tf.Tensor3D[] = [];
  let images = options.images;
  try {
    for (let i = 0; i < repeats; i++) noises.push(sampleNoise(flow, seed, i * batch, batch));
    const others = await otherSeed(flow, sequential, options);
    const { channels, height, width } = flow.config.image;
    images ??= tf.tensor4d(others, [batch * repeats, channels, height, width]);

    onProgress?.(0.2, 'the plan');
    const plan = options.plan ?? (await ownPlan(flow, options));
    const strategies: Strategy[] = [
      ['sequential', sequential],
      ...(given ?? checkedStrategies(flow, accelerationStrategies(flow, images, tolerance))),
      ['planned', plannedSolvers(flow, plan)],
    ];
    // Strategies that are the same by another name are the same run: a plan may be sequential.
    const texts = strategies.map(([, solver]) => JSON.stringify(solver));
    const distinct = [...new Set(texts)];
    const contenders = distinct.map((text) => strategies[texts.indexOf(text)]!);
    const measured = await measureContenders(flow, contenders, noises, options);

    const [base] = measured as [Measured];
    const statistics = pixelStatistics(base.values, batch * repeats);
    const distance = (values: Float32Array): PixelDistance =>
      statisticsDistance(pixelStatistics(values, batch * repeats), statistics);
    const { engine, version, gpu } = currentEngine();
    const { guidance = null, label = null } = options;
    const engineText = `${engine}${gpu ? ' on a GPU' : ''} (${version})`;
    return {
      model: modelFingerprint(flow),
      tokens: stack[0]?.tokens ?? 0,
      blocks: stack.length,
      batch,
      guidance,
      label: label === null || typeof label === 'number' ? label : [...label],
      tolerance,
      repeats,
      seed,
      execution: executionText(engineText, executionOf(stack, options)),
      crmFrom: options.images ? 'images' : 'samples',
      seedNoise: distance(others),
      plan,
      rows: strategies.map(([strategy, solvers], place): AccelerationRow => {
        const { values, times, ...rest } = measured[distinct.indexOf(texts[place]!)]!;
        const milliseconds = median(times);
        return {
          strategy,
          solvers,
          milliseconds,
          times,
          speedup: median(base.times) / milliseconds,
          ...rest,
          error: largestError(values, base.values),
          statistics: distance(values),
        };
      }),
    };
  } finally {
    tf.dispose(noises);
    if (images !== options.images) images?.dispose();
  }
}

/** A strategy by its name: a solver per block. */
type Strategy = readonly [string, readonly Solver[]];

function checkGiven({ label, text }: AccelerationOptions, batch: number, repeats: number): void {
  const counts = {
    labels: typeof label === 'object' ? label.length : undefined,
    'captions’ states': text?.shape[0],
  };
  for (const [what, count] of Object.entries(counts)) {
    if (count === undefined || count === batch || count === batch * repeats) continue;
    throw new UserError(
      `${count} ${what} came for ${repeats} batches of ${batch}`,
      `Expected ${batch}, the same for each batch, or ${batch * repeats}`,
    );
  }
}

/**
 * Images of some noise, made as the options say.
 * @param round its number among the repeats
 */
async function sampled(
  flow: Model,
  noise: tf.Tensor3D,
  round: number,
  solver: readonly Solver[],
  options: AccelerationOptions,
  onTrace?: InverseOptions['onTrace'],
): Promise<tf.Tensor4D> {
  const [batch] = noise.shape;
  const { mode, precision } = options;
  const context = partContext(flow, options, round * batch, batch);
  try {
    return await inverse(flow, noise, { ...context, mode, precision, onTrace, solver });
  } finally {
    context.text?.dispose();
  }
}

/**
 * Sequential samples of the next seed, all in one array.
 * @throws UserError where they are not finite
 */
async function otherSeed(
  flow: Model,
  sequential: readonly Solver[],
  options: AccelerationOptions,
): Promise<Float32Array> {
  const { batch = 1, repeats = 3, seed = 0 } = options;
  const others: Float32Array[] = [];
  for (let i = 0; i < repeats; i++) {
    options.onProgress?.((0.2 * i) / repeats, 'the noise of the seed');
    await breathe(options.signal);
    const noise = sampleNoise(flow, seed + 1, i * batch, batch);
    const made = timed(() => sampled(flow, noise, i, sequential, options));
    others.push((await made.finally(() => noise.dispose())).values);
  }
  if (others.every((values) => values.every(Number.isFinite))) return joined(others);
  throw new UserError(
    'Sequential sampling makes numbers that are not finite',
    'There is nothing to compare with: the model or its guidance diverges',
  );
}

/** What was measured of a strategy. */
interface Measured extends Shortfalls {
  /** The images of all rounds. */
  values: Float32Array;
  /** In milliseconds, by round. */
  times: number[];
  /** Per block, the mean over rounds. */
  iterations: number[];
}

/** Warms each strategy on all the noise, and then times them in turns. */
async function measureContenders(
  flow: Model,
  contenders: readonly Strategy[],
  noises: readonly tf.Tensor3D[],
  options: AccelerationOptions,
): Promise<Measured[]> {
  const { onProgress, signal } = options;
  const repeats = noises.length;
  const blocks = blocksOf(flow).length;
  const iterations = contenders.map(() => new Array<number>(blocks).fill(0));
  const shortfalls = contenders.map(() => noShortfalls(blocks));
  for (const [i, [name, solver]] of contenders.entries()) {
    onProgress?.(0.6 + (0.2 * i) / contenders.length, `warming ${name}`);
    for (const [round, noise] of noises.entries()) {
      await breathe(signal);
      const warm = sampled(flow, noise, round, solver, options, (trace) => {
        iterations[i]![trace.block]! += trace.iterations.length / repeats;
        addShortfalls(shortfalls[i]!, trace);
      });
      await timed(() => warm);
    }
  }
  const samples = contenders.map((): Float32Array[] => []);
  let done = 0;
  const runs = contenders.map(
    ([, solver]) =>
      (round: number) =>
        sampled(flow, noises[round]!, round, solver, options),
  );
  const times = await takeTurns(runs, repeats, {
    onResult: (contender, round, values) => {
      samples[contender]![round] = values;
      onProgress?.(0.8 + (0.2 * ++done) / (contenders.length * repeats), 'timing');
    },
    signal,
  });
  return contenders.map((_, i) => ({
    values: joined(samples[i]!),
    times: times[i]!,
    iterations: iterations[i]!,
    ...shortfalls[i]!,
  }));
}

/**
 * The strategies of the table that are not planned, by name:
 *
 * - `Jacobi`: all blocks, stopped where no number changes by more than a quarter of the tolerance.
 * - `GS-Jacobi, published form`: as Liu and Qin 2025 (arXiv 2505.12849) tune theirs: the block of
 *   the largest CRM in 8 segments (or the next lower number that divides the tokens) of at most 32
 *   iterations, the others whole with at most 10, each started as IGM says.
 * - `selective Jacobi`: the block inverted first sequentially, the others as `Jacobi`.
 * - `SeJD, published rule`: the same stopped at a change of 0.5 (Zhang et al. 2025, arXiv
 *   2505.24791).
 *
 * @param images (images, channels, height, width), a small set without noise
 * @param tolerance the largest error aimed at, as a share of the data range
 * @returns a solver for all blocks or one per block by index from the data, by the strategy's name
 * @throws UserError where the images do not fit the model or are not finite
 */
export function accelerationStrategies(
  flow: Model,
  images: tf.Tensor4D,
  tolerance: number,
): Record<
  'Jacobi' | 'GS-Jacobi, published form' | 'selective Jacobi' | 'SeJD, published rule',
  Solver | readonly Solver[]
> {
  const shares = convergenceRankingMetric(flow, images).map(({ share }) => share);
  const guesses = initialGuessingMetric(flow, images);
  const tough = shares.indexOf(Math.max(...shares));
  const tokens = blocksOf(flow)[0]?.tokens ?? 0;
  const segments = [8, 7, 6, 5, 4, 3, 2].find((count) => tokens % count === 0) ?? 1;
  // The published lists are in the order of sampling.
  const list = (of: (block: number) => number): number[] =>
    shares.map((_, block) => of(block)).reverse();
  // What a block leaves undone may grow in the next ones.
  const iteration = { tolerance: (tolerance * dataRange) / 4 };
  return {
    Jacobi: { kind: 'jacobi', ...iteration },
    'GS-Jacobi, published form': publishedSolvers(flow, {
      segments: list((block) => (block === tough ? segments : 1)),
      maximum: list((block) => (block === tough ? 32 : 10)),
      zeros: list((block) => (guesses[block]?.better === 'zeros' ? 1 : 0)),
    }),
    'selective Jacobi': selectiveJacobi(flow, iteration),
    'SeJD, published rule': selectiveJacobi(flow, { published: true }),
  };
}

function checkedStrategies(
  flow: Model,
  strategies: Readonly<Record<string, Solver | readonly Solver[]>>,
): [string, readonly Solver[]][] {
  return Object.entries(strategies).map(([name, solver]) => {
    try {
      return [name, solversOfBlocks(blocksOf(flow), solver)];
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(`The strategy '${name}' does not fit: ${error.problem}`, error.remedy);
    }
  });
}

async function ownPlan(flow: Model, options: AccelerationOptions): Promise<Plan> {
  const { guidance, images, onProgress, signal, mode, precision } = options;
  const { batch = 1, repeats = 3, seed = 0, tolerance = 1e-3 } = options;
  const latents = latentsToPlan(batch);
  const noise = sampleNoise(flow, seed, repeats * batch, latents);
  const context = partContext(flow, options, 0, latents);
  const blocks = blocksOf(flow).length;
  try {
    return await planSampling(flow, noise, {
      ...context,
      guidance,
      batch,
      tolerance,
      mode,
      precision,
      images,
      signal,
      onBlock: (block) => onProgress?.(0.2 + (0.4 * (blocks - block)) / (blocks + 1), 'the plan'),
    });
  } finally {
    noise.dispose();
    context.text?.dispose();
  }
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/**
 * The plan of one token after the other in every block, of which nothing is measured: for
 * `measureAcceleration` where no other is wanted, since to measure one takes longer than all the rest.
 *
 * @param options for what it is, as `planSampling` takes them
 */
export function sequentialPlan(
  flow: Model,
  {
    batch,
    tolerance = 1e-3,
    ...execution
  }: { batch: number; tolerance?: number } & ExecutionOptions,
): Plan {
  const stack = blocksOf(flow);
  const untimed = { milliseconds: 0, error: 0 };
  return {
    format: 'tarflow-plan',
    model: modelFingerprint(flow),
    tolerance,
    batch,
    label: null,
    guidance: null,
    ...currentMachine(),
    ...executionOf(stack, execution),
    solvers: stack.map(() => ({ kind: 'sequential' })),
    sequential: untimed,
    planned: untimed,
  };
}
