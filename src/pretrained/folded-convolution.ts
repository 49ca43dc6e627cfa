import { tf, tidy } from '../core/tf.js';
import type { TensorFile } from '../formats/tensor-file.js';

/** A convolution with its batch norm folded in. */
export interface FoldedConvolution {
  /** (height, width, inputs, outputs), or (height, width, channels, 1) of a depthwise one. */
  weight: tf.Tensor4D;
  bias: tf.Tensor1D;
}

/** The names of a batch norm's tensors, and their shapes for so many channels. */
export function batchNormShapes(norm: string, channels: number): Record<string, number[]> {
  const parts = ['weight', 'bias', 'running_mean', 'running_var'];
  return Object.fromEntries(parts.map((part) => [`${norm}.${part}`, [channels]]));
}

/**
 * The weights (outputs, inputs, height, width) of a file, scaled by the batch norm behind them.
 *
 * @param weight the name of the convolution's weight
 * @param norm the name of the batch norm
 * @param epsilon what the batch norm adds to a variance before its root
 * @returns tensors that the caller frees
 */
export async function foldedConvolution(
  file: TensorFile,
  { weight, norm, epsilon }: { weight: string; norm: string; epsilon: number },
): Promise<FoldedConvolution> {
  const { shape, data } = await file.read(weight);
  const [outputs = 0, inputs = 0, ...kernel] = shape;
  const read = async (part: string) => (await file.read(`${norm}.${part}`)).data;
  const [scale, offset, mean, variance] = [
    await read('weight'),
    await read('bias'),
    await read('running_mean'),
    await read('running_var'),
  ];
  const factors = Float32Array.from(scale, (value, i) => value / Math.sqrt(variance[i]! + epsilon));
  const biases = factors.map((factor, i) => offset[i]! - factor * mean[i]!);
  return tidy(() => {
    const scaled: tf.Tensor4D = tf.mul(
      tf.tensor(Float32Array.from(data), shape),
      tf.reshape(tf.tensor1d(factors), [outputs, 1, 1, 1]),
    );
    // A depthwise convolution has one input for each output: its outputs are the channels.
    const order = inputs === 1 && kernel[0]! > 1 ? [2, 3, 0, 1] : [2, 3, 1, 0];
    return { weight: tf.transpose(scaled, order), bias: tf.tensor1d(biases) };
  });
}

/** A convolution and its bias, without an activation. */
export function convolved(
  x: tf.Tensor4D,
  { weight, bias }: FoldedConvolution,
  stride: number,
  padding: 'same' | 'valid' = 'same',
): tf.Tensor4D {
  return tf.add(tf.conv2d(x, weight, stride, padding), bias);
}
