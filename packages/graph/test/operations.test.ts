import { beforeAll, describe, expect, test } from 'vitest';
import { createProgram, tensorSpec } from '../src/index.js';
import { tf } from '../src/tf.js';
import { random, startEngine } from './engine.js';
import { attention, gelu, layerNorm, linear } from './layers.js';

/** A differentiable function of a matrix-like input (2, 3, 4) and a variable (4, 4). */
type Case = (x: tf.Tensor3D, w: tf.Tensor2D) => tf.Tensor;

const row = (w: tf.Tensor2D) => tf.reshape(tf.slice(w, [0, 0], [1, 4]), [4]) as tf.Tensor1D;
const rows = (x: tf.Tensor3D) => tf.reshape(x, [6, 4]) as tf.Tensor2D;
const kernel = (w: tf.Tensor2D) => tf.reshape(w, [2, 2, 2, 2]) as tf.Tensor4D;
const heads = (x: tf.Tensor3D) => tf.reshape(x, [2, 1, 3, 4]) as tf.Tensor4D;

const differentiable: Record<string, Case> = {
  'matrix product': (x, w) => tf.matMul(rows(x), w),
  'matrix product, left transposed': (x) => tf.matMul(rows(x), rows(x), true),
  'matrix product, right transposed': (x, w) => tf.matMul(rows(x), w, false, true),
  'matrix product, both transposed': (x, w) => tf.matMul(w, rows(x), true, true),
  'batched matrix product': (x) => tf.matMul(heads(x), heads(x), false, true),
  'batched matrix product, left transposed': (x) => tf.matMul(heads(x), heads(x), true, false),
  dot: (x, w) => tf.dot(rows(x), row(w)),
  softmax: (x, w) => tf.softmax(tf.mul(heads(x), tf.sum(w))),
  'log softmax': (x) => tf.logSoftmax(x),
  'log-sum-exp': (x) => tf.logSumExp(x, -1),
  moments: (x) => tf.add(tf.moments(x, -1).mean, tf.sum(tf.moments(x, [1, 2]).variance)),
  norm: (x) => tf.norm(x),
  'layer normalisation': (x, w) => layerNorm(rows(x), row(w), row(w)),
  GELU: (x) => gelu(x),
  erf: (x) => tf.erf(x),
  attention: (x) => attention(heads(x), heads(x), heads(x)),
  'linear layer': (x, w) => linear(rows(x), w, row(w)),
  exp: (x) => tf.exp(tf.neg(x)),
  'log and absolute value': (x) => tf.log(tf.add(tf.abs(x), 1)),
  'log1p and expm1': (x) => tf.add(tf.log1p(tf.square(x)), tf.expm1(x)),
  'sine and cosine': (x) => tf.add(tf.sin(x), tf.cos(x)),
  tanh: (x) => tf.tanh(x),
  'inverse of tanh': (x) => tf.atanh(tf.mul(tf.tanh(x), 0.9)),
  sigmoid: (x) => tf.sigmoid(x),
  softplus: (x) => tf.softplus(x),
  relu: (x) => tf.relu(x),
  'square root': (x) => tf.sqrt(tf.add(tf.square(x), 1)),
  'reciprocal square root': (x) => tf.rsqrt(tf.add(tf.square(x), 1)),
  reciprocal: (x) => tf.reciprocal(tf.add(tf.square(x), 1)),
  'addition, broadcast': (x, w) => tf.add(x, row(w)),
  'subtraction, broadcast': (x, w) => tf.sub(row(w), x),
  'product, broadcast': (x, w) => tf.mul(x, row(w)),
  'quotient, broadcast': (x, w) => tf.div(x, tf.add(tf.square(row(w)), 1)),
  power: (x) => tf.pow(tf.add(tf.abs(x), 1), 1.5),
  'squared difference': (x) => tf.squaredDifference(x, tf.exp(x)),
  'sum of many': (x) => tf.addN([x, x, tf.square(x)]),
  maximum: (x) => tf.maximum(x, 0.1),
  minimum: (x) => tf.minimum(x, 0.1),
  clip: (x) => tf.clipByValue(x, -0.5, 0.5),
  'selection by a mask': (x) => tf.where(tf.tensor1d([1, 0, 0, 1], 'bool'), x, tf.mul(x, 3)),
  sum: (x) => tf.sum(x, [0, 2]),
  'sum, axis kept': (x) => tf.sum(x, 1, true),
  mean: (x) => tf.mean(x, -1),
  'mean of all': (x) => tf.mean(x),
  'greatest value': (x) => tf.max(x, -1),
  'least value': (x) => tf.min(x, 1),
  'cumulative sum': (x) => tf.cumsum(x, 2),
  reverse: (x) => tf.mul(tf.reverse(x, 1), x),
  slice: (x) => tf.slice(x, [0, 1, 1], [2, 2, 3]),
  split: (x) => tf.mul(...(tf.split(x, 2, 2) as [tf.Tensor, tf.Tensor])),
  concatenation: (x, w) => tf.concat([rows(x), w], 0),
  'concatenation of vectors': (x, w) => tf.concat1d([row(w), tf.reshape(x, [24])]),
  stack: (x) => tf.stack([x, tf.square(x)], 1),
  unstack: (x) => tf.mul(...(tf.unstack(x, 0) as [tf.Tensor, tf.Tensor])),
  padding: (x) =>
    tf.pad(tf.square(x), [
      [0, 0],
      [1, 0],
      [0, 2],
    ]),
  reshape: (x) => tf.square(tf.reshape(x, [4, 6])),
  convolution: (x, w) =>
    tf.conv2d(tf.reshape(x, [1, 3, 4, 2]) as tf.Tensor4D, kernel(w), 1, 'same'),
  'greatest of windows': (x) => tf.maxPool(tf.reshape(x, [1, 4, 3, 2]) as tf.Tensor4D, 2, 1, 0),
  'identity matrix': (x) => tf.matMul(rows(x), tf.eye(4)),
  transpose: (x) => tf.mul(tf.transpose(x, [2, 0, 1]), tf.transpose(x, [2, 0, 1])),
  'expanded and squeezed axes': (x) => tf.squeeze(tf.expandDims(tf.square(x), 1), [1]),
  tile: (x) => tf.tile(x, [1, 2, 3]),
  'broadcast to': (x) => tf.broadcastTo(tf.mean(x, 1, true), [2, 5, 4]),
  gather: (x) => tf.gather(x, tf.tensor1d([2, 0, 2], 'int32'), 1),
  'one-hot class rows': (_, w) => tf.matMul(tf.oneHot(tf.tensor1d([3, 0], 'int32'), 4), w),
  copy: (x) => tf.clone(tf.square(x)),
  'zeros and ones': (x) => tf.add(tf.mul(tf.onesLike(x), x), tf.zerosLike(x)),
  'custom gradient': (x) =>
    tf.customGrad((input, save) => {
      const value = tf.square(input as tf.Tensor);
      (save as tf.GradSaveFunc)([input as tf.Tensor]);
      return { value, gradFunc: (dy, [kept]) => tf.mul(dy, tf.mul(kept as tf.Tensor, 2)) };
    })(x),
};

/** Functions without a gradient. */
const others: Record<string, (x: tf.Tensor3D) => tf.Tensor> = {
  comparisons: (x) =>
    tf.stack([tf.less(x, 0), tf.lessEqual(x, 0), tf.greaterEqual(x, 0), tf.equal(x, x)]),
  'logical operations': (x) =>
    tf.logicalOr(tf.logicalAnd(tf.greater(x, 0), tf.less(x, 1)), tf.logicalNot(tf.notEqual(x, 2))),
  'quotient, 0 where divided by 0': (x) => tf.divNoNan(x, tf.relu(x)),
  'any and all': (x) => tf.stack([tf.any(tf.greater(x, 0), 1), tf.all(tf.greater(x, -9), 1)]),
  'signs and rounding': (x) => tf.stack([tf.sign(x), tf.round(x), tf.floor(x), tf.ceil(x)]),
  'range of integers': (x) => tf.mul(tf.range(0, 4, 1, 'int32'), tf.cast(tf.argMax(x), 'int32')),
  'finite or not': (x) => tf.stack([tf.isFinite(tf.log(x)), tf.isNaN(tf.log(x)), tf.isInf(x)]),
  'lower triangle': (x) => tf.linalg.bandPart(x, -1, 0),
  'strided slice': (x) => tf.stridedSlice(x, [0, 0, 0], [2, 3, 4], [1, 2, 2]),
  argmax: (x) => tf.argMax(x, -1),
  argmin: (x) => tf.argMin(x, -1),
  'casts to integers': (x) => tf.cast(tf.mul(x, 10), 'int32'),
  'integer arithmetic': (x) =>
    tf.mod(tf.add(tf.mul(tf.cast(tf.abs(tf.mul(x, 10)), 'int32'), tf.scalar(3, 'int32')), 1), 4),
  'one-hot of computed classes': (x) => tf.oneHot(tf.cast(tf.argMax(x, -1), 'int32'), 4),
  range: (x) => tf.add(tf.range(0, 4), x),
  fill: (x) => tf.add(tf.fill([2, 3, 4], 7), x),
};

/** Relative to the largest value: XLA evaluates functions such as exp by other polynomials. */
function expectClose(name: string, actual: tf.Tensor, expected: tf.Tensor, tolerance: number) {
  expect(actual.shape, name).toEqual(expected.shape);
  expect(actual.dtype, name).toBe(expected.dtype);
  const [got, wanted] = [actual.dataSync(), expected.dataSync()];
  const scale = Math.max(1, ...wanted.filter(Number.isFinite).map(Math.abs));
  for (const [index, value] of wanted.entries()) {
    if (Number.isFinite(value)) {
      expect(Math.abs((got[index] as number) - value) / scale, name).toBeLessThan(tolerance);
    } else {
      expect(got[index], name).toBe(value);
    }
  }
}

beforeAll(async () => {
  await startEngine('tensorflow');
});

describe.each([
  ['graph', 1e-6],
  ['xla', 3e-6],
] as const)('mode %s agrees with eager execution', (mode, tolerance) => {
  const compare = (
    variables: Record<string, tf.Tensor>,
    body: (variables: Record<string, tf.Tensor>, x: tf.Tensor3D) => Record<string, tf.Tensor>,
  ) => {
    tf.tidy(() => {
      const functions = {
        all: {
          inputs: { x: tensorSpec([2, 3, 4]) },
          body: (v: Record<string, tf.Tensor>, { x }: { x: tf.Tensor }) => ({
            outputs: body(v, x as tf.Tensor3D),
          }),
        },
      };
      const x = random(1, [2, 3, 4]);
      const reference = createProgram({ variables, functions, mode: 'eager' });
      const program = createProgram({ variables, functions, mode });
      const expected = reference.run.all({ x });
      const actual = program.run.all({ x });
      expect(Object.keys(actual)).toEqual(Object.keys(expected));
      for (const [name, value] of Object.entries(expected)) {
        expectClose(name, actual[name] as tf.Tensor, value, tolerance);
      }
      program.dispose();
      reference.dispose();
    });
  };

  test('in values and gradients of every differentiable operation', () => {
    const total = (value: tf.Tensor) => {
      // Weights that differ, so that no gradient is hidden by symmetry.
      const weights = tf.reshape(tf.cos(tf.range(0, value.size)), value.shape);
      return tf.sum(tf.mul(value, weights));
    };
    const w = random(2, [4, 4]);
    compare({ w }, (variables, x) => {
      const outputs: Record<string, tf.Tensor> = {};
      for (const [name, f] of Object.entries(differentiable)) {
        // The other term lets an operation depend on one argument only.
        const value = (a: tf.Tensor, b: tf.Tensor) =>
          tf.add(
            total(f(a as tf.Tensor3D, b as tf.Tensor2D)),
            tf.mul(1e-3, tf.add(tf.sum(a), tf.sum(b))),
          );
        const [byX, byW] = tf.grads(value)([x, variables.w as tf.Tensor]);
        outputs[name] = f(x, variables.w as tf.Tensor2D);
        outputs[`${name}, by x`] = byX as tf.Tensor;
        outputs[`${name}, by w`] = byW as tf.Tensor;
      }
      return outputs;
    });
    w.dispose();
  });

  test('in every other operation', () => {
    compare({}, (_, x) =>
      Object.fromEntries(Object.entries(others).map(([name, f]) => [name, f(x)])),
    );
  });
});
