import { expect, test } from 'vitest';
import { UserError } from '../../src/core/index.js';
import { tf } from '../../src/core/tf.js';
import {
  disposeModel,
  type Family,
  forward,
  type Model,
  type ModelConfig,
} from '../../src/flow/index.js';
import { type InpaintOptions, inpaint } from '../../src/sampling/inpaint.js';
import { sampleNoise } from '../../src/sampling/sample.js';
import { difference, randomImages, smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';

/** x = (z − shift)·inverse, so that the precision of x is M·Mᵀ and its mean solves z = 0. */
const matrix = [
  [2, 0, 0],
  [1, 3, 0],
  [-1, 2, 1.5],
];
const shift = [0.5, -1, 2];

/** A normal distribution of images of three numbers, as a flow: z = x·M + shift. */
const gaussian = {
  kind: 'gaussian',
  prior: { shape: () => [3, 1] },
  flow: {
    forward: (_: Model, x: tf.Tensor4D) => {
      const rows = tf.reshape<tf.Rank.R2>(x, [x.shape[0], 3]);
      const z = tf.reshape<tf.Rank.R3>(
        tf.add(tf.matMul(rows, tf.tensor2d(matrix)), shift),
        [-1, 3, 1],
      );
      return { z, logDet: tf.fill([x.shape[0]], Math.log(9)), outputs: [], logDets: [] };
    },
    rows: () => 1,
    width: () => 3,
  },
  async generate(_: Model, z: tf.Tensor3D) {
    // By substitution, from the last column back.
    return tf.tidy(() => {
      const rows = z.arraySync().map((numbers) => {
        const u = numbers.map(([value = 0], i) => value - shift[i]!);
        const c = u[2]! / 1.5;
        const b = (u[1]! - 2 * c) / 3;
        return [(u[0]! - b + c) / 2, b, c];
      });
      return tf.reshape<tf.Rank.R4>(tf.tensor2d(rows), [-1, 1, 1, 3]);
    });
  },
} as unknown as Family;

const config: ModelConfig = {
  kind: 'gaussian',
  image: { channels: 1, height: 1, width: 3 },
  classes: 0,
};
const toy: Model = { family: gaussian, config, parameters: {}, buffers: {} };

const row = (...numbers: number[]) => tf.tensor4d(numbers, [1, 1, 1, numbers.length]);

test('of a normal distribution, the mean and covariance are those given what is known', async () => {
  expectNoTensorsLeft();
  const [image, mask] = [row(7, 0.4, 7), row(1, 0, 1)];
  const count = 500;
  const { images, acceptance } = await inpaint(toy, image, mask, { count, steps: 40, seed: 1 });
  const values = (await images.data()) as Float32Array;
  images.dispose();
  // What is at other places in the masked image makes no difference.
  expect(values.filter((_, i) => i % 3 === 1)).toEqual(new Float32Array(count).fill(0.4));
  // Precision P = M·Mᵀ, of the free numbers [[4, -2], [-2, 7.25]], and b = -M·shift.
  const determinant = 4 * 7.25 - 4;
  const covariance = [7.25 / determinant, 2 / determinant, 4 / determinant];
  const b = matrix.map((line) => -line.reduce((sum, m, i) => sum + m * shift[i]!, 0));
  const [p01, p21] = [2, 5];
  const right = [b[0]! - p01 * 0.4, b[2]! - p21 * 0.4];
  const means = [
    covariance[0]! * right[0]! + covariance[1]! * right[1]!,
    covariance[1]! * right[0]! + covariance[2]! * right[1]!,
  ];
  const free = [0, 2].map((place) => Array.from(values.filter((_, i) => i % 3 === place)));
  const mean = (numbers: number[]) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  const found = free.map(mean);
  const product = (i: number, j: number) =>
    mean(free[i]!.map((x, n) => (x - found[i]!) * (free[j]![n]! - found[j]!)));
  // Four standard errors.
  found.forEach((value, i) => {
    expect(Math.abs(value - means[i]!)).toBeLessThan(4 * Math.sqrt(covariance[2 * i]! / count));
  });
  for (const [i, [a, c]] of [
    [0, 0],
    [0, 1],
    [1, 1],
  ].entries()) {
    expect(Math.abs(product(a!, c!) - covariance[i]!)).toBeLessThan(
      (6 * covariance[0]!) / Math.sqrt(count),
    );
  }
  tf.dispose([image, mask]);
  const accepted = mean(acceptance ?? []);
  expect(accepted).toBeGreaterThan(0.4);
  expect(accepted).toBeLessThan(0.95);
});

test('known pixels come back to the bit, and a seed draws the same pictures', async () => {
  const flow = smallFlow({ image: { channels: 3, height: 4, width: 4 }, classes: 3 });
  const image = randomImages(flow, 1, 3);
  const mask = tf.tensor4d([...Array(8).fill(0), ...Array(8).fill(1)], [1, 1, 4, 4]);
  const shares: number[] = [];
  const options: InpaintOptions = { count: 3, steps: 3, sigma: 0.1, label: 1, seed: 5 };
  const draw = async (more: InpaintOptions = {}) => {
    const { images, logProb } = await inpaint(flow, image, mask, { ...options, ...more });
    expect(images.shape).toEqual([3, 3, 4, 4]);
    expect(logProb).toHaveLength(3);
    const values = await images.data();
    images.dispose();
    return values;
  };
  const before = tf.memory().numTensors;
  const first = await draw({ onProgress: (share) => shares.push(share) });
  const known = await image.data();
  first.forEach((value, i) => {
    if (i % 16 < 8) expect(value).toBe(known[i % 48]);
    else expect(value).not.toBe(known[i % 48]);
  });
  expect(await draw()).toEqual(first);
  expect(await draw({ seed: 6 })).not.toEqual(first);
  expect(await draw({ label: 2 })).not.toEqual(first);
  expect(shares.at(-1)).toBe(1);
  const stop = AbortSignal.abort(new Error('enough'));
  await expect(draw({ signal: stop })).rejects.toThrow('enough');
  expect(tf.memory().numTensors).toBe(before);
  disposeModel(flow);
});

test('where the mask comes last in every block, what is masked has fresh noise, and draws are exact', async () => {
  expectNoTensorsLeft();
  const flow = smallFlow({ classes: 3, directions: 'same' });
  const image = randomImages(flow, 1, 3);
  const lower = tf.tensor4d(Array(16).fill(0).fill(1, 8), [1, 1, 4, 4]);
  const upper = tf.sub(1, lower) as tf.Tensor4D;
  const options: InpaintOptions = { count: 2, steps: 1, label: 1, seed: 5 };
  const drawn = await inpaint(flow, image, lower, options);
  expect(drawn.acceptance).toBeUndefined();
  tf.tidy(() => {
    const { z } = forward(flow, drawn.images, { label: [1, 1] });
    const known = forward(flow, image, { label: [1] }).z;
    const [, tokens, width] = z.shape;
    const half = tokens / 2;
    const last = (x: tf.Tensor3D) => tf.slice(x, [0, half, 0], [-1, half, width]);
    const first = (x: tf.Tensor3D) => tf.slice(x, [0, 0, 0], [-1, half, width]);
    expect(difference(last(z), last(sampleNoise(flow, 5, 0, 2)))).toBeLessThan(1e-4);
    expect(difference(first(z), tf.tile(first(known), [2, 1, 1]))).toBeLessThan(1e-4);
  });
  const chains = await inpaint(flow, image, upper, options);
  expect(chains.acceptance).toHaveLength(2);
  tf.dispose([image, lower, upper, drawn.images, chains.images]);
  disposeModel(flow);
});

test('what does not fit is refused, and nothing is left', async () => {
  expectNoTensorsLeft();
  const flow = smallFlow({ classes: 3 });
  const [image, mask] = [
    randomImages(flow, 1, 3),
    tf.tensor4d(Array(16).fill(0).fill(1, 9), [1, 1, 4, 4]),
  ];
  const refuse = async (
    problem: RegExp,
    what: tf.Tensor4D,
    where = mask,
    options: InpaintOptions = {},
  ) => {
    const drawn = inpaint(flow, what, where, { count: 1, steps: 1, ...options });
    await expect(drawn).rejects.toThrow(problem);
    await expect(drawn).rejects.toThrow(UserError);
    if (what !== image) what.dispose();
    if (where !== mask) where.dispose();
  };
  await refuse(/shape \(1, 1, 3, 4\)/, tf.zeros([1, 1, 3, 4]));
  await refuse(/2 images came/, tf.zeros([2, 1, 4, 4]));
  await refuse(/not finite/, tf.fill([1, 1, 4, 4], Number.NaN));
  await refuse(/mask of shape \(1, 1, 4, 5\)/, image, tf.ones([1, 1, 4, 5]));
  await refuse(/covers nothing/, image, tf.zeros([1, 1, 4, 4]));
  await refuse(/covers everything/, image, tf.ones([1, 1, 4, 4]));
  await refuse(/label 'hat'/, image, mask, { label: 'hat' });
  await refuse(/number of pictures is 0/, image, mask, { count: 0 });
  await refuse(/Sigma is -1/, image, mask, { sigma: -1 });
  tf.dispose([image, mask]);
  disposeModel(flow);
});
