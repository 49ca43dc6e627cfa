import { createHash } from 'node:crypto';
import { z } from 'zod';
import { currentEngine } from '../backend/engine.js';
import { UserError } from '../backend/errors.js';
import { readBytes, writeAtomically } from '../backend/files.js';
import { tf } from '../backend/tf.js';
import { permute } from '../flow/block.js';
import type { FlowConfig } from '../flow/config.js';
import { classMixture, type Label } from '../flow/labels.js';
import { flowBlocks, type TarFlow } from '../flow/tarflow.js';
import { type Guidance, guidedBlock } from './guidance.js';
import { inverse } from './inverse.js';
import { convergenceRankingMetric, initialGuessingMetric } from './metrics.js';
import { solveBlock } from './solve-block.js';
import type { Solver } from './solver.js';

/** The range of the images that a flow makes, [−1, 1]. */
const dataRange = 2;

/** What a solver cost in a block, and how far its result was from the exact one. */
export interface Candidate {
  solver: Solver;
  milliseconds: number;
  /** Largest difference of the block's input from the sequential one's. */
  error: number;
}

/** A whole sampling run. */
export interface PlanMeasurement {
  milliseconds: number;
  /** Largest difference of the images from sequential sampling, as a share of the data range. */
  error: number;
}

const settings = {
  tolerance: z.number().optional(),
  norm: z.enum(['largest', 'frobenius']).optional(),
  maximum: z.number().optional(),
  start: z.enum(['latent', 'zeros']).optional(),
};

const planSchema = z.object({
  format: z.literal('tarflow-plan'),
  /** The model that the plan was made for, see {@link modelFingerprint}. */
  model: z.string(),
  /** The largest difference from sequential sampling that was aimed at, a share of the range. */
  tolerance: z.number(),
  batch: z.number(),
  /** What it was measured on. */
  engine: z.string(),
  guidance: z
    .object({
      weight: z.number(),
      on: z.enum(['a', 'b', 'ab']).optional(),
      temperature: z.number().optional(),
      annealed: z.boolean().optional(),
      blocks: z.array(z.number()).readonly().optional(),
    })
    .nullable(),
  /** A solver per block, by index from the data. */
  solvers: z.array(
    z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('sequential') }),
      z.object({ kind: z.literal('jacobi'), ...settings }),
      z.object({ kind: z.literal('gaussSeidelJacobi'), segments: z.number(), ...settings }),
    ]),
  ),
  sequential: z.object({ milliseconds: z.number(), error: z.number() }),
  planned: z.object({ milliseconds: z.number(), error: z.number() }),
});

/**
 * How to sample from a model fastest: a solver per block, measured for one batch size and guidance
 * on one machine. It stays right anywhere, the times do not.
 */
export type Plan = z.infer<typeof planSchema>;

export interface PlanOptions {
  guidance?: Guidance;
  /** Largest difference from sequential sampling, as a share of the data range. Default 1e-3. */
  tolerance?: number;
  /**
   * Real images without noise. Given, IGM chooses the start, and segments are tried only in blocks
   * of more than an even share of CRM; without, both starts and all blocks are measured.
   */
  images?: tf.Tensor4D;
  /** How often each candidate is timed; the least counts. Default 2. */
  repeats?: number;
  /** Called with each block's candidates as they are measured. */
  onBlock?: (block: number, candidates: readonly Candidate[]) => void;
  signal?: AbortSignal;
}

/**
 * Finds a plan by measurement: each block is solved from sequential sampling's own intermediate
 * result with a few solvers, the fastest within the block's share of the tolerance is taken, and
 * the whole is checked on other noise. Where it misses the tolerance the shares are tightened, and
 * a block stays sequential where that is fastest.
 *
 * @param noise two batches of latents (2·batch, T, D): the first to measure on, the second to check
 * @param label a class for all, or one per sample of one batch
 * @throws UserError for a tolerance that is not above 0, and as `inverse` does
 */
export async function planSampling(
  flow: TarFlow,
  noise: tf.Tensor3D,
  label?: Label,
  options: PlanOptions = {},
): Promise<Plan> {
  const { guidance, tolerance = 1e-3, signal, repeats = 2 } = options;
  if (!(Number.isFinite(tolerance) && tolerance > 0)) {
    throw new UserError(`The plan's tolerance is ${tolerance}`, 'Expected a number above 0');
  }
  if (noise.shape[0] % 2 !== 0 || noise.shape[0] === 0) {
    throw new UserError(
      `${noise.shape[0]} latents came to plan with`,
      'Expected two batches of equal size: one to measure on and one to check on',
    );
  }
  const batch = noise.shape[0] / 2;
  const [measured, check] = tf.split(noise, 2, 0) as [tf.Tensor3D, tf.Tensor3D];
  const common = { ...(guidance && { guidance }), ...(signal && { signal }) };
  try {
    const blocks = await measureBlocks(flow, measured, label, options);

    // Warm, before anything whole is timed.
    const exact = await inverse(flow, check, label, common);
    const run = async (solver: Solver | readonly Solver[]): Promise<PlanMeasurement> => {
      let measurement = { milliseconds: Number.POSITIVE_INFINITY, error: 0 };
      for (let i = 0; i < repeats; i++) {
        const started = performance.now();
        const images = await inverse(flow, check, label, { ...common, solver });
        const milliseconds = performance.now() - started;
        const error = largestDifference(images, exact) / dataRange;
        images.dispose();
        measurement = { milliseconds: Math.min(measurement.milliseconds, milliseconds), error };
      }
      return measurement;
    };
    const plain: Solver[] = blocks.map(() => ({ kind: 'sequential' }));
    try {
      const sequential = await run(plain);
      let chosen = { solvers: plain, measurement: sequential };
      // Errors of one block are carried and may grow in the next ones, so a share may be too much.
      for (let budget = tolerance * dataRange; budget > tolerance * 1e-3; budget /= 4) {
        const solvers = blocks.map((candidates) => fastestWithin(candidates, budget));
        if (solvers.every(({ kind }) => kind === 'sequential')) break;
        const measurement = await run(solvers);
        if (measurement.error > tolerance) continue;
        if (measurement.milliseconds < sequential.milliseconds) chosen = { solvers, measurement };
        break;
      }
      return {
        format: 'tarflow-plan',
        model: modelFingerprint(flow),
        tolerance,
        batch,
        engine: currentEngine().engine,
        guidance: guidance ?? null,
        solvers: chosen.solvers as Plan['solvers'],
        sequential,
        planned: chosen.measurement,
      };
    } finally {
      exact.dispose();
    }
  } finally {
    tf.dispose([measured, check]);
  }
}

/** The fastest solver whose error is within a budget; there is always the sequential one, with 0. */
export function fastestWithin(candidates: readonly Candidate[], budget: number): Solver {
  const fitting = candidates.filter(({ error }) => error <= budget);
  const fastest = fitting.reduce<Candidate | undefined>(
    (best, one) => (best && best.milliseconds <= one.milliseconds ? best : one),
    undefined,
  );
  return fastest?.solver ?? { kind: 'sequential' };
}

/** Candidates per block, by index from the data, each with its time and error. */
async function measureBlocks(
  flow: TarFlow,
  noise: tf.Tensor3D,
  label: Label | undefined,
  options: PlanOptions,
): Promise<Candidate[][]> {
  const { guidance, tolerance = 1e-3, images, repeats = 2, onBlock, signal } = options;
  const rankings = images && convergenceRankingMetric(flow, images);
  const guesses = images && initialGuessingMetric(flow, images);
  const classes = classMixture(flow.config, label, noise.shape[0]);
  const measured: Candidate[][] = [];
  let x = noise.clone();
  try {
    for (const block of flowBlocks(flow).reverse()) {
      const guided = guidedBlock(block, noise.shape[0], classes, guidance);
      const latents = tf.tidy(() => permute(block, x.clone()));
      let exact: tf.Tensor3D | undefined;
      try {
        const measure = async (solver: Solver): Promise<Candidate> => {
          let candidate = { solver, milliseconds: Number.POSITIVE_INFINITY, error: 0 };
          for (let i = 0; i < repeats; i++) {
            const { tokens, trace } = await solveBlock(guided, latents, solver, {
              onStep: () => signal?.throwIfAborted(),
            });
            const milliseconds = Math.min(candidate.milliseconds, trace.milliseconds);
            const error = exact ? largestDifference(tokens, exact) : 0;
            candidate = { solver, milliseconds, error };
            if (exact) tokens.dispose();
            else exact = tokens;
            // A second look does not help what is far too slow.
            if (milliseconds > 4 * (candidates[0]?.milliseconds ?? milliseconds)) break;
          }
          return candidate;
        };
        const candidates: Candidate[] = [];
        candidates.push(await measure({ kind: 'sequential' }));
        const { index } = block;
        const starts = guesses ? [guesses[index]!.better] : (['latent', 'zeros'] as const);
        const tough = rankings ? rankings[index]!.share > 1 / flow.config.blocks : true;
        const tolerances = [1, 0.25, 1 / 16].map((share) => share * tolerance * dataRange);
        for (const start of starts) {
          candidates.push(await measure({ kind: 'jacobi', tolerance: tolerances[1]!, start }));
        }
        const { start } = fastest(candidates.slice(1)).solver as { start: (typeof starts)[number] };
        for (const one of [tolerances[0]!, tolerances[2]!]) {
          candidates.push(await measure({ kind: 'jacobi', tolerance: one, start }));
        }
        // More segments go on being tried as long as they help.
        let best = Number.POSITIVE_INFINITY;
        for (let segments = 2; tough && segments <= noise.shape[1] / 4; segments *= 2) {
          const kind = 'gaussSeidelJacobi';
          const found = await measure({ kind, segments, tolerance: tolerances[1]!, start });
          candidates.push(found);
          if (found.milliseconds >= best) break;
          best = found.milliseconds;
        }
        measured.unshift(candidates);
        onBlock?.(index, candidates);
        x.dispose();
        x = tf.tidy(() => permute(block, exact!.clone()));
      } finally {
        guided.dispose();
        latents.dispose();
        (exact as tf.Tensor3D | undefined)?.dispose();
      }
    }
    return measured;
  } finally {
    x.dispose();
    classes?.dispose();
  }
}

function fastest(candidates: readonly Candidate[]): Candidate {
  return candidates.reduce((best, one) => (one.milliseconds < best.milliseconds ? one : best));
}

/** The largest difference; infinite where a number is not finite on one side. */
function largestDifference(left: tf.Tensor, right: tf.Tensor): number {
  const [a, b] = [left.dataSync(), right.dataSync()];
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
 * @throws UserError where the plan was made for another model
 */
export function plannedSolvers(flow: TarFlow, plan: Plan): Solver[] {
  const model = modelFingerprint(flow);
  if (plan.model !== model || plan.solvers.length !== flow.config.blocks) {
    throw new UserError(
      `The plan was made for model ${plan.model}, this is ${model}`,
      'Make a plan for this model',
    );
  }
  return plan.solvers as Solver[];
}

/** Where the plan of a checkpoint lies. */
export function planPath(checkpoint: string): string {
  return `${checkpoint.replace(/\.(safetensors|pth|pt)$/, '')}.plan.json`;
}

/**
 * Reads a plan.
 * @throws UserError for a file that cannot be read or is not a plan
 */
export async function readPlan(file: string): Promise<Plan> {
  const text = Buffer.from(await readBytes(file)).toString('utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${file} is not JSON (${(error as Error).message})`, 'Make the plan anew');
  }
  const { data, error } = planSchema.safeParse(json);
  if (data) return data;
  const [issue] = error.issues;
  throw new UserError(
    `${file} is not a sampling plan (${[...(issue?.path ?? []).map(String), issue?.message].join(': ')})`,
    'Make the plan anew',
  );
}

/** Writes a plan. */
export async function writePlan(file: string, plan: Plan): Promise<void> {
  await writeAtomically(file, `${JSON.stringify(plan, null, 2)}\n`);
}
