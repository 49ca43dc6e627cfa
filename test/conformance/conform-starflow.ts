import { z } from 'zod';
import { tf, tidy } from '../../src/core/tf.js';
import { leaves, valueAndGradient, withLeaves } from '../../src/core/tree.js';
import type { Conditions } from '../../src/flow/autoregressive.js';
import { ability, blocksOf, disposeModel, flowLoss } from '../../src/flow/flow.js';
import { unpatchify } from '../../src/flow/patches.js';
import { modelOfState } from '../../src/flow/state-dict.js';
import { predictAll } from '../../src/flow/through-blocks.js';
import { logSoftplus } from '../../src/models/starflow/block.js';
import type { StarFlowConfig } from '../../src/models/starflow/config.js';
import { type StarFlow, starflow } from '../../src/models/starflow/index.js';
import { angleTable } from '../../src/models/starflow/positions.js';
import { denoise, lossGradient } from '../../src/sampling/denoise.js';
import { productRule } from '../../src/sampling/guidance/guided-block.js';
import { type InverseOptions, inverse } from '../../src/sampling/inverse.js';
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
    cond: z.enum(['class', 'text']),
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
type StarFlowDescription = z.infer<typeof starflowSchema>;

/** The weights of guidance that a file of this kind has samples of. */
const weights = [1, 3, 8];
/** Those of its unit test of the rule. */
const ruleWeights = [0.5, 2, 10];
/** The deviation of the noise that its denoising step is for. */
const sigma = 0.3;

/** What the library computes for a golden file of kind `starflow`. */
export async function starflowResults(golden: GoldenFile): Promise<Results> {
  const description = described(golden, starflowSchema);
  const flow = starflowOf(golden);
  const results: Results = {};
  const owned: tf.Tensor[] = [];
  const own = <T extends tf.Tensor>(tensor: T): T => {
    owned.push(tensor);
    return tensor;
  };
  try {
    const given = own(goldenTensor(golden, 'y')) as tf.Tensor3D;
    const told = description.config.cond === 'text' ? { text: given } : labelOf(golden);
    putPasses(flow, golden, told, results);
    putFormulae(flow, golden, results);
    await putSamples(flow, golden, description, told, results, own);
    return results;
  } finally {
    tf.dispose(owned);
    disposeModel(flow);
  }
}

/** What samples are told of: labels, or the states of captions. */
type Told = Pick<InverseOptions, 'label' | 'text'>;

function labelOf(golden: GoldenFile): Told {
  return { label: Int32Array.from(goldenInput(golden, 'cond').data) };
}

/** The configuration of the model in a golden file. */
export function goldenStarFlowConfig(golden: GoldenFile): StarFlowConfig {
  const { model, H, W, classes, cond } = described(golden, starflowSchema).config;
  const text = cond === 'text' ? { entries: model.txt_size, width: model.txt_dim } : undefined;
  return {
    kind: 'starflow',
    image: { channels: model.in_channels, height: H, width: W },
    classes: text ? 0 : classes,
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
function starflowOf(golden: GoldenFile): StarFlow {
  const config = goldenStarFlowConfig(golden);
  const { text } = config;
  const { var: _, ...state } = goldenState(golden);
  const empty = goldenInput(golden, 'y_null');
  return modelOfState(
    starflow,
    config,
    {
      ...state,
      ...(text && {
        empty_text: {
          shape: [text.entries, text.width],
          data: empty.data.slice(0, text.entries * text.width),
        },
      }),
    },
    golden.path,
  );
}

function conditionsOf(flow: StarFlow, golden: GoldenFile): Conditions {
  const y = goldenTensor(golden, 'y') as tf.Tensor3D;
  return flow.config.text ? { text: y } : { classes: tf.squeeze<tf.Tensor2D>(y, [1]) };
}

/** Passes to the noise, log-determinants of every number, the loss and its gradients. */
function putPasses(flow: StarFlow, golden: GoldenFile, told: Told, results: Results): void {
  const put = putter(results);
  tidy(() => {
    const x = goldenTensor(golden, 'x') as tf.Tensor4D;
    const conditions = conditionsOf(flow, golden);
    const { of } = ability(starflow, 'tokens');
    const { tokens } = of(flow.config, x);
    put('patches', tokens);
    put('out.0', tokens);
    const result = ability(starflow, 'flow').forward(flow, x, conditions);
    result.outputs.forEach((output, i) => {
      put(`out.${i + 1}`, output);
    });
    const z = unpatched(flow, result.z);
    put('z', z);
    put('z64', z);
    let state = tokens;
    for (const block of blocksOf(flow)) {
      const { logScale } = predictAll(block, block.order(state), conditions);
      put(`logdet.${block.index}`, tf.neg(logScale as tf.Tensor));
      state = result.outputs[block.index] as tf.Tensor3D;
    }
    const { loss, prior, logDet } = flowLoss(flow, result);
    put('loss', loss);
    put('loss64', loss);
    put('loss_z', prior);
    put('loss_logdet', tf.neg(logDet));
    const gx = lossGradient(flow, x, told);
    put('gx', gx);
    put('denoise.out', denoise(flow, x, { ...told, sigma }));
    const { gradient } = valueAndGradient((current) => {
      const moved = { ...flow, parameters: withLeaves(flow.parameters, current) };
      const passed = ability(starflow, 'flow').forward(moved, x, conditions);
      return { value: flowLoss(moved, passed).loss, auxiliary: {} };
    }, leaves(flow.parameters));
    for (const [name, tensor] of Object.entries(gradient)) put(`grad.${name}`, tensor);
  });
}

/** What needs no model: angles, the rule of guidance, the scale. */
function putFormulae(flow: StarFlow, golden: GoldenFile, results: Results): void {
  const put = putter(results);
  results['rope.shallow'] = angleTable(flow.config, false);
  results['rope.deep'] = angleTable(flow.config, true);
  tidy(() => {
    const input = (name: string): tf.Tensor => goldenTensor(golden, `guid.${name}`);
    const strong = { mean: input('mu_c'), logScale: tf.log(input('sigma_c')) };
    const weak = { mean: input('mu_u'), logScale: tf.log(input('sigma_u')) };
    for (const weight of ruleWeights) {
      const { mean, logScale } = productRule(strong, weak, tf.scalar(weight));
      put(`guid.w${weight.toFixed(1)}.mu`, mean);
      put(`guid.w${weight.toFixed(1)}.sigma`, tf.exp(logScale as tf.Tensor));
    }
    put('softplus.scale', tf.exp(logSoftplus(goldenTensor(golden, 'softplus.in'))));
  });
}

/** Reconstruction and samples, sequential and by the published iteration, guided ones too. */
async function putSamples(
  flow: StarFlow,
  golden: GoldenFile,
  { jacobi_runs: runs }: StarFlowDescription,
  told: Told,
  results: Results,
  own: <T extends tf.Tensor>(tensor: T) => T,
): Promise<void> {
  const put = putter(results);
  const latents = (image: tf.Tensor): tf.Tensor3D =>
    ability(starflow, 'tokens').of(flow.config, image as tf.Tensor4D).tokens;
  const sampled = async (name: string, options: InverseOptions): Promise<void> => {
    const images = await inverse(flow, noise, { ...told, ...options });
    results[name] = (await images.data()).slice();
    images.dispose();
  };
  const noise = own(tidy(() => latents(goldenTensor(golden, 'noise'))));
  const z = own(
    tidy(() =>
      latents(tf.reshape(tf.tensor1d(Float32Array.from(results.z ?? [])), imageShape(flow))),
    ),
  );
  const recon = own(await inverse(flow, z, told));
  results.recon = (await recon.data()).slice();
  tidy(() => put('seq.0', unpatched(flow, noise)));
  let sequence = 0;
  const onBlock = (tokens: tf.Tensor3D): void => {
    sequence++;
    tidy(() => put(`seq.${sequence}`, unpatched(flow, tokens)));
  };
  await sampled('sample.g0', { onBlock });
  const guided = (weight: number) => ({ guidance: { rule: 'product', weight } }) as const;
  for (const weight of weights) await sampled(`sample.g${weight.toFixed(1)}`, guided(weight));
  // The published code takes annealing here and ignores it; ours refuses it.
  await sampled('sample.g3.0_ann', guided(3));
  for (const { name, block_size: length, threshold, max_iter: maximum, guidance } of runs) {
    const tolerance = threshold;
    const solver = { kind: 'publishedBlockwiseJacobi', length, tolerance, maximum } as const;
    await sampled(name, { solver, ...(guidance > 0 && guided(guidance)) });
  }
}

/** The shape of a batch of latents. */
function imageShape({ config: { image } }: StarFlow): [number, number, number, number] {
  return [-1, image.channels, image.height, image.width];
}

/** Tokens as the image of latents. */
function unpatched({ config }: StarFlow, tokens: tf.Tensor3D): tf.Tensor4D {
  return unpatchify({ ...config, slowest: 'pixel' }, tokens);
}

function putter(results: Results): (name: string, tensor: tf.Tensor) => void {
  return (name, tensor) => {
    results[name] = tensor.dataSync().slice();
  };
}
