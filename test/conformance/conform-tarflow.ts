import { z } from 'zod';
import { classMixture } from '../../src/conditions/labels.js';
import { tf, tidy } from '../../src/core/tf.js';
import { type Leaves, leaves, valueAndGradient, withLeaves } from '../../src/core/tree.js';
import { bitsPerDimension } from '../../src/evaluation/bits-per-dimension.js';
import { logAbsDeterminant } from '../../src/evaluation/determinant.js';
import { blocksOf, disposeModel, flowLoss, forward } from '../../src/flow/flow.js';
import type { ForwardResult } from '../../src/flow/model.js';
import { patchify, unpatchify } from '../../src/flow/patches.js';
import { forwardThroughBlocks } from '../../src/flow/through-blocks.js';
import { tokenCount, tokenWidth } from '../../src/models/tarflow/config.js';
import type { TarFlow } from '../../src/models/tarflow/index.js';
import { lossGradient } from '../../src/sampling/denoise.js';
import { inverse } from '../../src/sampling/inverse.js';
import { updatedVariance } from '../../src/training/objectives/likelihood.js';
import { adamWInit, adamWUpdate, biasCorrections } from '../../src/training/optimiser/adamw.js';
import {
  described,
  type GoldenFile,
  goldenFlow,
  goldenInput,
  goldenSchema,
  goldenTensor,
  type Results,
} from './golden-file.js';

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
type TarflowDescription = z.infer<typeof tarflowSchema>;

/** What the library computes for a golden file of kind `tarflow`. */
export async function tarflowResults(golden: GoldenFile): Promise<Results> {
  const description = described(golden, tarflowSchema);
  const owned: tf.Tensor[] = [];
  const flow = goldenFlow(golden);
  try {
    return await tarflowOutputs(flow, golden, description, (tensor) => {
      owned.push(tensor);
      return tensor;
    });
  } finally {
    tf.dispose(owned);
    disposeModel(flow);
  }
}

/** What the outputs of a file are computed from. */
interface Given {
  flow: TarFlow;
  golden: GoldenFile;
  description: TarflowDescription;
  x: tf.Tensor4D;
  /** Labels, and with some dropped; none in an unconditional model. */
  y: Int32Array | undefined;
  dropped: Int32Array | undefined;
  put: (name: string, tensor: tf.Tensor) => void;
}

/**
 * Everything that a file of kind `tarflow` can ask for, by the names of its outputs.
 *
 * @param own takes charge of a tensor, and returns it
 */
async function tarflowOutputs(
  flow: TarFlow,
  golden: GoldenFile,
  description: TarflowDescription,
  own: <T extends tf.Tensor>(tensor: T) => T,
): Promise<Results> {
  const results: Results = {};
  const put = (name: string, tensor: tf.Tensor): void => {
    results[name] = tensor.dataSync().slice();
  };
  const labels = (name: string): Int32Array | undefined =>
    flow.config.classes > 0 ? Int32Array.from(goldenInput(golden, name).data) : undefined;
  const x = own(goldenTensor(golden, 'x')) as tf.Tensor4D;
  const given = { flow, golden, description, x, y: labels('y'), dropped: labels('y_drop'), put };
  putPasses(given);
  runTraining(flow, x, given.dropped, put);
  await putSamples(given, results, own);
  tidy(() => {
    const noisy = goldenTensor(golden, 'denoise.in') as tf.Tensor4D;
    const gradient = lossGradient(flow, noisy, { label: given.y });
    put('denoise.grad', gradient);
    put('denoise.out', tf.sub(noisy, tf.mul(gradient, description.denoise.lr)));
  });
  return results;
}

/** Passes to the noise, their likelihoods, the prior's running variance, and gradients. */
function putPasses({ flow, description, x, y, dropped, put }: Given): void {
  const { config } = flow;
  const size = tokenCount(config) * tokenWidth(config);
  // The published code reports log-determinants per dimension.
  const perDimension = (logDet: tf.Tensor): tf.Tensor => tf.div(logDet, size);
  const putForward = (outcome: ForwardResult, kind: string, precision: string): void => {
    put(`z${kind}${precision}`, outcome.z);
    put(`logdet${kind}${precision}`, perDimension(outcome.logDet));
  };
  tidy(() => {
    put('patches', patchify(config, x));
    const result = forward(flow, x, { label: y });
    const { loss } = flowLoss(flow, result);
    putForward(result, '', '');
    result.outputs.forEach((output, i) => {
      put(`out.${i}`, output);
      put(`out_logdet.${i}`, perDimension(result.logDets[i] as tf.Tensor));
    });
    const bpd = bitsPerDimension(flow, x, { label: y });
    put('loss', loss);
    put('loss64', loss);
    put('bpd', bpd);
    put('bpd64', bpd);
    putForward(result, '', '64');

    const absent = forward(flow, x);
    putForward(absent, '_null', '');
    const some = forward(flow, x, { label: dropped });
    putForward(some, '_drop', '');
    putForward(some, '_drop', '64');
    if (description.tensors.jac_logabsdet64_sample0) {
      put('jac_logabsdet64_sample0', tf.div(denseLogDet(flow, x, y), size));
    }

    const first = updatedVariance(flow.buffers.var as tf.Tensor2D, result.z);
    put('var.1', first);
    put('var.2', updatedVariance(first, absent.z));

    const { value, gradient } = trainingGradient(flow, leaves(flow.parameters), x, dropped);
    put('loss_drop', value);
    put('loss_drop64', value);
    for (const [name, tensor] of Object.entries(gradient)) put(`grad.${name}`, tensor);
    const gx = lossGradient(flow, x, { label: dropped });
    put('gx', gx);
    put('gx64', gx);
  });
}

/** Reconstructions and samples, guided ones too. */
async function putSamples(
  { flow, golden, description, y: label, put }: Given,
  results: Results,
  own: <T extends tf.Tensor>(tensor: T) => T,
): Promise<void> {
  const { config } = flow;
  // Noise that the file gives is used as it is: the prior's deviation is applied where it says so.
  const noise = own(goldenTensor(golden, 'noise')) as tf.Tensor3D;
  const z = own(tf.tensor3d(Float32Array.from(results.z as ArrayLike<number>), noise.shape));
  const reconstructed = own(await inverse(flow, z, { label }));
  // Not dataSync: some engines free what was used in a turn of the event loop only.
  results.recon = results.recon64 = (await reconstructed.data()).slice();
  tidy(() => put('seq.0', unpatchify(config, noise)));
  let sequence = 0;
  const onBlock = (tokens: tf.Tensor3D): void => {
    sequence++;
    tidy(() => put(`seq.${sequence}`, unpatchify(config, tokens)));
  };
  own(await inverse(flow, noise, { label, onBlock }));
  for (const run of description.sampling) {
    const { guidance: weight, guide_what: on, attn_temp: temperature, annealed } = run;
    const guidance = { weight, on, temperature, annealed };
    const images = await inverse(flow, noise, { label, guidance });
    results[run.name] = (await images.data()).slice();
    images.dispose();
  }
  const shape: [number, number] = [tokenCount(config), tokenWidth(config)];
  const variance = Float32Array.from(results['var.2'] as ArrayLike<number>);
  const scaled = own(tidy(() => tf.mul<tf.Tensor3D>(noise, tf.sqrt(tf.tensor2d(variance, shape)))));
  put('sample.var2_g0', own(await inverse(flow, scaled, { label })));
}

/** The training loss and its gradient with respect to every parameter. */
function trainingGradient(
  flow: TarFlow,
  parameters: Leaves,
  x: tf.Tensor4D,
  label: Int32Array | undefined,
): { value: tf.Scalar; gradient: Leaves } {
  const { config } = flow;
  return valueAndGradient((current) => {
    const moved = { ...flow, parameters: withLeaves(flow.parameters, current) };
    const classes = classMixture(config, label, x.shape[0]);
    const result = forwardThroughBlocks(blocksOf(moved), patchify(config, x), { classes });
    return { value: flowLoss(moved, result).loss, auxiliary: {} };
  }, parameters);
}

/** Five AdamW steps at a constant rate of 1e-3: the losses before each, and after the last. */
function runTraining(
  flow: TarFlow,
  x: tf.Tensor4D,
  label: Int32Array | undefined,
  put: (name: string, tensor: tf.Tensor) => void,
): void {
  tidy(() => {
    let parameters = leaves(flow.parameters);
    let moments: { first: Leaves; second: Leaves } = adamWInit(parameters);
    const losses: tf.Scalar[] = [];
    for (let t = 1; t <= 5; t++) {
      const { value, gradient } = trainingGradient(flow, parameters, x, label);
      losses.push(value);
      const updated = adamWUpdate(parameters, gradient, moments, 1e-3, biasCorrections(t));
      parameters = updated.parameters;
      moments = updated;
    }
    losses.push(trainingGradient(flow, parameters, x, label).value);
    put('train.losses', tf.stack(losses));
    for (const [name, tensor] of Object.entries(parameters)) put(`train.w.${name}`, tensor);
  });
}

/**
 * log |det dz/dx| of the first sample from its dense Jacobian. Samples do not meet in the model, so
 * one backward pass over as many copies as there are dimensions gives a row of it for each.
 */
function denseLogDet(flow: TarFlow, x: tf.Tensor4D, label: Int32Array | undefined): tf.Scalar {
  return tidy(() => {
    const { config } = flow;
    const size = tokenCount(config) * tokenWidth(config);
    const first = patchify(config, tf.slice(x, [0, 0, 0, 0], [1, -1, -1, -1]) as tf.Tensor4D);
    const copies = tf.tile(first, [size, 1, 1]);
    const labels = label && new Int32Array(size).fill(label[0] as number);
    const classes = classMixture(config, labels, size);
    const rows = tf.grad(
      (tokens) => forwardThroughBlocks(blocksOf(flow), tokens as tf.Tensor3D, { classes }).z,
    );
    const jacobian = rows(copies, tf.reshape(tf.eye(size), copies.shape)).dataSync();
    return tf.scalar(logAbsDeterminant(jacobian, size));
  });
}
