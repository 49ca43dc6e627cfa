import { contextTensors, type NamedContext, numbered } from '../conditions/context.js';
import { tf, tidy } from '../core/tf.js';
import type { AutoregressiveBlock, Conditions } from './autoregressive.js';
import { type Gaussian, normalise } from './gaussian.js';
import { ability, checkPixels, type ForwardResult, type Model } from './model.js';

/**
 * Data to noise, the normalising direction.
 *
 * @param x images (batch, channels, height, width), about [−1, 1]
 * @param context `label`: class per sample; −1 or absent reads as no label. `text`: states of captions
 * @returns tensors that the caller frees
 * @throws UserError where the images or labels do not fit the model, for pixels far from [−1, 1], and where
 *   the model is no flow
 *
 * @example
 * ```ts
 * import { createModel, forward, startEngine, tf } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * const { z, logDet } = forward(flow, tf.randomUniform([2, 1, 8, 8], -1, 1), { label: [0, 1] });
 * console.log(z.shape, await logDet.data()); // z: 2 images, 16 tokens of 4 numbers
 * ```
 */
export function forward(model: Model, x: tf.Tensor4D, context: NamedContext = {}): ForwardResult {
  return tidy(() => {
    checkPixels(model, x);
    const flow = ability(model.family, 'flow');
    return flow.forward(
      model,
      x,
      contextTensors(model.config, numbered(model, context), x.shape[0]),
    );
  });
}

/**
 * What a block predicts of each token but those given, from all tokens before it.
 *
 * @param u (batch, T, D) in the block's order
 */
export function predictAll(
  block: AutoregressiveBlock,
  u: tf.Tensor3D,
  conditions: Conditions,
): Gaussian {
  // The last token predicts nothing.
  const before = tf.slice(u, [0, 0, 0], [-1, block.tokens - 1, -1]);
  return block.predict(before, { conditions }).next;
}

/**
 * Data to noise through one block. Call it inside `tidy`: it leaves intermediate tensors.
 *
 * @param x (batch, T, D) in raster order
 * @returns z of the same shape, and its log-determinant per sample (batch) in nats, summed over
 *   dimensions
 */
export function blockForward(
  block: AutoregressiveBlock,
  x: tf.Tensor3D,
  conditions: Conditions = {},
): { z: tf.Tensor3D; logDet: tf.Tensor1D } {
  const u = block.order(x);
  const { given } = block;
  const next = predictAll(block, u, conditions);
  const moved = normalise(tf.slice(u, [0, given, 0], [-1, -1, -1]), next);
  // A token that nothing precedes passes through.
  const z = given === 0 ? moved : tf.concat([tf.slice(u, [0, 0, 0], [-1, given, -1]), moved], 1);
  const logDet = next.logScale ? tf.neg(tf.sum(next.logScale, [1, 2])) : tf.zeros([x.shape[0]]);
  return { z: block.order(z, true), logDet };
}

/**
 * {@link blockForward} through a stack of blocks, nearest the data first.
 *
 * @param tokens (batch, T, D) in raster order
 * @param before the log-determinant (batch) of what made the tokens of images, which is added; call it
 *   inside `tidy` then, since the sum without it is left
 * @returns tensors that the caller frees
 */
export function forwardThroughBlocks(
  blocks: readonly AutoregressiveBlock[],
  tokens: tf.Tensor3D,
  conditions: Conditions = {},
  before?: tf.Tensor1D,
): ForwardResult & { outputs: tf.Tensor3D[] } {
  const outputs: tf.Tensor3D[] = [];
  const logDets: tf.Tensor1D[] = [];
  let z = tokens;
  for (const block of blocks) {
    const result = tidy(() => blockForward(block, z, conditions));
    z = result.z;
    outputs.push(z);
    logDets.push(result.logDet);
  }
  // Not addN: WebGPU takes no more than seven tensors at once.
  const total = tidy(() => logDets.reduce((a, b) => tf.add(a, b), tf.zeros([tokens.shape[0]])));
  return { z, logDet: before ? tf.add(total, before) : total, outputs, logDets };
}
