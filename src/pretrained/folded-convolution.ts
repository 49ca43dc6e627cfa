import { tf, tidy } from '../core/tf.js';
import { disposeTree, type Leaves, leaf } from '../core/tree.js';
import {
  checkWeights,
  isBatchCounter,
  type NetworkWeights,
  openWeights,
} from '../formats/network-weights.js';
import type { TensorFile } from '../formats/tensor-file.js';

/** A convolution with its batch norm folded in. */
export interface FoldedConvolution {
  /** (height, width, inputs, outputs), or (height, width, channels, 1) of a depthwise one. */
  weight: tf.Tensor4D;
  bias: tf.Tensor1D;
}

/** A convolution of a published network and the batch norm behind it, by their names in its file. */
export interface PublishedConvolution {
  /** Without `.weight`. */
  name: string;
  norm: string;
  /** (outputs, inputs, height, width). */
  shape: readonly number[];
}

/**
 * Reads the convolutions of a published network, their batch norms folded in.
 *
 * @param layersOf the convolutions in a file that has tensors of these names
 * @param more true for the name of a tensor that may be there as well and is not read
 * @returns weights and biases by the names of the convolutions, see {@link convolutionIn}, which the
 *   caller frees, and the file's SHA-256
 * @throws UserError where the file is not there, and for other tensors, by name
 */
export async function readConvolutions(
  path: string,
  published: NetworkWeights,
  layersOf: (names: readonly string[]) => readonly PublishedConvolution[],
  more: (name: string) => boolean,
): Promise<{ weights: Leaves; sha256: string }> {
  const file = await openWeights(path, published);
  const weights: Leaves = {};
  try {
    const layers = layersOf(Object.keys(file.tensors));
    const shapes: Record<string, readonly number[]> = {};
    for (const { name, norm, shape } of layers) {
      shapes[`${name}.weight`] = shape;
      for (const part of normParts) shapes[`${norm}.${part}`] = shape.slice(0, 1);
    }
    checkWeights(file, published, shapes, (name) => isBatchCounter(name) || more(name));
    for (const { name, norm } of layers) {
      const { weight, bias } = await foldedConvolution(file, `${name}.weight`, norm);
      weights[`${name}.weight`] = weight;
      weights[`${name}.bias`] = bias;
    }
    return { weights, sha256: await file.sha256() };
  } catch (error) {
    disposeTree(weights);
    throw error;
  } finally {
    await file.close();
  }
}

/** A convolution among those that {@link readConvolutions} gives. */
export function convolutionIn(weights: Leaves, name: string): FoldedConvolution {
  return { weight: leaf(weights, `${name}.weight`, 4), bias: leaf(weights, `${name}.bias`, 1) };
}

const normParts = ['weight', 'bias', 'running_mean', 'running_var'];

/** What a batch norm adds to a variance before its root. */
const epsilon = 1e-3;

/** The weight (outputs, inputs, height, width) of this name, scaled by a batch norm. */
async function foldedConvolution(
  file: TensorFile,
  weight: string,
  norm: string,
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
