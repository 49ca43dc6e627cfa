import type { Label } from '../../conditions/labels.js';
import type { ExecutionOptions } from '../../core/engine.js';
import { checkCount, UserError } from '../../core/errors.js';
import { tf } from '../../core/tf.js';
import type { AutoregressiveBlock } from '../../flow/autoregressive.js';
import type { Model } from '../../flow/model.js';
import { blocksOf } from '../../flow/model.js';
import { checkGuided, guidanceOfPart } from '../check-guidance.js';
import type { Guidance } from '../guidance.js';
import { type InverseOptions, inverse } from '../inverse.js';
import type { Start } from '../solvers/definition.js';
import { askedExecution, type Execution, executionOf } from '../solvers/execution.js';
import { solveUnchecked } from '../solvers/solve-block.js';
import { type Solver, solverDefinitions, solverSchema } from '../solvers/solvers.js';
import { convergenceRankingMetric, initialGuessingMetric } from '../study/metrics.js';
import { type BlockTrajectory, samplingTrajectory } from '../study/trajectories.js';
import { currentMachine } from './machine.js';
import { distinctLabels, modelFingerprint, type Plan } from './plan-file.js';
import { breathe, median, takeTurns, timed } from './timing.js';

/** The range of the images that a flow makes, [−1, 1]: what shares of the data range refer to. */
export const dataRange = 2;

/** What a solver cost in a block, and how far its result was from the exact one. */
export interface Candidate {
  solver: Solver;
  /** The least of its times. */
  milliseconds: number;
  /**
   * Largest difference of the block's input from the sequential one's, as a share of the data range;
   * of the sequential solver 0.
   */
  error: number;
  /** Jacobi iterations over all segments; 0 where tokens were solved one after the other. */
  iterations: number;
}

/** All that is compared runs as the options say. */
export interface PlanOptions extends ExecutionOptions {
  /**
   * A class for all samples, or one per sample: for one batch, which then stands for every batch, or for
   * all samples.
   */
  label?: Label | undefined;
  /**
   * The states of captions (samples, entries, width): for one batch, which then stands for every batch, or
   * for all samples. Absent: the empty caption.
   */
  text?: tf.Tensor3D | undefined;
  /** Samples made together, which the plan is for. Default: half of those of the noise. */
  batch?: number;
  guidance?: Guidance;
  /** Largest difference from sequential sampling, as a share of the data range. Default 1e-3. */
  tolerance?: number;
  /**
   * Real images without noise. Given, IGM chooses the start, and only blocks of more than an even
   * share of CRM are tried with segments beyond the first number that does not help; without, both
   * starts are measured and all blocks are treated as those.
   */
  images?: tf.Tensor4D;
  /** How often the finalists are timed, taking turns; the least counts. Default 3. */
  repeats?: number;
  /** Called with each block's candidates as they are measured. */
  onBlock?: (block: number, candidates: readonly Candidate[]) => void;
  signal?: AbortSignal;
}

/** A gain in time below this share is noise, and not worth an error. */
const worthwhile = 0.03;

/**
 * What the whole has to gain to be planned: other samples take other numbers of iterations, and a
 * plan should not be slower than sequential sampling for any.
 */
const safeGain = 0.1;

/** Images to check a plan on: fewer may not meet the noise that it errs on most. */
const checkedImages = 16;

/**
 * For how many samples to give {@link planSampling} noise, by the size of a batch: one batch to measure on,
 * the rest to check on.
 */
export function latentsToPlan(batch: number): number {
  return batch * (1 + Math.ceil(checkedImages / batch));
}

/**
 * Finds a plan by measurement: each block is solved from sequential sampling's own intermediate
 * result with a few solvers, whole and in segments; the fastest within the block's
 * share of the tolerance is taken, and the whole is checked on other noise. Where any image misses half
 * the tolerance (other noise may err more) the shares are tightened; then blocks get faster solvers again
 * where the whole stays within a quarter. A block stays sequential where that is fastest, and all of them
 * do where the whole is not faster by a tenth. How many iterations a segment gets is left to the tolerance
 * of its solver, which follows the sample, and not set to a number.
 *
 * @param noise (samples, T, D), two batches or more: the first to measure on, the others to check on; see
 *   {@link latentsToPlan}
 * @param options for what is planned: label or captions, guidance, and how it runs
 * @returns a solver per block with times in milliseconds and the error that was found, for
 *   `plannedSolvers` and `writePlan`
 * @throws UserError for a tolerance that is not above 0, counts below 1, samples that are not
 *   finite, and as `inverse` does
 *
 * @example
 * ```ts
 * import { createModel, planSampling, startEngine, withOverrides } from 'tarflow';
 * import { noiseExperiment } from 'tarflow/workbook';
 * import { sampleNoise } from 'tarflow/sampling';
 *
 * await startEngine();
 * const experiment = noiseExperiment('fashion-mnist', { kind: 'uniform' });
 * const flow = createModel(withOverrides(experiment, ['patchSize=14', 'blocks=2']).config, 1);
 * const plan = await planSampling(flow, sampleNoise(flow, 0, 0, 2), { label: 3 });
 * console.log(plan.solvers, plan.planned.milliseconds, plan.planned.error);
 * ```
 */
export async function planSampling(
  flow: Model,
  noise: tf.Tensor3D,
  options: PlanOptions = {},
): Promise<Plan> {
  const { label, text, guidance, tolerance = 1e-3, signal, repeats = 3 } = options;
  checkTolerance(tolerance);
  checkCount('repeats', repeats);
  const latents = noise.shape[0];
  const batch = batchOf(options, latents);
  const labels = labelsOfLatents(label, batch, latents);
  const stack = blocksOf(flow);
  checkGuided(flow.config, stack, guidance, { label, text });
  const states = text && statesOfLatents(text, batch, latents);
  const execution = executionOf(stack, options);
  const part = (first: number, size: number): Part => ({
    noise: tf.slice(noise, [first, 0, 0], [size, -1, -1]),
    label: typeof labels === 'object' ? labels.slice(first, first + size) : labels,
    ...(states && { text: tf.slice(states, [first, 0, 0], [size, -1, -1]) }),
  });
  const [measured, timedPart] = [part(0, batch), part(batch, batch)];
  const checked: Part[] = [];
  const together = execution.mode === 'eager' ? manyTogether(stack, batch) : batch;
  for (let first = batch; first < latents; first += together) {
    checked.push(part(first, Math.min(together, latents - first)));
  }
  try {
    // These refuse all that does not fit before anything long begins.
    const errorOf = await errorMeasure(flow, checked, tolerance / 2, options);
    const blocks = await measureBlocks(flow, measured, options);

    const plain: Solver[] = blocks.map(() => ({ kind: 'sequential' }));
    const found = await solversWithin(blocks, errorOf, tolerance);
    const contenders = found ? [plain, found.solvers] : [plain];
    const [sequential = [], planned = []] = await takeTurns(
      contenders.map((solvers) => () => imagesOf(flow, timedPart, options, { solver: solvers })),
      repeats,
      { signal },
    );
    // The least time is the one least disturbed, the median says whether that was luck.
    const isFaster =
      Math.min(...planned) < (1 - safeGain) * Math.min(...sequential) &&
      median(planned) < (1 - safeGain) * median(sequential);
    const unplanned = { milliseconds: Math.min(...sequential), error: 0 };
    const chosen = isFaster ? found : undefined;
    return {
      format: 'tarflow-plan',
      model: modelFingerprint(flow),
      tolerance,
      batch,
      label: distinctLabels(label),
      ...(text && { captioned: true }),
      ...currentMachine(),
      ...execution,
      guidance: guidance ?? null,
      solvers: chosen?.solvers ?? plain,
      sequential: unplanned,
      planned: chosen ? { milliseconds: Math.min(...planned), error: chosen.error } : unplanned,
    };
  } finally {
    states?.dispose();
    tf.dispose([measured, timedPart, ...checked].map(({ noise, text }) => [noise, text]));
  }
}

/**
 * How many samples are made together.
 * @throws UserError where the noise is not that of two whole batches or more
 */
function batchOf(options: PlanOptions, latents: number): number {
  const { batch = latents / 2 } = options;
  if (!(Number.isInteger(batch) && batch > 0 && latents % batch === 0 && latents > batch)) {
    throw new UserError(
      `${latents} latents came to plan with${options.batch === undefined ? '' : `, batch ${batch}`}`,
      'Expected one batch to measure on, and one or more of equal size to check on',
    );
  }
  return batch;
}

/** The noise of some samples (samples, T, D), and what they are told of. */
interface Part {
  noise: tf.Tensor3D;
  label: Label | undefined;
  text?: tf.Tensor3D;
}

function labelsOfLatents(
  label: Label | undefined,
  batch: number,
  latents: number,
): Label | undefined {
  if (label === undefined || typeof label === 'number' || label.length === latents) return label;
  if (label.length !== batch) {
    throw new UserError(
      `${label.length} labels came to plan with`,
      `Give one for all, one for each sample of a batch, ${batch}, or for each latent, ${latents}`,
    );
  }
  return Array.from({ length: latents }, (_, i) => label[i % batch] as number);
}

/** The states of captions of all samples, as a new tensor. */
function statesOfLatents(text: tf.Tensor3D, batch: number, latents: number): tf.Tensor3D {
  const [count] = text.shape;
  if (count === latents) return text.clone();
  if (count === batch) return tf.tile(text, [latents / batch, 1, 1]);
  throw new UserError(
    `The states of ${count} captions came to plan with`,
    `Give one for each sample of a batch, ${batch}, or for each latent, ${latents}`,
  );
}

/** So many attention weights of a layer take a quarter of a gigabyte. */
const manyWeights = 6e7;

/**
 * How many images to check together op by op: an operation's own cost is shared by all, and what
 * comes out does not depend on the batch.
 */
function manyTogether(stack: readonly AutoregressiveBlock[], batch: number): number {
  const guidedWeights = Math.max(...stack.map(({ tokens, heads }) => 2 * tokens ** 2 * heads));
  return Math.max(batch, Math.min(checkedImages, Math.floor(manyWeights / guidedWeights)));
}

/**
 * Checks the largest difference that is asked for.
 * @throws UserError where it is not above 0
 */
export function checkTolerance(tolerance: number): void {
  if (Number.isFinite(tolerance) && tolerance > 0) return;
  throw new UserError(`The tolerance is ${tolerance}`, 'Expected a number above 0');
}

/**
 * The fastest solver whose error is within a budget; there is always the sequential one, with 0.
 * Of those that are as fast but for the noise of timing it is the most exact one.
 */
export function fastestWithin(candidates: readonly Candidate[], budget: number): Solver {
  const fitting = candidates.filter(({ error }) => error <= budget);
  const least = Math.min(...fitting.map(({ milliseconds }) => milliseconds));
  const [best] = fitting
    .filter(({ milliseconds }) => (1 - worthwhile) * milliseconds <= least)
    .sort((a, b) => a.error - b.error);
  return best?.solver ?? { kind: 'sequential' };
}

/** Solvers, and how well they did. */
interface Found {
  solvers: Solver[];
  /** Of all images that were checked, as a share of the data range. */
  error: number;
}

/**
 * The fastest solver of each block with which the whole stays within half the tolerance; none where all
 * are sequential. Errors of one block are carried and may grow in the next ones, so an equal share of the
 * tolerance may be too much for each.
 */
async function solversWithin(
  blocks: readonly (readonly Candidate[])[],
  errorOf: (solvers: readonly Solver[]) => Promise<number>,
  tolerance: number,
): Promise<Found | undefined> {
  for (let budget = tolerance; budget > tolerance * 5e-4; budget /= 4) {
    const solvers = blocks.map((candidates) => fastestWithin(candidates, budget));
    if (solvers.every(({ kind }) => kind === 'sequential')) return undefined;
    // Where graphs are recorded, this warms them, too.
    const error = await errorOf(solvers);
    if (error <= tolerance / 2) {
      return loosened(blocks, { solvers, error }, errorOf, tolerance / 4);
    }
  }
  return undefined;
}

/**
 * Gives blocks faster solvers as long as the error of the whole stays within a bound: equal shares of
 * an error are not what costs least. One block after the other, those first that could gain most.
 */
export async function loosened(
  blocks: readonly (readonly Candidate[])[],
  found: Found,
  errorOf: (solvers: readonly Solver[]) => Promise<number>,
  bound: number,
): Promise<Found> {
  const chosen = blocks.map(
    (candidates, block) =>
      candidates.find(({ solver }) => solver === found.solvers[block]) as Candidate,
  );
  const total = chosen.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const fasterThan = (block: number): Candidate[] => {
    const { milliseconds } = chosen[block]!;
    return blocks[block]!.filter(
      (other) => milliseconds - other.milliseconds > worthwhile * total,
    ).sort((a, b) => a.error - b.error);
  };
  const gain = (block: number): number =>
    Math.max(
      0,
      ...fasterThan(block).map((other) => chosen[block]!.milliseconds - other.milliseconds),
    );
  let best = found;
  for (const block of [...blocks.keys()].sort((a, b) => gain(b) - gain(a))) {
    for (let [next] = fasterThan(block); next; [next] = fasterThan(block)) {
      const solvers = best.solvers.map((solver, other) =>
        other === block ? next!.solver : solver,
      );
      const error = await errorOf(solvers);
      if (error > bound) break;
      best = { solvers, error };
      chosen[block] = next;
    }
  }
  return best;
}

/**
 * A measure of the error of solvers: the largest one of all images, as a share of the data range,
 * or of the first of them where that is above a bound.
 */
async function errorMeasure(
  flow: Model,
  parts: readonly Part[],
  bound: number,
  options: PlanOptions,
): Promise<(solver: readonly Solver[]) => Promise<number>> {
  const exact: Float32Array[] = [];
  const { signal } = options;
  for (const part of parts) {
    const images = await imagesOf(flow, part, options, { ...(signal && { signal }) });
    exact.push(images.dataSync<'float32'>());
    images.dispose();
    checkFinite(exact.at(-1)!);
  }
  return async (solver) => {
    let error = 0;
    for (const [index, part] of parts.entries()) {
      await breathe(signal);
      const { values } = await timed(() => imagesOf(flow, part, options, { solver }));
      error = Math.max(error, largestError(values, exact[index]!));
      if (error > bound) break;
    }
    return error;
  };
}

/** The images of some noise, made as the options say. */
function imagesOf(
  flow: Model,
  part: Part,
  options: PlanOptions,
  more: InverseOptions,
): Promise<tf.Tensor4D> {
  const { noise, label, text } = part;
  const guidance = guidanceFor(flow, part, options);
  return inverse(flow, noise, {
    label,
    text,
    ...askedExecution(options),
    ...(guidance && { guidance }),
    ...more,
  });
}

/** Of all samples something is told, of these perhaps nothing. */
function guidanceFor(
  flow: Model,
  { label, text }: Part,
  { guidance }: PlanOptions,
): Guidance | undefined {
  return guidance && guidanceOfPart(blocksOf(flow), guidance, { label, text });
}

/** Throws where numbers that sequential sampling makes are not finite. */
function checkFinite(values: Float32Array): void {
  if (values.every(Number.isFinite)) return;
  throw new UserError(
    'Sequential sampling makes numbers that are not finite',
    'There is nothing to compare with: the model or its guidance diverges',
  );
}

/** Candidates per block, by index from the data, each with its time and error. */
async function measureBlocks(
  flow: Model,
  part: Part,
  options: PlanOptions,
): Promise<Candidate[][]> {
  const { noise, label, text } = part;
  const { images, onBlock } = options;
  const stack = blocksOf(flow);
  const rankings = images && convergenceRankingMetric(flow, images);
  const guesses = images && initialGuessingMetric(flow, images);
  const execution = executionOf(stack, options);
  const trajectory = await samplingTrajectory(flow, noise, {
    label,
    text,
    guidance: guidanceFor(flow, part, options),
    ...askedExecution(options),
  });
  const measured: Candidate[][] = [];
  try {
    for (const own of [...trajectory.blocks].reverse()) {
      const { index } = own.block;
      const candidates = await measureBlock(own, execution, options, {
        starts: guesses ? [guesses[index]!.better] : ['latent', 'zeros'],
        tough: rankings ? rankings[index]!.share > 1 / stack.length : true,
      });
      measured.unshift(candidates);
      onBlock?.(index, candidates);
    }
    return measured;
  } finally {
    trajectory.dispose();
  }
}

/**
 * Solves a block with some solvers. Forms (kind, start and segments) are looked at once; the best two are
 * finalists at several tolerances, and take turns with the sequential one.
 */
async function measureBlock(
  own: BlockTrajectory,
  execution: Execution,
  { tolerance = 1e-3, repeats = 3, signal }: PlanOptions,
  choice: { starts: readonly Start[]; tough: boolean },
): Promise<Candidate[]> {
  const largest = tolerance * dataRange;
  const contest = new Contest(own, execution, signal);
  const sequential = await contest.look({ kind: 'sequential' });
  for (const { tryForms } of solverDefinitions()) {
    await tryForms?.({
      tokens: own.block.tokens,
      tolerance: largest / 4,
      ...choice,
      look: async (form) => (await contest.look(form)).milliseconds,
    });
  }

  // The others are too slow for a wrong timing to be the cause.
  const forms = contest.candidates
    .filter(({ milliseconds }) => milliseconds < 1.5 * sequential.milliseconds)
    .filter((candidate) => candidate !== sequential)
    .sort((a, b) => a.milliseconds - b.milliseconds)
    .filter(({ milliseconds }, _, [first]) => milliseconds < 1.2 * first!.milliseconds)
    .slice(0, 2);
  const entered = (form: Candidate, share: number): Candidate[] =>
    'tolerance' in form.solver
      ? [contest.enter({ ...form.solver, tolerance: share * largest })]
      : [];
  const finalists = forms.map((form) => [
    form,
    ...[1, 1 / 16, 1 / 64].flatMap((share) => entered(form, share)),
  ]);
  const [form] = forms;
  if (!form) return contest.candidates;
  await contest.measure([sequential, ...finalists.flat()], repeats);
  // In a tough block a small change is not a small error yet.
  let tightest = finalists[0]?.at(-1) ?? form;
  for (let share = 1 / 256; share >= leastShare; share /= 4) {
    if (tightest.error <= tolerance / 256 || tightest.milliseconds >= sequential.milliseconds)
      break;
    const [tighter] = entered(form, share);
    if (!tighter) break;
    tightest = tighter;
    await contest.measure([tightest], repeats);
  }
  return contest.candidates;
}

/** Solvers of one block that are timed, and compared with the exact input. */
class Contest {
  readonly candidates: Candidate[] = [];
  private readonly target: Float32Array;

  constructor(
    private readonly trajectory: BlockTrajectory,
    private readonly execution: Execution,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.target = trajectory.x.dataSync<'float32'>();
    checkFinite(this.target);
  }

  /** A candidate that is not measured yet. */
  enter(solver: Solver): Candidate {
    const milliseconds = Number.POSITIVE_INFINITY;
    const candidate: Candidate = { solver, milliseconds, error: 0, iterations: 0 };
    this.candidates.push(candidate);
    return candidate;
  }

  /** A candidate that is measured once. */
  async look(form: { kind: string }): Promise<Candidate> {
    const candidate = this.enter(solverSchema.parse(form));
    // Warm: a first run may have graphs to record, and take many times as long.
    await timed(() => this.run(candidate));
    await this.measure([candidate], 1);
    return candidate;
  }

  /** Times candidates in turns; each keeps its least time and its error. */
  async measure(contenders: readonly Candidate[], rounds: number): Promise<void> {
    const runs = contenders.map((candidate) => () => this.run(candidate));
    const times = await takeTurns(runs, rounds, {
      onResult: (index, _, values) => {
        const contender = contenders[index]!;
        if (contender.solver.kind === 'sequential') return;
        contender.error = largestError(values, this.target);
      },
      signal: this.signal,
    });
    contenders.forEach((candidate, index) => {
      candidate.milliseconds = Math.min(candidate.milliseconds, ...times[index]!);
    });
  }

  private async run(candidate: Candidate): Promise<tf.Tensor3D> {
    const { block, conditions, z } = this.trajectory;
    const { execution } = this;
    const { tokens, trace } = await solveUnchecked(block, z, candidate.solver, {
      conditions,
      execution,
    });
    candidate.iterations = trace.iterations.length;
    return tokens;
  }
}

/** A change of this share of the largest error is rounding. */
const leastShare = 1 / 4096;

/**
 * The largest difference of two sets of numbers on the images' scale, as a share of the data range;
 * infinite where a number is not finite on one side.
 */
export function largestError(a: Float32Array, b: Float32Array): number {
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference;
  }
  return largest / dataRange;
}
