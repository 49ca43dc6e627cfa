import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Label } from '../../conditions/labels.js';
import type { ExecutionOptions } from '../../core/engine.js';
import { UserError } from '../../core/errors.js';
import { readBytes, writeAtomically } from '../../core/files.js';
import { checkedJson, checkedValue } from '../../core/schema.js';
import { tidy } from '../../core/tf.js';
import type { Model, ModelConfig } from '../../flow/model.js';
import { blocksOf, count } from '../../flow/model.js';
import { type Guidance, guidanceSchema } from '../guidance.js';
import { executionOf, executionText } from '../solvers/execution.js';
import { type Solver, solverSchema, solversOfBlocks } from '../solvers/solvers.js';
import { currentMachine, type Machine } from './machine.js';

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
  /** True where captions were sampled; neither which ones nor which noise matters. */
  captioned: z.boolean().optional(),
  /** What it was measured on, see `Machine`, and how. */
  engine: z.string(),
  version: z.string(),
  device: z.string(),
  threads: count,
  mode: z.enum(['eager', 'graph', 'xla']),
  loop: z.enum(['eager', 'graph', 'xla']),
  precision: z.enum(['float32', 'bfloat16']),
  guidance: guidanceSchema.nullable(),
  /** A solver per block, by index from the data. */
  solvers: z.array(solverSchema),
  sequential: outcome,
  planned: outcome,
});

/**
 * How to sample from a model fastest: a solver per block, measured for one batch size, label and
 * guidance on one machine. The solvers stay valid on any machine; the times do not.
 */
export type Plan = z.infer<typeof planSchema>;

/**
 * Sixteen hexadecimal digits that identify a flow with blocks, quickly: from its configuration and the
 * output layers of its blocks, which any training step changes. Plans and acceleration tables have it;
 * `weightsDigest` reads every number.
 *
 * @throws UserError for a model without blocks
 */
export function modelFingerprint(flow: Model): string {
  const digest = createHash('sha256').update(JSON.stringify(sortedConfig(flow.config)));
  tidy(() => {
    for (const block of blocksOf(flow)) {
      const { mean, logScale } = block.outputWeights();
      for (const weights of [mean, logScale]) {
        if (weights) digest.update(Float32Array.from(weights.dataSync()));
      }
    }
  });
  return digest.digest('hex').slice(0, 16);
}

function sortedConfig({ image, ...rest }: ModelConfig): unknown {
  const { channels, height, width } = image;
  return [[channels, height, width], Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1))];
}

/**
 * The solvers of a plan, for `inverse` and `sample`.
 * @throws UserError where the plan was made for another model, or has settings that do not fit it
 *
 * @example
 * ```ts
 * import { createModel, sample, startEngine } from 'tarflow';
 * import { plannedSolvers, planSampling, sampleNoise } from 'tarflow/sampling';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * const plan = await planSampling(flow, sampleNoise(flow, 0, 0, 2), { label: 1 });
 * const images = await sample(flow, { count: 1, label: 1, solver: plannedSolvers(flow, plan) });
 * console.log(images.shape); // [ 1, 1, 8, 8 ]
 * ```
 */
export function plannedSolvers(flow: Model, plan: Plan): Solver[] {
  const model = modelFingerprint(flow);
  if (plan.model !== model) {
    throw new UserError(
      `The plan was made for model ${plan.model}, this is ${model}`,
      `Make one for this model: ${planCommand(plan)}`,
    );
  }
  const stack = blocksOf(flow);
  const [found, blocks] = [plan.solvers.length, stack.length];
  if (found !== blocks) {
    throw new UserError(
      `The plan has ${found} solvers, and the model ${blocks} blocks`,
      `Expected one for each: ${planCommand(plan)}`,
    );
  }
  try {
    return [...solversOfBlocks(stack, plan.solvers)];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.problem, `${error.remedy}. Make the plan anew: ${planCommand(plan)}`);
  }
}

/** What to type for another plan of the same use. */
function planCommand(plan: Plan): string {
  // Loops of another mode are what is chosen where none is asked for.
  const mode = plan.mode === plan.loop ? plan.mode : undefined;
  const captions = plan.captioned ? ['CAPTION'] : [];
  const options = planOptionWords({ ...plan, label: plan.label ?? undefined, captions, mode });
  return ['tarflow plan CHECKPOINT', ...options, '--out FILE'].join(' ');
}

/** What a plan is made for. */
export interface PlanUse extends ExecutionOptions {
  batch: number;
  label?: Label | undefined;
  /** What the model is told to show. A plan made for some captions may be used for others. */
  captions?: readonly string[] | undefined;
  /** What reads captions, if it is named. */
  textEncoder?: string | undefined;
  guidance?: Guidance | null | undefined;
}

/** The options of `tarflow plan` for a use, as words. */
export function planOptionWords(use: PlanUse & { tolerance: number }): string[] {
  const { batch, tolerance, label, captions = [], textEncoder, guidance, mode, precision } = use;
  return optionWords({
    batch,
    tolerance,
    label: distinctLabels(label)?.join(','),
    text: captions,
    'text-encoder': textEncoder,
    ...guidanceOptions(guidance),
    mode,
    precision: precision === 'float32' ? undefined : precision,
  });
}

/** Options by name as words: a flag stands alone, a list repeats its option, what is undefined is left out. */
function optionWords(options: Record<string, unknown>): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    if (value === undefined) return [];
    if (value === true) return [`--${name}`];
    return [value].flat().flatMap((one) => [`--${name}`, `${one}`]);
  });
}

/** The options of guidance, but for those that are the default. */
function guidanceOptions(guidance: Guidance | null | undefined): Record<string, unknown> {
  if (!guidance || guidance.weight === 0) return {};
  const { weight, rule, on, temperature, annealed, blocks } = guidance;
  return {
    guidance: weight,
    rule: rule === 'linear' ? undefined : rule,
    on: on === 'ab' ? undefined : on,
    temperature: temperature === 1 ? undefined : temperature,
    annealed: annealed || undefined,
    blocks: blocks && [...blocks].sort((a, b) => a - b).join(','),
  };
}

/**
 * How the use of a plan differs from what it was measured for, in words. No difference is a mistake, but
 * times may not be the least, and with another label or guidance the error may be larger.
 *
 * @returns one text for each difference; none where there are none
 * @throws UserError before `startEngine`, and for a model without blocks
 */
export function planDifferences(flow: Model, plan: Plan, use: PlanUse): string[] {
  const machine = currentMachine();
  const labels = distinctLabels(use.label);
  // A plan for some labels is one for each of them.
  const covered = labels?.every((label) => plan.label?.includes(label)) ?? plan.label === null;
  const captions = (some: boolean | undefined) => (some ? 'captions' : 'no captions');
  const execution = executionOf(blocksOf(flow), use);
  const compared: [word: string, planned: string, used: string][] = [
    ['for', `batch ${plan.batch}`, `batch ${use.batch}`],
    ['for', labelText(plan.label), covered ? labelText(plan.label) : labelText(labels)],
    ['with', captions(plan.captioned), captions(Boolean(use.captions?.length))],
    ['with', guidanceText(plan.guidance), guidanceText(use.guidance)],
    ['on', executionText(plan.engine, plan), executionText(machine.engine, execution)],
    ['on', deviceText(plan), deviceText(machine)],
  ];
  return compared.flatMap(([word, planned, used]) =>
    planned === used ? [] : [`${word} ${planned}, not ${used}`],
  );
}

function labelText(label: readonly number[] | null): string {
  if (!label) return 'no label';
  return `label${label.length === 1 ? '' : 's'} ${label.join(', ')}`;
}

function deviceText({ device, threads }: Pick<Machine, 'device' | 'threads'>): string {
  return `${device} with ${threads} thread${threads === 1 ? '' : 's'}`;
}

function guidanceText(guidance: Guidance | null | undefined): string {
  const words = optionWords(guidanceOptions(guidance));
  return words.join(' ').replaceAll('--', '') || 'no guidance';
}

/** Each label once, in ascending order. */
export function distinctLabels(label: Label | undefined): number[] | null {
  if (label === undefined) return null;
  return typeof label === 'number' ? [label] : [...new Set(label)].sort((a, b) => a - b);
}

/** How the names of checkpoints end. */
const checkpointEnding = /\.(safetensors|pth|pt)$/;

/** Where the plan of a checkpoint lies. */
export function planPath(checkpoint: string): string {
  return `${checkpoint.replace(checkpointEnding, '')}.plan.json`;
}

/**
 * Reads a plan.
 * @throws UserError for a file that cannot be read, is not a plan, or lacks what older versions did not write
 */
export async function readPlan(file: string): Promise<Plan> {
  const text = Buffer.from(await readBytes(file)).toString('utf8');
  const other = 'Give a file that tarflow plan wrote';
  const ofPlans = z.looseObject({ format: planSchema.shape.format });
  const json = checkedJson(ofPlans, text, file, other);
  const remedy =
    `Make the plan anew: tarflow plan CHECKPOINT --out ${file}, with the batch, label or ` +
    'captions, and guidance that you sample with';
  return checkedValue(planSchema, json, file, remedy);
}

/**
 * Checks the name of a file that a plan is to be written to.
 * @throws UserError for one that ends as a checkpoint's does, so that none is overwritten
 */
export function checkPlanPath(file: string): void {
  if (!checkpointEnding.test(file)) return;
  throw new UserError(
    `${file} is named as a checkpoint, and a plan is JSON`,
    `Choose another name, e.g. ${planPath(file)}`,
  );
}

/**
 * Writes a plan.
 * @throws UserError for a file named as a checkpoint, and where it cannot be written
 */
export async function writePlan(file: string, plan: Plan): Promise<void> {
  checkPlanPath(file);
  await writeAtomically(file, `${JSON.stringify(plan, null, 2)}\n`);
}
