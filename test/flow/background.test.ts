import { describe, expect, test } from 'vitest';
import { randomKey, tf, uniform } from '../../src/core/index.js';
import { narrowBackground, spreadBackground } from '../../src/flow/index.js';
import { difference } from './small-flow.js';

/** Images (count, 1, 1, 1) of grey values 0 … 256. */
const imagesOfGreys = (greys: ArrayLike<number>): tf.Tensor4D =>
  tf.tensor4d(
    Float32Array.from(greys, (grey) => grey / 128 - 1),
    [greys.length, 1, 1, 1],
  );

describe('a spread background', () => {
  test('lies at the quantiles of a normal distribution, other levels where they were', () => {
    tf.tidy(() => {
      // u·Φ(2.5) = ½ and 0.1, and Φ⁻¹(0.1) from tables.
      const kept = 0.9937903346742238;
      const x = imagesOfGreys([0.5 / kept, 0.1 / kept, 1.001, 100.5, 255.9]);
      const { y, logDet } = spreadBackground(0, x);
      const [half, tenth, ...others] = y.dataSync();
      const edge = 1 / 128 - 1;
      expect(half).toBeCloseTo(edge - 0.4 * 2.5, 5);
      expect(tenth).toBeCloseTo(edge + 0.4 * (-1.2815516 - 2.5), 5);
      expect(others).toEqual(Array.from(x.dataSync().slice(2)));
      expect(Array.from(logDet.dataSync().slice(2))).toEqual([0, 0, 0]);
    });
  });

  test('is normal where the noise is uniform', () => {
    tf.tidy(() => {
      const count = 40_000;
      const { y } = spreadBackground(0, imagesOfGreys(uniform(randomKey(1), count)));
      const deviations = tf.div(tf.sub(y, 1 / 128 - 2), 0.4);
      // Shares below −2, −1, 0, 1 and 2 deviations, from tables, of all below 2.5.
      const shares = [0.0227501, 0.1586553, 0.5, 0.8413447, 0.9772499];
      shares.forEach((share, i) => {
        const below = tf.mean(tf.cast(tf.less(deviations, i - 2), 'float32')).dataSync()[0]!;
        expect(Math.abs(below - share / 0.9937903)).toBeLessThan(0.01);
      });
      expect(tf.max(deviations).dataSync()[0]).toBeLessThanOrEqual(2.5001);
    });
  });

  test.each([0, 255] as const)('of level %d comes back, in the same order', (background) => {
    tf.tidy(() => {
      const greys = Float32Array.from({ length: 5121 }, (_, i) => i / 20);
      const x = imagesOfGreys(greys);
      const { y, logDet } = spreadBackground(background, x);
      expect(difference(narrowBackground(background, y), x)).toBeLessThan(1e-6);
      const values = y.dataSync();
      expect(values.every(Number.isFinite)).toBe(true);
      expect(logDet.dataSync().every(Number.isFinite)).toBe(true);
      expect(values.every((value, i) => i === 0 || value > values[i - 1]!)).toBe(true);
    });
  });

  test('of white is the mirror image of one of black', () => {
    tf.tidy(() => {
      const x = imagesOfGreys([0.01, 0.5, 0.99, 1.5, 128, 255.2]);
      const black = spreadBackground(0, x);
      const white = spreadBackground(255, tf.neg(x));
      expect(difference(tf.neg(white.y), black.y)).toBe(0);
      expect(difference(white.logDet, black.logDet)).toBe(0);
    });
  });

  test('a level that is neither black nor white is refused', () => {
    const x = imagesOfGreys([1]);
    expect(() => spreadBackground(128 as never, x)).toThrow('background does not fit: it is 128');
    expect(() => narrowBackground(128 as never, x)).toThrow('background does not fit: it is 128');
  });

  test('numbers far out come back as black and white, and beyond white as they are', () => {
    tf.tidy(() => {
      const y = tf.tensor4d([-30, 30], [2, 1, 1, 1]);
      expect(Array.from(narrowBackground(0, y).dataSync())).toEqual([-1, 30]);
      expect(Array.from(narrowBackground(255, y).dataSync())).toEqual([-30, 1]);
    });
  });

  test.each([0, 255] as const)('of level %d: slopes are those of differences', (background) => {
    tf.tidy(() => {
      const within = background === 0 ? [0.3, 0.5, 0.7] : [255.3, 255.5, 255.7];
      const x = imagesOfGreys([...within, 30.5]);
      const step = 0.01 / 128;
      const [after, before] = [step, -step].map((by) =>
        spreadBackground(background, tf.add(x, by)),
      ) as [ReturnType<typeof spreadBackground>, ReturnType<typeof spreadBackground>];
      const { logDet } = spreadBackground(background, x);
      const slope = tf.reshape(tf.div(tf.sub(after.y, before.y), 2 * step), [-1]);
      expect(difference(tf.log(slope), logDet)).toBeLessThan(2e-3);
      const gradient = tf.grad((images) =>
        tf.sum(spreadBackground(background, images as tf.Tensor4D).logDet),
      )(x);
      const ofLogDet = tf.div(tf.sub(after.logDet, before.logDet), 2 * step);
      expect(
        difference(tf.div(tf.reshape(gradient, [-1]), 128), tf.div(ofLogDet, 128)),
      ).toBeLessThan(0.02);
    });
  });
});
