import { inverse, LuDecomposition, Matrix, QrDecomposition } from 'ml-matrix';
import { linear } from '../core/ops.js';
import { normal, type RandomKey } from '../core/random.js';
import { tf } from '../core/tf.js';
import { type LeafSpec, type Specified, zeros } from '../nn/specs.js';

/**
 * Normalises channels, y = (x − shift)·exp(−logScale), and mixes them by a matrix W = P·L·U: actnorm
 * and an invertible 1×1 convolution (Kingma and Dhariwal 2018, arXiv 1807.03039, sections 3.1, 3.2).
 */
export type ActnormConvolutionParameters = Specified<
  ReturnType<typeof actnormConvolutionSpecs>['parameters']
>;

/** Without shift and scale, the mix starts as a random rotation. */
export function actnormConvolutionSpecs(key: RandomKey, channels: number) {
  const square = (values: () => Float32Array): LeafSpec<tf.Tensor2D> => ({
    shape: [channels, channels],
    values,
  });
  return {
    parameters: {
      shift: zeros([channels]),
      logScale: zeros([channels]),
      /** Below the diagonal L, whose own is ones; above it U; on it the logarithm of U's. */
      lu: square(() => randomRotation(key, channels).lu),
    },
    permutation: square(() => randomRotation(key, channels).permutation),
  };
}

/** A random rotation as P and L·U, packed as in {@link ActnormConvolutionParameters}, row by row. */
function randomRotation(
  key: RandomKey,
  channels: number,
): { lu: Float32Array; permutation: Float32Array } {
  const drawn = Matrix.from1DArray(channels, channels, [...normal(key, channels ** 2)]);
  const decomposed = new LuDecomposition(new QrDecomposition(drawn).orthogonalMatrix);
  const [lower, upper] = [decomposed.lowerTriangularMatrix, decomposed.upperTriangularMatrix];
  // U's diagonal is kept as a logarithm, which has no sign: P gets it, L in between is mirrored.
  const sign = (i: number) => Math.sign(upper.get(i, i));
  const permutation = Matrix.zeros(channels, channels);
  decomposed.pivotPermutationVector.forEach((row, i) => {
    permutation.set(row, i, sign(i));
  });
  const lu = upper.clone();
  for (let i = 0; i < channels; i++) {
    for (let j = 0; j < channels; j++) {
      if (j < i) lu.set(i, j, lower.get(i, j) * sign(i) * sign(j));
      else lu.set(i, j, upper.get(i, j) * sign(i));
    }
    lu.set(i, i, Math.log(lu.get(i, i)));
  }
  const numbers = (matrix: Matrix): Float32Array => Float32Array.from(matrix.to1DArray());
  return { lu: numbers(lu), permutation: numbers(permutation) };
}

/**
 * Normalised and mixed channels, W·(x − shift)·exp(−logScale).
 *
 * @param x (batch, height, width, channels)
 * @param permutation P (channels, channels), whose entries may be negative
 * @returns y of the same shape, and log |det|, which all samples share
 */
export function actnormConvolution(
  x: tf.Tensor4D,
  parameters: ActnormConvolutionParameters,
  permutation: tf.Tensor2D,
): { y: tf.Tensor4D; logDet: tf.Scalar } {
  const [, height, width, channels] = x.shape;
  const { shift, logScale, lu } = parameters;
  const matrix = mixingMatrix(parameters, permutation);
  const moved = tf.matMul(tf.reshape(shift, [1, channels]), matrix, false, true);
  const offset = tf.reshape(tf.neg(moved), [channels]);
  const rows = linear(tf.reshape(x, [-1, channels]), matrix, offset);
  const logDet = tf.sub(tf.sum(tf.mul(lu, tf.eye(channels))), tf.sum(logScale));
  return {
    y: tf.reshape(rows, x.shape),
    logDet: tf.mul(logDet, height * width),
  };
}

/** The way back of {@link actnormConvolution}, by the inverse of its matrix in double precision. */
export function inverseActnormConvolution(
  y: tf.Tensor4D,
  parameters: ActnormConvolutionParameters,
  permutation: tf.Tensor2D,
): tf.Tensor4D {
  const channels = y.shape[3];
  const values = mixingMatrix(parameters, permutation).arraySync();
  const back = tf.tensor2d(inverse(new Matrix(values)).to2DArray(), [channels, channels]);
  const rows = linear(tf.reshape(y, [-1, channels]), back, parameters.shift);
  return tf.reshape(rows, y.shape);
}

/** P·L·U·diag(exp(−logScale)). */
function mixingMatrix(
  { logScale, lu }: ActnormConvolutionParameters,
  permutation: tf.Tensor2D,
): tf.Tensor2D {
  const channels = lu.shape[0];
  const one = tf.eye(channels);
  const below = Float32Array.from({ length: channels ** 2 }, (_, i) =>
    Number(i % channels < Math.floor(i / channels)),
  );
  const lower = tf.tensor2d(below, [channels, channels]);
  const left = tf.add(tf.mul(lu, lower), one);
  // The exponential of what is off the diagonal could overflow.
  const diagonal = tf.exp(tf.sum(tf.mul(lu, one), 0));
  const right = tf.add(tf.mul(lu, tf.transpose(lower)), tf.mul(one, diagonal));
  const product = tf.matMul(permutation, tf.matMul(left, right));
  return tf.mul(product, tf.exp(tf.neg(logScale)));
}
