import { type NamedContext, type Numbered, numbered } from '../../conditions/context.js';
import type { ExecutionOptions } from '../../core/engine.js';
import { checkCount, UserError } from '../../core/errors.js';
import { tf } from '../../core/tf.js';
import type { AutoregressiveBlock } from '../../flow/autoregressive.js';
import { blocksOf, type Model } from '../../flow/model.js';
import { checkGuided, type GuidedContext, partContext } from '../check-guidance.js';
import type { Guidance } from '../guidance.js';
import { inverse } from '../inverse.js';
import type { FormSearch } from '../solvers/definition.js';
import { type Execution, executionOf } from '../solvers/execution.js';
import { solveUnchecked } from '../solvers/solve-block.js';
import { type Solver, solverDefinitions, solverSchema } from '../solvers/solvers.js';
import { convergenceRankingMetric, initialGuessingMetric } from '../study/metrics.js';
import { type BlockTrajectory, samplingTrajectory } from '../study/trajectories.js';
import { type Candidate, solversWithin } from './choice.js';
import { currentMachine } from './machine.js';
import { distinctLabels, modelFingerprint, type Plan } from './plan-file.js';
import { breathe, median, takeTurns, timed } from './timing.js';

/** The range of the images that a flow makes, [−1, 1]: what shares of the data range refer to. */
export const dataRange = 2;

/**
 * All that is compared runs as the options say. Labels and states of captions are one for each sample of a
 * batch, which then stands for every batch, or one for each sample of the noise; a single label is for all. They are
 * numbers of classes or, for a model that was loaded, their names.
 */
export interface PlanOptions extends ExecutionOptions, NamedContext {
  guidance?: Guidance | undefined;
  /** Samples made together, which the plan is for. Default: half of those of the noise. */
  batch?: number;
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
 * @param asked for what is planned: label or captions, guidance, and how it runs
 * @returns a solver per block with times in milliseconds and the error that was found, for
 *   `plannedSolvers` and `writePlan`
 * @throws UserError for a tolerance that is not above 0, counts below 1, samples that are not
 *   finite, and as `inverse` does
 *
 * @example
 * ```ts
 * import { createModel, planSampling, startEngine } from 'tarflow';
 * import { sampleNoise } from 'tarflow/sampling';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * const plan = await planSampling(flow, sampleNoise(flow, 0, 0, 2), { label: 1 });
 * console.log(plan.solvers, plan.planned.milliseconds, plan.planned.error);
 * ```
 */
export async function planSampling(
  flow: Model,
  noise: tf.Tensor3D,
  asked: PlanOptions = {},
): Promise<Plan> {
  const options = numbered(flow, asked);
  const { label, text, guidance, tolerance = 1e-3, signal, repeats = 3 } = options;
  const [latents] = noise.shape;
  const { batch = latents / 2 } = options;
  checkTolerance(tolerance);
  checkCount('repeats', repeats);
  checkSamples(options, batch, latents);
  const stack = blocksOf(flow);
  checkGuided(flow, options);
  const execution = executionOf(stack, options);
  const parts: Part[] = [];
  const part = (first: number, size: number): Part => {
    const z = tf.slice(noise, [first, 0, 0], [size, -1, -1]);
    parts.push({ z, ...partContext(flow, options, first, size) });
    return parts.at(-1)!;
  };
  const [measured, timedPart] = [part(0, batch), part(batch, batch)];
  const together = execution.mode === 'eager' ? manyTogether(stack, batch) : batch;
  const checked = Array.from({ length: Math.ceil((latents - batch) / together) }, (_, i) => {
    const first = batch + i * together;
    return part(first, Math.min(together, latents - first));
  });
  const sampled: Sampling = ({ z, ...context }, solver) =>
    inverse(flow, z, {
      ...context,
      solver,
      mode: options.mode,
      precision: options.precision,
      signal,
    });
  try {
    // These refuse all that does not fit before anything long begins.
    const errorOf = await errorMeasure(sampled, checked, tolerance / 2, signal);
    const blocks = await measureBlocks(flow, measured, options, execution);

    const plain: Solver[] = blocks.map(() => ({ kind: 'sequential' }));
    const found = await solversWithin(blocks, errorOf, tolerance);
    const contenders = found ? [plain, found.solvers] : [plain];
    const [sequential = [], planned = []] = await takeTurns(
      contenders.map((solvers) => () => sampled(timedPart, solvers)),
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
    tf.dispose(parts.map(({ z, text }) => [z, text]));
  }
}

/** The noise of some samples (samples, T, D), and what they are told. */
interface Part extends GuidedContext {
  z: tf.Tensor3D;
}

/** Images of a part. The caller frees them. */
type Sampling = (part: Part, solver?: readonly Solver[]) => Promise<tf.Tensor4D>;

/** @throws UserError where noise, labels or captions are not those of whole batches */
function checkSamples(
  { batch: asked, label, text }: Numbered<PlanOptions>,
  batch: number,
  latents: number,
) {
  if (!(Number.isInteger(batch) && batch > 0 && latents % batch === 0 && latents > batch)) {
    throw new UserError(
      `${latents} latents came to plan with${asked === undefined ? '' : `, batch ${batch}`}`,
      'Expected one batch to measure on, and one or more of equal size to check on',
    );
  }
  const counts = {
    labels: typeof label === 'object' ? label.length : batch,
    'states of captions': text?.shape[0] ?? batch,
  };
  for (const [what, count] of Object.entries(counts)) {
    if (count === batch || count === latents) continue;
    throw new UserError(
      `${count} ${what} came to plan with`,
      `Give one for each sample of a batch, ${batch}, or for each latent, ${latents}; a single label is for all`,
    );
  }
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
 * A measure of the error of solvers: the largest one of all images, as a share of the data range,
 * or of the first of them where that is above a bound.
 */
async function errorMeasure(
  sampled: Sampling,
  parts: readonly Part[],
  bound: number,
  signal: AbortSignal | undefined,
): Promise<(solvers: readonly Solver[]) => Promise<number>> {
  const exact: Float32Array[] = [];
  for (const part of parts) {
    const { values } = await timed(() => sampled(part));
    exact.push(checkedFinite(values));
  }
  return async (solvers) => {
    let error = 0;
    for (const [index, part] of parts.entries()) {
      await breathe(signal);
      const { values } = await timed(() => sampled(part, solvers));
      error = Math.max(error, largestError(values, exact[index]!));
      if (error > bound) break;
    }
    return error;
  };
}

/** Throws where numbers that sequential sampling makes are not finite. */
function checkedFinite(values: Float32Array): Float32Array {
  if (values.every(Number.isFinite)) return values;
  throw new UserError(
    'Sequential sampling makes numbers that are not finite',
    'There is nothing to compare with: the model or its guidance diverges',
  );
}

/** Candidates per block, by index from the data, each with its time and error. */
async function measureBlocks(
  flow: Model,
  { z, ...context }: Part,
  options: Numbered<PlanOptions>,
  execution: Execution,
): Promise<Candidate[][]> {
  const { images, onBlock, mode, precision } = options;
  const rankings = images && convergenceRankingMetric(flow, images);
  const guesses = images && initialGuessingMetric(flow, images);
  const trajectory = await samplingTrajectory(flow, z, { ...context, mode, precision });
  const measured: Candidate[][] = [];
  try {
    for (const own of [...trajectory.blocks].reverse()) {
      const { index, cost } = own.block;
      const candidates = await measureBlock(new Contest(own, execution, options.signal), options, {
        tokens: own.block.tokens,
        starts: guesses ? [guesses[index]!.better] : ['latent', 'zeros'],
        tough: rankings ? rankings[index]!.share > 1 / cost.stack : true,
      });
      measured.unshift(candidates);
      onBlock?.(index, candidates);
    }
    return measured;
  } finally {
    trajectory.dispose();
  }
}

/** A change of this share of the largest error is rounding. */
const leastShare = 1 / 4096;

/**
 * Solves a block with some solvers. Forms (kind, start and segments) are looked at once; the best two are
 * finalists at several tolerances, and take turns with the sequential one.
 */
async function measureBlock(
  contest: Contest,
  { tolerance = 1e-3, repeats = 3 }: PlanOptions,
  search: Pick<FormSearch, 'tokens' | 'starts' | 'tough'>,
): Promise<Candidate[]> {
  const largest = tolerance * dataRange;
  const sequential = await contest.look({ kind: 'sequential' });
  for (const { tryForms } of solverDefinitions()) {
    await tryForms?.({
      ...search,
      tolerance: largest / 4,
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
  const entered = ({ solver }: Candidate, share: number): Candidate[] =>
    'tolerance' in solver ? [contest.enter({ ...solver, tolerance: share * largest })] : [];
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
    const enough = tightest.error <= tolerance / 256;
    if (enough || tightest.milliseconds >= sequential.milliseconds) break;
    [tightest = form] = entered(form, share);
    if (tightest === form) break;
    await contest.measure([tightest], repeats);
  }
  return contest.candidates;
}

/** Solvers of one block that are timed, and compared with the exact input. */
class Contest {
  readonly candidates: Candidate[] = [];
  private readonly exact: Float32Array;

  constructor(
    private readonly trajectory: BlockTrajectory,
    private readonly execution: Execution,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.exact = checkedFinite(trajectory.x.dataSync<'float32'>());
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
        contender.error = largestError(values, this.exact);
      },
      signal: this.signal,
    });
    contenders.forEach((candidate, index) => {
      candidate.milliseconds = Math.min(candidate.milliseconds, ...times[index]!);
    });
  }

  private async run(candidate: Candidate): Promise<tf.Tensor3D> {
    const { block, conditions, z } = this.trajectory;
    const context = { conditions, execution: this.execution };
    const { tokens, trace } = await solveUnchecked(block, z, candidate.solver, context);
    candidate.iterations = trace.iterations.length;
    return tokens;
  }
}

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
