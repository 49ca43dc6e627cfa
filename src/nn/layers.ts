import { layerNorm, rmsNorm } from '../core/ops.js';
import { foldIn, type RandomKey } from '../core/random.js';
import { tf } from '../core/tf.js';
import { ones, type Specs, uniforms, zeros } from './specs.js';

/** Weight (outputs, inputs) and bias (outputs) of a linear layer. */
export type LinearParameters = { weight: tf.Tensor2D; bias: tf.Tensor1D };

/** Scale and offset (channels) of a layer norm. */
export type NormParameters = { weight: tf.Tensor1D; bias: tf.Tensor1D };

/** Those of a layer norm, or of a norm by the root mean square the scale less 1 alone. */
export type AnyNormParameters = { weight: tf.Tensor1D; bias?: tf.Tensor1D };

/** A linear layer that starts uniform within ±1/√inputs, as PyTorch's do. */
export function linearSpecs(
  key: RandomKey,
  outputs: number,
  inputs: number,
): Specs<LinearParameters> {
  const bound = 1 / Math.sqrt(inputs);
  return {
    weight: uniforms(foldIn(key, 'weight'), [outputs, inputs], bound),
    bias: uniforms(foldIn(key, 'bias'), [outputs], bound),
  };
}

/** A normalisation that starts without scale and offset. */
export function normSpecs(channels: number): Specs<NormParameters> {
  return { weight: ones([channels]), bias: zeros([channels]) };
}

/** Rows (rows, channels), normalised as their parameters say. */
export function normed({ weight, bias }: AnyNormParameters, x: tf.Tensor2D): tf.Tensor2D {
  return bias ? layerNorm(x, weight, bias) : rmsNorm(x, weight);
}

/**
 * Rows of a table, mixed.
 *
 * @param table (entries, channels)
 * @param mixture (rows, entries) as `classMixture` makes it; none takes the mean of the table
 * @returns (rows, channels), or (1, channels) for no mixture
 */
export function embedding(table: tf.Tensor2D, mixture: tf.Tensor2D | undefined): tf.Tensor2D {
  return mixture ? tf.matMul(mixture, table) : tf.mean(table, 0, true);
}

/** Numbers within ±bound, smoothly: near zero they stay what they are. */
export function bounded<T extends tf.Tensor>(raw: T, bound: number): T {
  return tf.mul(tf.tanh(tf.div(raw, bound)), bound);
}
