import { foldIn, type RandomKey } from '../backend/random.js';
import type { tf } from '../backend/tf.js';
import { type LeafSpec, ones, type Specs, uniforms, zeros } from './specs.js';

/** Weight (outputs, inputs) and bias (outputs) of a linear layer. */
export type LinearParameters = { weight: tf.Tensor2D; bias: tf.Tensor1D };

/** Scale and offset (channels) of a layer norm. */
export type NormParameters = { weight: tf.Tensor1D; bias: tf.Tensor1D };

/** A linear layer that starts uniform within ±1/√inputs, as PyTorch's do. */
export function linearSpecs(
  key: RandomKey,
  outputs: number,
  inputs: number,
): Specs<LinearParameters> {
  const bound = 1 / Math.sqrt(inputs);
  const leaf = (name: string, shape: number[]): LeafSpec =>
    uniforms(foldIn(key, name), shape, bound);
  return { weight: leaf('weight', [outputs, inputs]), bias: leaf('bias', [outputs]) };
}

/** A layer norm that starts without scale and offset. */
export function normSpecs(channels: number): Specs<NormParameters> {
  return { weight: ones([channels]), bias: zeros([channels]) };
}
