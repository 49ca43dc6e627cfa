import { z } from 'zod';
import { classMixture } from '../../src/conditions/labels.js';
import { tf, tidy } from '../../src/core/tf.js';
import { blocksOf, disposeModel } from '../../src/flow/flow.js';
import type { TarFlow } from '../../src/models/tarflow/index.js';
import { type Guidance, guidedBlock } from '../../src/sampling/guidance/guided-block.js';
import { inverse } from '../../src/sampling/inverse.js';
import { publishedSolvers } from '../../src/sampling/solvers/published-strategies.js';
import { solveBlock } from '../../src/sampling/solvers/solve-block.js';
import { type Solver, selectiveJacobi } from '../../src/sampling/solvers/solver.js';
import {
  convergenceRankingMetric,
  initialGuessingMetric,
} from '../../src/sampling/study/metrics.js';
import {
  described,
  type GoldenFile,
  goldenFlow,
  goldenInput,
  goldenSchema,
  goldenTensor,
  type Results,
  readGoldenBeside,
} from './golden-file.js';

const runSchema = z.object({
  name: z.string(),
  guidance: z.number(),
  attn_temp: z.number(),
  annealed: z.boolean(),
  clamp: z.boolean(),
  ebound: z.number(),
});

const gsJacobiSchema = goldenSchema.extend({
  weights_from: z.string(),
  runs: z.array(
    z.union([
      runSchema.extend({
        num_GS: z.number(),
        max_jacobi: z.number(),
        zero_guess: z.number(),
      }),
      // Lists in the order of sampling.
      runSchema.extend({
        num_GS_list: z.array(z.number()),
        max_jacobi_list: z.array(z.number()),
        guess_list: z.array(z.number()),
      }),
    ]),
  ),
});

/** Iterations whose iterates a file holds, beside the start. */
const keptIterations = 8;

/** What the library computes for a golden file of kind `gs-jacobi`. */
export async function gsJacobiResults(golden: GoldenFile): Promise<Results> {
  const { weights_from: weights, runs } = described(golden, gsJacobiSchema);
  const base = await readGoldenBeside(golden, weights);
  const flow = goldenFlow(base);
  const noise = goldenTensor(golden, 'noise') as tf.Tensor3D;
  const images = goldenTensor(golden, 'x_metrics') as tf.Tensor4D;
  const label = flow.config.classes > 0 ? Int32Array.from(goldenInput(base, 'y').data) : undefined;
  const results: Results = {};
  try {
    const sample = async (
      solver: Solver | readonly Solver[],
      guidance?: Guidance,
    ): Promise<ArrayLike<number>> => {
      const x = await inverse(flow, noise, { label, solver, ...(guidance && { guidance }) });
      // Not dataSync: some engines free what was used in a turn of the event loop only.
      const values = (await x.data()).slice();
      x.dispose();
      return values;
    };
    /** The guidance of the runs by its weight. */
    const guidances = new Map<number, Guidance>();
    for (const run of runs) {
      const { guidance: weight, attn_temp: temperature, annealed } = run;
      guidances.set(weight, { weight, temperature, annealed });
      const lists = (value: number): number[] => new Array<number>(flow.config.blocks).fill(value);
      const solver = publishedSolvers(flow, {
        ...('num_GS' in run
          ? {
              segments: lists(run.num_GS),
              maximum: lists(run.max_jacobi),
              zeros: lists(run.zero_guess),
            }
          : {
              segments: run.num_GS_list,
              maximum: run.max_jacobi_list,
              zeros: run.guess_list,
            }),
        tolerance: run.ebound,
        clamp: run.clamp ? 3 : Number.POSITIVE_INFINITY,
      });
      results[run.name] = await sample(solver, guidances.get(weight));
    }
    for (const [weight, guidance] of guidances) {
      const name = `g${weight.toFixed(1)}`;
      results[`seq_ref.${name}`] = await sample({ kind: 'sequential' }, guidance);
      const last = await lastBlock(flow, noise, label, guidance);
      results[`block_last.seq.${name}`] = last.sequential;
      results[`block_last.jacobi.guess0.${name}`] = last.latent;
      results[`block_last.jacobi.guess1.${name}`] = last.zeros;
    }
    for (const tolerance of [0.5, 0.1, 0.01]) {
      results[`sejd.tau${tolerance}`] = await sample(
        selectiveJacobi(flow, { tolerance, published: true }),
      );
    }
    // The file's metrics are those of the published code, which knows no labels here.
    results.igm = initialGuessingMetric(flow, images).flatMap(({ latent, zeros }) => [
      latent,
      zeros,
    ]);
    results.crm = convergenceRankingMetric(flow, images).flatMap(
      ({ spread, scaleWeight, shiftWeight, metric }) => [spread, scaleWeight, shiftWeight, metric],
    );
    return results;
  } finally {
    tf.dispose([noise, images]);
    disposeModel(flow);
  }
}

/** The last block's input in its own order: exact, and the first iterates from both starts. */
async function lastBlock(
  flow: TarFlow,
  noise: tf.Tensor3D,
  label: Int32Array | undefined,
  guidance: Guidance,
): Promise<{ sequential: Float32Array; latent: number[]; zeros: number[] }> {
  const block = blocksOf(flow).at(-1)!;
  const classes = classMixture(flow.config, label, noise.shape[0]);
  const guided = guidedBlock(block, noise.shape[0], { classes }, guidance);
  const z = tidy(() => block.order(noise.clone()));
  const solve = async (solver: Solver): Promise<{ tokens: Float32Array; iterates: number[] }> => {
    const iterates: number[] = [];
    const { tokens } = await solveBlock(guided, z, solver, {
      onIterate: (x) => iterates.push(...x.dataSync()),
    });
    const values = (await tokens.data()).slice() as Float32Array;
    tokens.dispose();
    return { tokens: values, iterates };
  };
  const jacobi = {
    kind: 'publishedGaussSeidelJacobi',
    segments: 1,
    maximum: keptIterations,
    tolerance: 0,
  } as const;
  try {
    return {
      sequential: (await solve({ kind: 'sequential' })).tokens,
      latent: (await solve({ ...jacobi, start: 'latent' })).iterates,
      zeros: (await solve({ ...jacobi, start: 'zeros' })).iterates,
    };
  } finally {
    guided.dispose();
    tf.dispose(z);
    classes?.dispose();
  }
}
