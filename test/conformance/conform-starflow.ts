import type { Mode } from '@tarflow/graph';
import { z } from 'zod';
import type { Context } from '../../src/conditions/context.js';
import { tf, tidy } from '../../src/core/tf.js';
import { flowLoss } from '../../src/flow/density.js';
import { predictAll } from '../../src/flow/forward.js';
import { ability, blocksOf } from '../../src/flow/model.js';
import { unpatchify } from '../../src/flow/patches.js';
import { disposeModel, modelOfState } from '../../src/flow/state-dict.js';
import { type StarFlow, type StarFlowConfig, starflow } from '../../src/models/index.js';
import { angleTable, logSoftplus } from '../../src/models/starflow/block.js';
import { productRule } from '../../src/sampling/guidance.js';
import { denoise, type InverseOptions } from '../../src/sampling/index.js';
import { Collected, lossAndGradient, lossGradient, named, putSamples } from './flow-results.js';
import {
  described,
  type GoldenFile,
  goldenInput,
  goldenSchema,
  goldenState,
  goldenTensor,
  type Results,
} from './golden-file.js';

const starflowSchema = goldenSchema.extend({
  config: z.object({
    cond: z.enum(['class', 'text', 'none']),
    classes: z.number(),
    H: z.number(),
    W: z.number(),
    model: z.object({
      in_channels: z.number(),
      img_size: z.number(),
      channels: z.number(),
      layers_per_block: z.array(z.number()),
      txt_size: z.number(),
      txt_dim: z.number(),
      cond_top_only: z.literal(true),
      patch_size: z.number(),
      head_dim: z.number(),
      rope: z.literal(true),
      sos: z.boolean(),
      use_softplus: z.boolean(),
      use_final_norm: z.boolean(),
      soft_clip: z.number(),
      seq_order: z.enum(['L2R', 'R2L']),
    }),
  }),
  jacobi_runs: z.array(
    z.object({
      name: z.string(),
      block_size: z.number(),
      threshold: z.number(),
      max_iter: z.number(),
      guidance: z.number(),
    }),
  ),
});

/** The weights of guidance that a file of this kind has samples of. */
const weights = [1, 3, 8];
/** Those of its unit test of the rule. */
const ruleWeights = [0.5, 2, 10];
/** The deviation of the noise that its denoising step is for. */
const sigma = 0.3;

/** What the library computes for a golden file of kind `starflow`. */
export async function starflowResults(golden: GoldenFile, mode?: Mode): Promise<Results> {
  const { config, jacobi_runs: jacobiRuns } = described(golden, starflowSchema);
  const flow = goldenStarFlow(golden);
  const collected = new Collected();
  try {
    const given = conditionOf(golden, config.cond);
    if (given.text) collected.own(given.text);
    const image = (tokens: tf.Tensor3D) => unpatchify({ ...flow.config, slowest: 'pixel' }, tokens);
    const z = collected.own(putPasses(collected, flow, golden, given, image));
    putFormulae(collected, flow, golden);
    const { of } = ability(starflow, 'tokens');
    const noise = collected.own(
      tidy(() => of(flow.config, goldenTensor<tf.Tensor4D>(golden, 'noise')).tokens),
    );
    // Without a condition both predictions are the same, and guidance changes nothing.
    const guided = (weight: number): InverseOptions =>
      config.cond === 'none' ? {} : { guidance: { rule: 'product', weight } };
    const runs: Record<string, InverseOptions> = {
      // The published code takes annealing here and ignores it; ours refuses it.
      'sample.g3.0_ann': guided(3),
    };
    for (const weight of weights) runs[`sample.g${weight.toFixed(1)}`] = guided(weight);
    for (const run of jacobiRuns) {
      const solver = {
        kind: 'publishedBlockwiseJacobi',
        length: run.block_size,
        tolerance: run.threshold,
        maximum: run.max_iter,
      } as const;
      runs[run.name] = { solver, ...(run.guidance > 0 && guided(run.guidance)) };
    }
    await putSamples(collected, flow, { ...given, mode }, { z, noise }, image, runs);
    return collected.results;
  } finally {
    collected.dispose();
    disposeModel(flow);
  }
}

/** What a file's model reads besides images: captions, which the caller frees, labels, or nothing. */
function conditionOf(golden: GoldenFile, cond: 'class' | 'text' | 'none'): Context {
  if (cond === 'none') return {};
  if (cond === 'text') return { text: goldenTensor<tf.Tensor3D>(golden, 'y') };
  return { label: Int32Array.from(goldenInput(golden, 'cond').data) };
}

/** The configuration of the model in a golden file. */
export function goldenStarFlowConfig(golden: GoldenFile): StarFlowConfig {
  const { model, H, W, classes, cond } = described(golden, starflowSchema).config;
  const text = cond === 'text' ? { entries: model.txt_size, width: model.txt_dim } : undefined;
  return {
    kind: 'starflow',
    image: { channels: model.in_channels, height: H, width: W },
    classes: cond === 'class' ? classes : 0,
    nullClass: true,
    ...(text && { text }),
    patchSize: model.patch_size,
    channels: model.channels,
    layersPerBlock: model.layers_per_block,
    headWidth: model.head_dim,
    startToken: model.sos,
    norm: 'layer',
    finalNorm: model.use_final_norm,
    softClip: model.soft_clip,
    scale: model.use_softplus ? 'softplus' : 'exp',
    firstDirection: model.seq_order === 'L2R' ? 'reverse' : 'forward',
    gridSide: model.img_size / model.patch_size,
  };
}

/** The STARFlow whose weights a golden file holds; the caller frees it. */
export function goldenStarFlow(golden: GoldenFile): StarFlow {
  const config = goldenStarFlowConfig(golden);
  const { text } = config;
  const { var: _, ...state } = goldenState(golden);
  return modelOfState(
    starflow,
    config,
    {
      ...state,
      ...(text && {
        empty_text: {
          shape: [text.entries, text.width],
          data: goldenInput(golden, 'y_null').data.slice(0, text.entries * text.width),
        },
      }),
    },
    golden.path,
  );
}

/**
 * Passes to the noise, log-determinants of every number, the loss and its gradients.
 * @returns the latents, which the caller frees
 */
function putPasses(
  collected: Collected,
  flow: StarFlow,
  golden: GoldenFile,
  given: Context,
  image: (tokens: tf.Tensor3D) => tf.Tensor4D,
): tf.Tensor3D {
  const { forward } = ability(starflow, 'flow');
  return tidy(() => {
    const x = goldenTensor<tf.Tensor4D>(golden, 'x');
    const conditions = {
      ...(given.text && { text: given.text }),
      ...(given.label && { classes: tf.squeeze<tf.Tensor2D>(goldenTensor(golden, 'y'), [1]) }),
    };
    const { tokens } = ability(starflow, 'tokens').of(flow.config, x);
    const result = forward(flow, x, conditions);
    const states = [tokens, ...result.outputs];
    for (const block of blocksOf(flow)) {
      const before = tf.reshape<tf.Rank.R3>(states[block.index] ?? tokens, tokens.shape);
      const { logScale } = predictAll(block, block.order(before), conditions);
      if (logScale) collected.put({ [`logdet.${block.index}`]: tf.neg(logScale) });
    }
    const { loss, prior, logDet } = flowLoss(flow, result);
    const { gradient } = lossAndGradient(flow, (moved) => forward(moved, x, conditions));
    const z = image(result.z);
    collected.put({
      patches: tokens,
      ...named('out.', states),
      z,
      z64: z,
      loss,
      loss64: loss,
      loss_z: prior,
      loss_logdet: tf.neg(logDet),
      gx: lossGradient(flow, x, given),
      'denoise.out': denoise(flow, x, { ...given, sigma }),
      ...named('grad.', gradient),
    });
    return result.z;
  });
}

/** What needs no model: angles, the rule of guidance, the scale. */
function putFormulae(collected: Collected, flow: StarFlow, golden: GoldenFile): void {
  collected.results['rope.shallow'] = angleTable(flow.config, false);
  collected.results['rope.deep'] = angleTable(flow.config, true);
  tidy(() => {
    const input = (name: string): tf.Tensor => goldenTensor(golden, `guid.${name}`);
    const strong = { mean: input('mu_c'), logScale: tf.log(input('sigma_c')) };
    const weak = { mean: input('mu_u'), logScale: tf.log(input('sigma_u')) };
    for (const weight of ruleWeights) {
      const { mean, logScale } = productRule(strong, weak, tf.scalar(weight));
      const name = `guid.w${weight.toFixed(1)}`;
      collected.put({ [`${name}.mu`]: mean });
      if (logScale) collected.put({ [`${name}.sigma`]: tf.exp(logScale) });
    }
    const scale = tf.exp(logSoftplus(goldenTensor<tf.Tensor3D>(golden, 'softplus.in')));
    collected.put({ 'softplus.scale': scale });
  });
}
