import type { Mode } from '@tarflow/graph';
import { z } from 'zod';
import { classMixture } from '../../src/conditions/labels.js';
import { type Leaves, leaves, tf, tidy } from '../../src/core/index.js';
import { bitsPerDimension } from '../../src/evaluation/bits-per-dimension.js';
import { flowLoss } from '../../src/flow/density.js';
import { forward, forwardThroughBlocks } from '../../src/flow/forward.js';
import { blocksOf, type ForwardResult } from '../../src/flow/model.js';
import { patchify, tokenCount, tokenWidth, unpatchify } from '../../src/flow/patches.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import type { TarFlow } from '../../src/models/tarflow/index.js';
import { type Guidance, withGuidance } from '../../src/sampling/guidance.js';
import { inverse } from '../../src/sampling/inverse.js';
import { solveBlock } from '../../src/sampling/solvers/solve-block.js';
import type { Solver } from '../../src/sampling/solvers/solvers.js';
import { publishedSolvers, selectiveJacobi } from '../../src/sampling/solvers/strategies.js';
import {
  convergenceRankingMetric,
  initialGuessingMetric,
} from '../../src/sampling/study/metrics.js';
import { updatedVariance } from '../../src/training/objectives/likelihood.js';
import { adamWInit, adamWUpdate, biasCorrections } from '../../src/training/optimiser/adamw.js';
import { logAbsDeterminant } from '../../workbook/measures/jacobian.js';
import { Collected, lossAndGradient, lossGradient, named, putSamples } from './flow-results.js';
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

type Labels = Int32Array | undefined;

/** Labels in a golden file; none in an unconditional model. */
function labels({ config }: TarFlow, golden: GoldenFile, name: string): Labels {
  return config.classes > 0 ? Int32Array.from(goldenInput(golden, name).data) : undefined;
}

const tarflowSchema = goldenSchema.extend({
  sampling: z.array(
    z.object({
      name: z.string(),
      guidance: z.number(),
      guide_what: z.enum(['a', 'b', 'ab']),
      attn_temp: z.number(),
      annealed: z.boolean(),
    }),
  ),
  denoise: z.object({ lr: z.number() }),
});

/** What the library computes for a golden file of kind `tarflow`. */
export async function tarflowResults(golden: GoldenFile, mode?: Mode): Promise<Results> {
  const description = described(golden, tarflowSchema);
  const flow = goldenFlow(golden);
  const collected = new Collected();
  try {
    const { config } = flow;
    const x = collected.own(goldenTensor<tf.Tensor4D>(golden, 'x'));
    const label = labels(flow, golden, 'y');
    const dropped = labels(flow, golden, 'y_drop');
    const { z, variance } = putPasses(collected, flow, golden, x, label, dropped);
    collected.own(z);
    collected.own(variance);
    tidy(() => collected.put(trained(flow, x, dropped)));
    // Noise that the file gives is used as it is: the prior's deviation is applied where it says so.
    const noise = collected.own(goldenTensor<tf.Tensor3D>(golden, 'noise'));
    const runs = description.sampling.map((run) => {
      const { guidance: weight, guide_what: on, attn_temp: temperature, annealed } = run;
      return [run.name, { guidance: { weight, on, temperature, annealed } }] as const;
    });
    const image = (tokens: tf.Tensor3D) => unpatchify(config, tokens);
    const pair = { z, noise };
    const given = { label, mode };
    await putSamples(collected, flow, given, pair, image, Object.fromEntries(runs));
    collected.results.recon64 = collected.results.recon ?? [];
    const scaled = collected.own(tidy(() => tf.mul<tf.Tensor3D>(noise, tf.sqrt(variance))));
    await collected.take('sample.var2_g0', await inverse(flow, scaled, given));
    tidy(() => {
      const noisy = goldenTensor<tf.Tensor4D>(golden, 'denoise.in');
      const gradient = lossGradient(flow, noisy, { label });
      const clean = tf.sub(noisy, tf.mul(gradient, description.denoise.lr));
      collected.put({ 'denoise.grad': gradient, 'denoise.out': clean });
    });
    return collected.results;
  } finally {
    collected.dispose();
    disposeModel(flow);
  }
}

/**
 * Passes to the noise, their likelihoods, the prior's running variance, and gradients.
 * @returns the latents, and the running variance after two steps, which the caller frees
 */
function putPasses(
  collected: Collected,
  flow: TarFlow,
  golden: GoldenFile,
  x: tf.Tensor4D,
  label: Labels,
  dropped: Labels,
): { z: tf.Tensor3D; variance: tf.Tensor2D } {
  const { config } = flow;
  const size = tokenCount(config) * tokenWidth(config);
  // The published code reports log-determinants per dimension.
  const perDimension = (logDet: tf.Tensor): tf.Tensor => tf.div(logDet, size);
  const passed = (kind: string, { z, logDet }: ForwardResult) => ({
    [`z${kind}`]: z,
    [`logdet${kind}`]: perDimension(logDet),
  });
  return tidy(() => {
    const result = forward(flow, x, { label });
    const absent = forward(flow, x);
    const some = forward(flow, x, { label: dropped });
    const { loss } = flowLoss(flow, result);
    const bpd = bitsPerDimension(flow, x, { label });
    const first = updatedVariance(goldenTensor(golden, 'sd.var'), result.z);
    const variance = updatedVariance(first, absent.z);
    const { value, gradient } = lossAndGradient(flow, throughBlocks(x, dropped));
    const gx = lossGradient(flow, x, { label: dropped });
    collected.put({
      patches: patchify(config, x),
      ...passed('', result),
      ...passed('64', result),
      ...passed('_null', absent),
      ...passed('_drop', some),
      ...passed('_drop64', some),
      ...named('out.', result.outputs),
      ...named('out_logdet.', result.logDets.map(perDimension)),
      loss,
      loss64: loss,
      bpd,
      bpd64: bpd,
      'var.1': first,
      'var.2': variance,
      loss_drop: value,
      loss_drop64: value,
      ...named('grad.', gradient),
      gx,
      gx64: gx,
    });
    if (golden.description.tensors.jac_logabsdet64_sample0) {
      collected.put({ jac_logabsdet64_sample0: perDimension(denseLogDet(flow, x, label)) });
    }
    return { z: result.z, variance };
  });
}

/** The pass to the noise of a flow, block by block. */
function throughBlocks(x: tf.Tensor4D, label: Labels): (flow: TarFlow) => ForwardResult {
  return (flow) => {
    const classes = classMixture(flow.config, label, x.shape[0]);
    return forwardThroughBlocks(blocksOf(flow), patchify(flow.config, x), { classes });
  };
}

/** Five AdamW steps at a constant rate of 1e-3: the losses before each and after the last, and the weights. */
function trained(flow: TarFlow, x: tf.Tensor4D, label: Labels): Record<string, tf.Tensor> {
  const pass = throughBlocks(x, label);
  let parameters = leaves(flow.parameters);
  let moments: { first: Leaves; second: Leaves } = adamWInit(parameters);
  const losses: tf.Scalar[] = [];
  for (let t = 1; t <= 5; t++) {
    const { value, gradient } = lossAndGradient(flow, pass, parameters);
    losses.push(value);
    const updated = adamWUpdate(parameters, gradient, moments, 1e-3, biasCorrections(t));
    parameters = updated.parameters;
    moments = updated;
  }
  losses.push(lossAndGradient(flow, pass, parameters).value);
  return { 'train.losses': tf.stack(losses), ...named('train.w.', parameters) };
}

/**
 * log |det dz/dx| of the first sample from its dense Jacobian. Samples do not meet in the model, so
 * one backward pass over as many copies as there are dimensions gives a row of it for each.
 */
function denseLogDet(flow: TarFlow, x: tf.Tensor4D, label: Int32Array | undefined): tf.Scalar {
  return tidy(() => {
    const { config } = flow;
    const size = tokenCount(config) * tokenWidth(config);
    const first = patchify(config, tf.slice(x, 0, 1));
    const copies = tf.tile(first, [size, 1, 1]);
    const labels = label && new Int32Array(size).fill(label[0] ?? 0);
    const classes = classMixture(config, labels, size);
    const rows = tf.grad(
      (tokens) => forwardThroughBlocks(blocksOf(flow), tokens as tf.Tensor3D, { classes }).z,
    );
    const jacobian = rows(copies, tf.reshape(tf.eye(size), copies.shape)).dataSync();
    return tf.scalar(logAbsDeterminant(jacobian, size));
  });
}

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
export async function gsJacobiResults(golden: GoldenFile, mode?: Mode): Promise<Results> {
  const { weights_from: weights, runs } = described(golden, gsJacobiSchema);
  const base = await readGoldenBeside(golden, weights);
  const flow = goldenFlow(base);
  const collected = new Collected();
  const { results } = collected;
  try {
    const noise = collected.own(goldenTensor<tf.Tensor3D>(golden, 'noise'));
    const images = collected.own(goldenTensor<tf.Tensor4D>(golden, 'x_metrics'));
    const label = labels(flow, base, 'y');
    const sample = async (
      name: string,
      solver: Solver | readonly Solver[],
      guidance?: Guidance,
    ): Promise<void> =>
      collected.take(name, await inverse(flow, noise, { label, solver, guidance, mode }));
    /** The guidance of the runs by its weight. */
    const guidances = new Map<number, Guidance>();
    for (const run of runs) {
      const { guidance: weight, attn_temp: temperature, annealed } = run;
      const guidance = { weight, temperature, annealed };
      guidances.set(weight, guidance);
      await sample(run.name, solversOf(flow, run), guidance);
    }
    for (const [weight, guidance] of guidances) {
      const name = `g${weight.toFixed(1)}`;
      await sample(`seq_ref.${name}`, { kind: 'sequential' }, guidance);
      const last = await lastBlock(flow, noise, label, guidance);
      results[`block_last.seq.${name}`] = last.sequential;
      results[`block_last.jacobi.guess0.${name}`] = last.latent;
      results[`block_last.jacobi.guess1.${name}`] = last.zeros;
    }
    for (const tolerance of [0.5, 0.1, 0.01]) {
      await sample(`sejd.tau${tolerance}`, selectiveJacobi(flow, { tolerance, published: true }));
    }
    // The file's metrics are those of the published code, which knows no labels here.
    const guesses = initialGuessingMetric(flow, images);
    const rankings = convergenceRankingMetric(flow, images);
    results.igm = guesses.flatMap(({ latent, zeros }) => [latent, zeros]);
    results.crm = rankings.flatMap((one) => [
      one.spread,
      one.scaleWeight,
      one.shiftWeight,
      one.metric,
    ]);
    return results;
  } finally {
    collected.dispose();
    disposeModel(flow);
  }
}

/** The solvers of a run, which has one number for all blocks, or one for each. */
function solversOf(flow: TarFlow, run: z.infer<typeof gsJacobiSchema>['runs'][number]): Solver[] {
  const all = (value: number): number[] => new Array<number>(flow.config.blocks).fill(value);
  const isList = 'num_GS_list' in run;
  return publishedSolvers(flow, {
    segments: isList ? run.num_GS_list : all(run.num_GS),
    maximum: isList ? run.max_jacobi_list : all(run.max_jacobi),
    zeros: isList ? run.guess_list : all(run.zero_guess),
    tolerance: run.ebound,
    clamp: run.clamp ? 3 : Number.POSITIVE_INFINITY,
  });
}

/** The last block's input in its own order: exact, and the first iterates from both starts. */
async function lastBlock(
  flow: TarFlow,
  noise: tf.Tensor3D,
  label: Int32Array | undefined,
  guidance: Guidance,
): Promise<{ sequential: ArrayLike<number>; latent: number[]; zeros: number[] }> {
  const block = blocksOf(flow).at(-1)!;
  const classes = classMixture(flow.config, label, noise.shape[0]);
  const { block: guided, conditions } = withGuidance(block, noise.shape[0], { classes }, guidance);
  const z = tidy(() => block.order(noise.clone()));
  const solve = async (
    solver: Solver,
  ): Promise<{ tokens: ArrayLike<number>; iterates: number[] }> => {
    const iterates: number[] = [];
    const { tokens } = await solveBlock(guided, z, solver, {
      conditions,
      onIterate: (x) => iterates.push(...x.dataSync()),
    });
    const values = (await tokens.data()).slice();
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
    tf.dispose([z, conditions]);
    classes?.dispose();
  }
}
