import { createHash } from 'node:crypto';
import { z } from 'zod';
import { UserError } from '../backend/errors.js';
import { readBytes, writeAtomically } from '../backend/files.js';
import { tf } from '../backend/tf.js';
import { permute } from '../flow/block.js';
import { type FlowConfig, tokenCount } from '../flow/config.js';
import { classMixture, type Label } from '../flow/labels.js';
import { flowBlocks, type TarFlow } from '../flow/tarflow.js';
import { checkCount } from './count.js';
import { type ExecutionOptions, executionOf } from './execution.js';
import { type Guidance, type GuidedBlock, guidedBlock } from './guidance.js';
import { type InverseOptions, inverse } from './inverse.js';
import { currentMachine, type Machine } from './machine.js';
import { convergenceRankingMetric, initialGuessingMetric } from './metrics.js';
import { solveBlock } from './solve-block.js';
import {
  defaultTolerance,
  publishedSolvers,
  publishedStrategies,
  type Solver,
  type Start,
  selectiveJacobi,
  solversOfBlocks,
} from './solver.js';
import { askedExecution, breathe, executionText, median, takeTurns, timed } from './timing.js';

/** The range of the images that a flow makes, [−1, 1]: what shares of the data range refer to. */
export const dataRange = 2;

/** What a solver cost in a block, and how far its result was from the exact one. */
export interface Candidate {
  solver: Solver;
  /** The least of its times. */
  milliseconds: number;
  /** Largest difference of the block's input from the sequential one's, on the images' scale. */
  error: number;
  /** Jacobi iterations over all segments; 0 where tokens were solved one after the other. */
  iterations: number;
}

const count = z.number().int().positive();

const settings = {
  tolerance: z.number().nonnegative().optional(),
  norm: z.enum(['largest', 'frobenius']).optional(),
  maximum: count.optional(),
  start: z.enum(['latent', 'zeros']).optional(),
};

const outcome = z.strictObject({
  milliseconds: z.number().nonnegative(),
  error: z.number().nonnegative(),
});

const planSchema = z.strictObject({
  format: z.literal('tarflow-plan'),
  /** The model that the plan was made for, see {@link modelFingerprint}. */
  model: z.string(),
  /** The largest difference from sequential sampling that was aimed at, a share of the range. */
  tolerance: z.number().positive(),
  batch: count,
  /** The classes that were sampled, each once; null for samples without a label. */
  label: z.array(z.number().int().min(-1)).min(1).readonly().nullable(),
  /** What it was measured on, see `Machine`, and how. */
  engine: z.string(),
  version: z.string(),
  device: z.string(),
  threads: count,
  mode: z.enum(['eager', 'graph', 'xla']),
  loop: z.enum(['eager', 'graph', 'xla']),
  precision: z.enum(['float32', 'bfloat16']),
  guidance: z
    .strictObject({
      weight: z.number().nonnegative(),
      on: z.enum(['a', 'b', 'ab']).optional(),
      temperature: z.number().positive().optional(),
      annealed: z.boolean().optional(),
      blocks: z.array(z.number().int().nonnegative()).readonly().optional(),
    })
    .nullable(),
  /** A solver per block, by index from the data. */
  solvers: z.array(
    z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('sequential') }),
      z.strictObject({ kind: z.literal('jacobi'), ...settings }),
      z.strictObject({ kind: z.literal('gaussSeidelJacobi'), segments: count, ...settings }),
    ]),
  ),
  sequential: outcome,
  planned: outcome,
});

/** Keys that older versions did not write. */
const newKeys = ['label', 'version', 'device', 'threads'] as const;

/**
 * How to sample from a model fastest: a solver per block, measured for one batch size, label and
 * guidance on one machine. It stays right anywhere, the times do not.
 */
export type Plan = z.infer<typeof planSchema>;

/** All that is compared runs as the options say. */
interface PlanOptions extends ExecutionOptions {
  /** Samples made together, which the plan is for. Default: half of the latents. */
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

/** How many latents to give {@link planSampling} for a batch: one to measure on, the rest to check. */
export function latentsToPlan(batch: number): number {
  return batch * (1 + Math.ceil(checkedImages / batch));
}

/**
 * Finds a plan by measurement: each block is solved from sequential sampling's own intermediate
 * result with a few solvers, the fastest within the block's share of the tolerance is taken, and
 * the whole is checked on other noise. Where any image misses half the tolerance (other noise may
 * err more) the shares are tightened; then blocks get faster solvers again where the whole stays
 * within a quarter. A block stays sequential where that is fastest, and all of them do where the
 * whole is not faster by a tenth.
 *
 * @param noise two batches of latents or more (latents, T, D): the first to measure on, the others
 *   to check on; see {@link latentsToPlan}
 * @param label a class for all, or one per sample: of one batch, and each batch has the same, or of
 *   all latents
 * @throws UserError for a tolerance that is not above 0, counts below 1, samples that are not
 *   finite, and as `inverse` does
 */
export async function planSampling(
  flow: TarFlow,
  noise: tf.Tensor3D,
  label?: Label,
  options: PlanOptions = {},
): Promise<Plan> {
  const { guidance, tolerance = 1e-3, signal, repeats = 3 } = options;
  checkTolerance(tolerance);
  checkCount('repeats', repeats);
  const latents = noise.shape[0];
  const { batch = latents / 2 } = options;
  if (!(Number.isInteger(batch) && batch > 0 && latents % batch === 0 && latents > batch)) {
    throw new UserError(
      `${latents} latents came to plan with${options.batch === undefined ? '' : `, batch ${batch}`}`,
      'Expected one batch to measure on, and one or more of equal size to check on',
    );
  }
  const labels = labelsOfLatents(label, batch, latents);
  const execution = executionOf(flow.config, options);
  const part = (first: number, size: number): Part => ({
    noise: tf.slice(noise, [first, 0, 0], [size, -1, -1]),
    label: typeof labels === 'object' ? labels.slice(first, first + size) : labels,
  });
  const [measured, timedPart] = [part(0, batch), part(batch, batch)];
  const checked: Part[] = [];
  const together = execution.mode === 'eager' ? manyTogether(flow.config, batch) : batch;
  for (let first = batch; first < latents; first += together) {
    checked.push(part(first, Math.min(together, latents - first)));
  }
  try {
    // These refuse all that does not fit before anything long begins.
    const errorOf = await errorMeasure(flow, checked, tolerance / 2, options);
    const blocks = await measureBlocks(flow, measured, options);

    const plain: Solver[] = blocks.map(() => ({ kind: 'sequential' }));
    let found: Found | undefined;
    // Errors of one block are carried and may grow in the next ones, so a share may be too much.
    for (let budget = tolerance * dataRange; budget > tolerance * 1e-3 && !found; budget /= 4) {
      const solvers = blocks.map((candidates) => fastestWithin(candidates, budget));
      if (solvers.every(({ kind }) => kind === 'sequential')) break;
      // Where graphs are recorded, this warms them, too.
      const error = await errorOf(solvers);
      if (error <= tolerance / 2) {
        found = await loosened(blocks, { solvers, error }, errorOf, tolerance / 4);
      }
    }

    const contenders = found ? [plain, found.solvers] : [plain];
    const times = await takeTurns(
      contenders.map((solvers) => () => imagesOf(flow, timedPart, options, { solver: solvers })),
      repeats,
      { signal },
    );
    const [sequential, planned] = times as [number[], number[]?];
    const unplanned = { milliseconds: Math.min(...sequential), error: 0 };
    // The least time is the one least disturbed, the median says whether that was luck.
    const faster = (of: (...times: number[]) => number): boolean =>
      planned !== undefined && of(...planned) < (1 - safeGain) * of(...sequential);
    const chosen =
      found && planned && faster(Math.min) && faster((...all) => median(all))
        ? { ...found, milliseconds: Math.min(...planned) }
        : undefined;
    return {
      format: 'tarflow-plan',
      model: modelFingerprint(flow),
      tolerance,
      batch,
      label: distinctLabels(label),
      ...currentMachine(),
      ...execution,
      guidance: guidance ?? null,
      solvers: (chosen?.solvers ?? plain) as Plan['solvers'],
      sequential: unplanned,
      planned: chosen ? { milliseconds: chosen.milliseconds, error: chosen.error } : unplanned,
    };
  } finally {
    tf.dispose([measured, timedPart, ...checked].map((one) => one.noise));
  }
}

/** Some latents (samples, T, D), and their labels. */
interface Part {
  noise: tf.Tensor3D;
  label: Label | undefined;
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

/** Each label once, in ascending order. */
function distinctLabels(label: Label | undefined): number[] | null {
  if (label === undefined) return null;
  return typeof label === 'number' ? [label] : [...new Set(label)].sort((a, b) => a - b);
}

/** So many attention weights of a layer take a quarter of a gigabyte. */
const manyWeights = 6e7;

/**
 * How many images to check together op by op: an operation's own cost is shared by all, and what
 * comes out does not depend on the batch.
 */
function manyTogether(config: FlowConfig, batch: number): number {
  const guidedWeights = (2 * tokenCount(config) ** 2 * config.channels) / config.headWidth;
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
  flow: TarFlow,
  parts: readonly Part[],
  bound: number,
  options: PlanOptions,
): Promise<(solver: readonly Solver[]) => Promise<number>> {
  const exact: Float32Array[] = [];
  for (const part of parts) exact.push(await sequentialImages(flow, part, options));
  return async (solver) => {
    let error = 0;
    for (const [index, part] of parts.entries()) {
      await breathe(options.signal);
      const { values } = await timed(() => imagesOf(flow, part, options, { solver }));
      error = Math.max(error, largestDifference(values, exact[index]!) / dataRange);
      if (error > bound) break;
    }
    return error;
  };
}

/** The images of some latents, made as the options say. */
function imagesOf(
  flow: TarFlow,
  { noise, label }: Part,
  options: PlanOptions,
  more: InverseOptions,
): Promise<tf.Tensor4D> {
  const { guidance } = options;
  return inverse(flow, noise, label, {
    ...askedExecution(options),
    ...(guidance && { guidance }),
    ...more,
  });
}

/**
 * The images that sequential sampling makes.
 * @throws UserError where they are not finite, and as `inverse` does
 */
async function sequentialImages(
  flow: TarFlow,
  part: Part,
  options: PlanOptions,
  onBlock?: InverseOptions['onBlock'],
): Promise<Float32Array> {
  const { signal } = options;
  const images = await imagesOf(flow, part, options, {
    ...(signal && { signal }),
    ...(onBlock && { onBlock }),
  });
  try {
    const values = images.dataSync() as Float32Array;
    if (values.every(Number.isFinite)) return values;
    throw new UserError(
      'Sequential sampling makes numbers that are not finite',
      'There is nothing to compare with: the model or its guidance diverges',
    );
  } finally {
    images.dispose();
  }
}

/** Candidates per block, by index from the data, each with its time and error. */
async function measureBlocks(
  flow: TarFlow,
  part: Part,
  options: PlanOptions,
): Promise<Candidate[][]> {
  const { noise, label } = part;
  const { guidance, images, onBlock } = options;
  const rankings = images && convergenceRankingMetric(flow, images);
  const guesses = images && initialGuessingMetric(flow, images);
  const batch = noise.shape[0];
  /** The latents of the block of that index; entry 0 is the data. */
  const passage: tf.Tensor3D[] = [];
  passage[flow.config.blocks] = noise.clone();
  const classes = classMixture(flow.config, label, batch);
  const measured: Candidate[][] = [];
  try {
    await sequentialImages(flow, part, options, (tokens, block) => {
      passage[block] = tokens.clone();
    });
    for (const block of flowBlocks(flow).reverse()) {
      const { index } = block;
      const guided = guidedBlock(
        block,
        batch,
        classes,
        guidance,
        executionOf(flow.config, options),
      );
      const [z, exact] = tf.tidy(() => {
        const [after, before] = [passage[index + 1]!, passage[index]!];
        return [permute(block, after.clone()), permute(block, before.clone())];
      }) as [tf.Tensor3D, tf.Tensor3D];
      try {
        const candidates = await measureBlock(guided, z, exact, options, {
          starts: guesses ? [guesses[index]!.better] : ['latent', 'zeros'],
          tough: rankings ? rankings[index]!.share > 1 / flow.config.blocks : true,
        });
        measured.unshift(candidates);
        onBlock?.(index, candidates);
      } finally {
        guided.dispose();
        tf.dispose([z, exact]);
      }
    }
    return measured;
  } finally {
    tf.dispose(passage.filter(Boolean));
    classes?.dispose();
  }
}

/**
 * Solves a block with some solvers. Forms (start and segments) are looked at once; the best two are
 * finalists at several tolerances, and take turns with the sequential one.
 */
async function measureBlock(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  exact: tf.Tensor3D,
  { tolerance = 1e-3, repeats = 3, signal }: PlanOptions,
  { starts, tough }: { starts: readonly Start[]; tough: boolean },
): Promise<Candidate[]> {
  const largest = tolerance * dataRange;
  const target = exact.dataSync() as Float32Array;
  const candidates: Candidate[] = [];
  const enter = (solver: Solver): Candidate => {
    const candidate: Candidate = {
      solver,
      milliseconds: Number.POSITIVE_INFINITY,
      error: 0,
      iterations: 0,
    };
    candidates.push(candidate);
    return candidate;
  };
  const run = async (candidate: Candidate): Promise<tf.Tensor3D> => {
    const { tokens, trace } = await solveBlock(guided, z, candidate.solver);
    candidate.iterations = trace.iterations.length;
    return tokens;
  };
  const measure = async (contenders: readonly Candidate[], rounds: number): Promise<void> => {
    const times = await takeTurns(
      contenders.map((candidate) => () => run(candidate)),
      rounds,
      {
        onResult: (index, _, values) => {
          contenders[index]!.error = largestDifference(values, target);
        },
        signal,
      },
    );
    contenders.forEach((candidate, index) => {
      candidate.milliseconds = Math.min(candidate.milliseconds, ...times[index]!);
    });
  };
  const look = async (solver: Solver): Promise<Candidate> => {
    const candidate = enter(solver);
    // Warm: a first run may have graphs to record, and take many times as long.
    await timed(() => run(candidate));
    await measure([candidate], 1);
    return candidate;
  };

  const sequential = await look({ kind: 'sequential' });
  let best: Candidate | undefined;
  for (const start of starts) {
    const found = await look({ kind: 'jacobi', tolerance: largest / 4, start });
    if (!best || found.milliseconds < best.milliseconds) best = found;
  }
  const { start } = best!.solver as { start: Start };
  // More segments go on being tried as long as they help.
  let bound = tough ? Number.POSITIVE_INFINITY : best!.milliseconds;
  for (let segments = 2; segments <= z.shape[1] / 4; segments *= 2) {
    const kind = 'gaussSeidelJacobi';
    const found = await look({ kind, segments, tolerance: largest / 4, start });
    if (found.milliseconds >= bound) break;
    bound = found.milliseconds;
  }

  // The others are too slow for a wrong timing to be the cause.
  const forms = candidates
    .filter(({ milliseconds }) => milliseconds < 1.5 * sequential.milliseconds)
    .filter((candidate) => candidate !== sequential)
    .sort((a, b) => a.milliseconds - b.milliseconds)
    .filter(({ milliseconds }, _, [first]) => milliseconds < 1.2 * first!.milliseconds)
    .slice(0, 2);
  const entered = (form: Candidate, share: number): Candidate =>
    enter({ ...form.solver, tolerance: share * largest } as Solver);
  const finalists = forms.flatMap((form) => [
    form,
    ...[1, 1 / 16, 1 / 64].map((share) => entered(form, share)),
  ]);
  if (finalists.length === 0) return candidates;
  await measure([sequential, ...finalists], repeats);
  // In a tough block a small change is not a small error yet.
  const [form] = forms as [Candidate];
  let tightest = finalists[3] as Candidate;
  for (let share = 1 / 256; share >= leastShare; share /= 4) {
    if (tightest.error <= largest / 256 || tightest.milliseconds >= sequential.milliseconds) break;
    tightest = entered(form, share);
    await measure([tightest], repeats);
  }
  return candidates;
}

/** A change of this share of the largest error is rounding. */
const leastShare = 1 / 4096;

/** The largest difference; infinite where a number is not finite on one side. */
export function largestDifference(a: Float32Array, b: Float32Array): number {
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference;
  }
  return largest;
}

/**
 * A short text that tells models apart: a digest of the configuration and of the tables and output
 * layers of the blocks, which any training step changes.
 */
export function modelFingerprint(flow: TarFlow): string {
  const digest = createHash('sha256').update(JSON.stringify(sortedConfig(flow.config)));
  for (const { pos_embed, proj_out } of flow.parameters.blocks) {
    for (const tensor of [pos_embed, proj_out.weight, proj_out.bias]) {
      digest.update(Float32Array.from(tensor.dataSync()));
    }
  }
  return digest.digest('hex').slice(0, 16);
}

function sortedConfig({ image, ...rest }: FlowConfig): unknown {
  const { channels, height, width } = image;
  return [[channels, height, width], Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1))];
}

/**
 * The solvers of a plan, for `inverse` and `sample`.
 * @throws UserError where the plan was made for another model, or has settings that do not fit it
 */
export function plannedSolvers(flow: TarFlow, plan: Plan): Solver[] {
  const model = modelFingerprint(flow);
  if (plan.model !== model) {
    throw new UserError(
      `The plan was made for model ${plan.model}, this is ${model}`,
      `Make one for this model: ${planCommand(plan)}`,
    );
  }
  const [found, blocks] = [plan.solvers.length, flow.config.blocks];
  if (found !== blocks) {
    throw new UserError(
      `The plan has ${found} solvers, and the model ${blocks} blocks`,
      `Expected one for each: ${planCommand(plan)}`,
    );
  }
  try {
    return [...solversOfBlocks(flow.config, plan.solvers as Solver[])];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.problem, `${error.remedy}: ${planCommand(plan)}`);
  }
}

/** What to type for a plan of the same use. */
function planCommand({ batch, tolerance, label, guidance, mode, loop, precision }: Plan): string {
  const { weight, on, temperature, annealed, blocks } = guidance ?? { weight: 0 };
  return [
    ...['tarflow plan CHECKPOINT --batch', batch, '--tolerance', tolerance],
    ...(label ? ['--label', label.join(',')] : []),
    ...(weight > 0 ? ['--guidance', weight] : []),
    ...(temperature === undefined ? [] : ['--temperature', temperature]),
    ...(annealed ? ['--annealed'] : []),
    ...(on === undefined ? [] : ['--on', on]),
    ...(blocks ? ['--blocks', blocks.join(',')] : []),
    // Loops of another mode are what is chosen where none is asked for.
    ...(mode === loop ? ['--mode', mode] : []),
    ...(precision === 'float32' ? [] : ['--precision', precision]),
    '--output FILE',
  ].join(' ');
}

/**
 * In what a plan was measured otherwise than it is about to be used, in words: each is no mistake,
 * but its times may not be the least, and under another label or guidance its error may be larger.
 */
export function planDifferences(
  config: FlowConfig,
  plan: Plan,
  use: { batch: number; label?: Label; guidance?: Guidance } & ExecutionOptions,
): string[] {
  const differences: string[] = [];
  if (plan.batch !== use.batch) differences.push(`for batch ${plan.batch}, not ${use.batch}`);
  const label = distinctLabels(use.label);
  const covered = label?.every((one) => plan.label?.includes(one)) ?? plan.label === null;
  if (!covered) differences.push(`for ${labelText(plan.label)}, not ${labelText(label)}`);
  if (guidanceText(plan.guidance ?? undefined) !== guidanceText(use.guidance)) {
    differences.push(
      `with ${guidanceText(plan.guidance ?? undefined)}, not ${guidanceText(use.guidance)}`,
    );
  }
  const machine = currentMachine();
  const planned = executionText(plan.engine, plan);
  const used = executionText(machine.engine, executionOf(config, use));
  if (planned !== used) differences.push(`on ${planned}, not on ${used}`);
  if (deviceText(plan) !== deviceText(machine)) {
    differences.push(`on ${deviceText(plan)}, not on ${deviceText(machine)}`);
  }
  return differences;
}

function labelText(label: readonly number[] | null): string {
  if (!label) return 'no label';
  return `label${label.length === 1 ? '' : 's'} ${label.join(', ')}`;
}

function deviceText({ device, threads }: Pick<Machine, 'device' | 'threads'>): string {
  return `${device} with ${threads} thread${threads === 1 ? '' : 's'}`;
}

function guidanceText(guidance: Plan['guidance'] | undefined): string {
  if (!guidance || guidance.weight === 0) return 'no guidance';
  const { weight, on = 'ab', temperature = 1, annealed = false, blocks } = guidance;
  return [
    `guidance ${weight}`,
    ...(on === 'ab' ? [] : [`on ${on}`]),
    ...(temperature === 1 ? [] : [`temperature ${temperature}`]),
    ...(annealed ? ['annealed'] : []),
    ...(blocks ? [`blocks ${[...blocks].sort((a, b) => a - b).join(',')}`] : []),
  ].join(' ');
}

/** The names that {@link namedSolvers} knows. */
export const strategyNames: readonly string[] = [...Object.keys(publishedStrategies), 'SeJD'];

/**
 * The solvers of a published strategy: those of Liu and Qin 2025 (arXiv 2505.12849) by the name of
 * the model that each was tuned for, and `SeJD`, Selective Jacobi Decoding with the published rule
 * (Zhang et al. 2025, arXiv 2505.24791).
 *
 * @returns a solver per block, by index from the data
 * @throws UserError for an unknown name, and where the strategy does not fit the model
 */
export function namedSolvers(config: FlowConfig, name: string): Solver[] {
  const lists = Object.hasOwn(publishedStrategies, name) ? publishedStrategies[name] : undefined;
  if (!lists && name !== 'SeJD') {
    throw new UserError(
      `There is no published strategy '${name}'`,
      `Expected one of ${strategyNames.join(', ')}`,
    );
  }
  try {
    const solvers = lists
      ? publishedSolvers(config, lists)
      : selectiveJacobi(config, { published: true });
    return [...solversOfBlocks(config, solvers)];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`The strategy ${name} does not fit: ${error.problem}`, error.remedy);
  }
}

/** A solver in a few words, for tables. */
export function solverText(solver: Solver): string {
  if (solver.kind === 'sequential') return 'sequential';
  const { tolerance = defaultTolerance, maximum, start = 'latent' } = solver;
  return [
    solver.kind === 'publishedGaussSeidelJacobi' ? 'published form' : 'Jacobi',
    ...('segments' in solver && solver.segments > 1 ? [`${solver.segments} segments`] : []),
    `from ${start}`,
    `to ${Number(tolerance.toPrecision(2))}`,
    ...(maximum === undefined ? [] : [`at most ${maximum}`]),
    ...('clamp' in solver && solver.clamp !== undefined ? [`clamped at ${solver.clamp}`] : []),
  ].join(', ');
}

/** Where the plan of a checkpoint lies. */
export function planPath(checkpoint: string): string {
  return `${checkpoint.replace(/\.(safetensors|pth|pt)$/, '')}.plan.json`;
}

/**
 * Reads a plan.
 * @throws UserError for a file that cannot be read, is not a plan, or was made by an older version
 */
export async function readPlan(file: string): Promise<Plan> {
  const remedy =
    `Make the plan anew: tarflow plan CHECKPOINT --output ${file}, with the batch, label and ` +
    'guidance that you sample with';
  const text = Buffer.from(await readBytes(file)).toString('utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${file} is not JSON (${(error as Error).message})`, remedy);
  }
  const { data, error } = planSchema.safeParse(json);
  if (data) return data;
  const given = (json ?? {}) as Record<string, unknown>;
  const absent = newKeys.filter((key) => given[key] === undefined);
  if (given.format === 'tarflow-plan' && absent.length > 0) {
    const problem = `${file} was made by an older version, which did not write ${absent.join(', ')}`;
    throw new UserError(problem, remedy);
  }
  const [issue] = error.issues;
  const place = [...(issue?.path ?? []).map(String), issue?.message].join(': ');
  throw new UserError(`${file} is not a sampling plan (${place})`, remedy);
}

/** Writes a plan. */
export async function writePlan(file: string, plan: Plan): Promise<void> {
  await writeAtomically(file, `${JSON.stringify(plan, null, 2)}\n`);
}
