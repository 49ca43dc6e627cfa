import { expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { disposeModel, forward } from '../../src/flow/index.js';
import { editLatents, interpolate } from '../../src/sampling/interpolate.js';
import { inverse } from '../../src/sampling/inverse.js';
import { difference, randomImages, smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';

test('both ends are the images, and the middle lies on the arc between their noise', async () => {
  expectNoTensorsLeft();
  const flow = smallFlow({ classes: 3 });
  const [first, last] = [randomImages(flow, 1, 1), randomImages(flow, 1, 2)];
  const from = 2;
  const ends = tf.concat([first, last]);
  const path = await interpolate(flow, ends, 5, { from });
  expect(path.shape).toEqual([5, 1, 4, 4]);
  tf.tidy(() => {
    expect(difference(tf.slice(path, 0, 1), first)).toBeLessThan(1e-4);
    expect(difference(tf.slice(path, 4, 1), last)).toBeLessThan(1e-4);
    const noise = (x: tf.Tensor4D) => forward(flow, x, { label: Array(x.shape[0]).fill(2) }).z;
    const [z, a, b] = [noise(tf.slice(path, 2, 1)), noise(first), noise(last)];
    // Half way between, and as long as the two for what their angle is.
    const cosine = tf.div(tf.sum(tf.mul(a, b)), tf.mul(tf.norm(a), tf.norm(b))).dataSync()[0]!;
    const middle = tf.div(tf.add(a, b), 2 * Math.cos(Math.acos(cosine) / 2));
    expect(difference(z, middle)).toBeLessThan(1e-3);
  });
  path.dispose();
  const same = tf.concat([first, first]);
  const still = await interpolate(flow, same, 3, { from });
  tf.tidy(() => {
    expect(difference(tf.slice(still, 1, 1), first)).toBeLessThan(1e-4);
  });
  await expect(interpolate(flow, ends, 1)).rejects.toThrow(/number of images is 1/);
  await expect(interpolate(flow, first, 3)).rejects.toThrow(/1 image came/);
  const large = tf.zeros([2, 1, 4, 8]);
  await expect(interpolate(flow, large, 3)).rejects.toThrow(/shape \(2, 1, 4, 8\)/);
  const broken = tf.fill([2, 1, 4, 4], Number.NaN);
  await expect(interpolate(flow, broken, 3)).rejects.toThrow(/not finite/);
  tf.dispose([same, still, large, broken, ends, first, last]);
  disposeModel(flow);
});

test('noise is kept where the label changes, and images come back where it does not', async () => {
  expectNoTensorsLeft();
  const flow = smallFlow({ classes: 3 });
  const images = randomImages(flow, 2, 1);
  const same = await editLatents(flow, images, (z) => z, { from: 1 });
  expect(difference(same, images)).toBeLessThan(1e-4);
  const other = await editLatents(flow, images, (z) => z, { from: 1, to: 2 });
  const { z, ...rest } = forward(flow, images, { label: [1, 1] });
  const expected = await inverse(flow, z, { label: [2, 2] });
  expect(difference(other, expected)).toBeLessThan(1e-5);
  expect(difference(other, images)).toBeGreaterThan(0.01);
  const wrong = editLatents(flow, images, (one) => one, { to: 7 });
  await expect(wrong).rejects.toThrow(/out of range/);
  const noisy = await editLatents(flow, images, (one) => one, { sigma: 0.1, from: 1 });
  expect(difference(noisy, images)).toBeGreaterThan(0.01);
  tf.dispose([same, other, z, rest.logDet, rest.outputs, rest.logDets, expected, noisy, images]);
  disposeModel(flow);
});
