import { describe, expect, test } from 'vitest';
import { tf, tidy } from '../../src/core/tf.js';
import type { Gaussian } from '../../src/flow/gaussian.js';
import { guidedPrediction, productRule } from '../../src/sampling/guidance.js';

/** A Gaussian of one number. */
interface Normal {
  mean: number;
  deviation: number;
}

/** log N(x; mean, deviation²), without what does not depend on x. */
function logDensity({ mean, deviation }: Normal, x: number): number {
  return -0.5 * ((x - mean) / deviation) ** 2;
}

/** (1 + w)·log p − w·log p_weaker, which is a parabola in x. */
function guidedLogDensity(strong: Normal, weak: Normal, weight: number): (x: number) => number {
  return (x) => (1 + weight) * logDensity(strong, x) - weight * logDensity(weak, x);
}

function asTensors(pairs: readonly Normal[]): Gaussian<tf.Tensor3D> {
  const shape: [number, number, number] = [1, pairs.length, 1];
  return {
    mean: tf.tensor3d(
      pairs.map(({ mean }) => mean),
      shape,
    ),
    logScale: tf.tensor3d(
      pairs.map(({ deviation }) => Math.log(deviation)),
      shape,
    ),
  };
}

/** What the rule makes of some pairs of Gaussians at one weight. */
function guided(strong: readonly Normal[], weak: readonly Normal[], weight: number): Normal[] {
  return tidy(() => {
    const { mean, logScale } = productRule(asTensors(strong), asTensors(weak), tf.scalar(weight));
    const [means, logScales] = [mean, logScale as tf.Tensor].map((leaf) => leaf.dataSync());
    return strong.map((_, i) => ({
      mean: means![i] as number,
      deviation: Math.exp(logScales![i] as number),
    }));
  });
}

const strong: Normal[] = [
  { mean: 0.3, deviation: 0.5 },
  { mean: -1.2, deviation: 0.2 },
  { mean: 2, deviation: 1.5 },
  { mean: 0, deviation: 1 },
];
/** As wide as those or wider. */
const wider: Normal[] = [
  { mean: -0.4, deviation: 0.9 },
  { mean: -1, deviation: 0.25 },
  { mean: 2.5, deviation: 4 },
  { mean: 1, deviation: 1 },
];
const narrower: Normal[] = wider.map(({ mean }, i) => ({
  mean,
  deviation: (strong[i] as Normal).deviation / (i + 1.5),
}));

describe('guidance by the product of two Gaussians', () => {
  test('at weight 0 is the stronger one, whatever the weaker one is', () => {
    for (const weak of [wider, narrower]) {
      for (const [i, { mean, deviation }] of guided(strong, weak, 0).entries()) {
        expect(mean).toBeCloseTo((strong[i] as Normal).mean, 6);
        expect(deviation).toBeCloseTo((strong[i] as Normal).deviation, 6);
      }
    }
  });

  test.each([0.25, 1, 3, 16])('has mean and variance of p^(1+w) / p_weaker^w, w = %d', (weight) => {
    for (const [i, found] of guided(strong, wider, weight).entries()) {
      const log = guidedLogDensity(strong[i] as Normal, wider[i] as Normal, weight);
      // Differences of two points tell a Gaussian: nothing of its constant is in them.
      for (const distance of [-4, -1.3, -0.2, 0.5, 2, 6]) {
        const x = found.mean + distance * found.deviation;
        const ratio = log(x) - log(found.mean);
        expect(ratio / logDensity(found, x)).toBeCloseTo(1, 3);
      }
      // Its slope at the mean is 0, and minus its curvature one over the variance.
      const step = 1e-3;
      const [before, at, after] = [-step, 0, step].map((d) => log(found.mean + d)) as [
        number,
        number,
        number,
      ];
      const slope = (after - before) / (2 * step);
      expect(Math.abs(slope) * found.deviation).toBeLessThan(1e-4);
      const curvature = (before - 2 * at + after) / step ** 2;
      expect(-curvature * found.deviation ** 2).toBeCloseTo(1, 3);
    }
  });

  test.each([1, 4])(
    'takes a narrower weaker one for one as wide as the stronger, w = %d',
    (weight) => {
      const found = guided(strong, narrower, weight);
      const asWide = narrower.map(({ mean }, i) => ({ ...(strong[i] as Normal), mean }));
      const clipped = guided(strong, asWide, weight);
      for (const [i, { mean, deviation }] of found.entries()) {
        const own = strong[i] as Normal;
        expect(deviation).toBeCloseTo(own.deviation, 6);
        expect(mean).toBeCloseTo(own.mean + weight * (own.mean - (narrower[i] as Normal).mean), 5);
        expect(mean).toBeCloseTo(clipped[i]?.mean as number, 5);
      }
    },
  );

  test('is finite at a weight of a million, and as narrow as the two allow', () => {
    const weight = 1e6;
    for (const weak of [wider, narrower]) {
      for (const [i, { mean, deviation }] of guided(strong, weak, weight).entries()) {
        const [own, other] = [strong[i] as Normal, weak[i] as Normal];
        expect(Number.isFinite(mean)).toBe(true);
        const s = Math.min((own.deviation / other.deviation) ** 2, 1);
        const precision = 1 + weight * (1 - s);
        expect(deviation / (own.deviation / Math.sqrt(precision))).toBeCloseTo(1, 2);
        expect(deviation).toBeGreaterThan(0);
        expect(deviation).toBeLessThanOrEqual(own.deviation * 1.0001);
        // The mean has a limit where the weaker one is wider.
        if (s < 1) {
          const limit = own.mean + ((own.mean - other.mean) * s) / (1 - s);
          expect(mean).toBeCloseTo(limit, 3);
        }
      }
    }
  });

  test('where no scale is predicted, has that of the standard normal and the mean of the line', () => {
    tidy(() => {
      const [mean, weakMean] = [tf.tensor3d([[[0.5]]]), tf.tensor3d([[[-1]]])];
      const found = productRule({ mean }, { mean: weakMean }, tf.scalar(2));
      expect(found.mean.dataSync()[0]).toBeCloseTo(0.5 + 2 * 1.5, 5);
      expect(found.logScale?.dataSync()[0]).toBeCloseTo(0, 6);
    });
  });

  test('is what predictions of both branches become', () => {
    tidy(() => {
      const both = {
        mean: tf.concat([asTensors(strong).mean, asTensors(wider).mean], 0),
        logScale: tf.concat(
          [asTensors(strong), asTensors(wider)].map(({ logScale }) => logScale as tf.Tensor3D),
          0,
        ),
      };
      const found = guidedPrediction({ rule: 'product' }, both, tf.scalar(3));
      const means = found.mean.dataSync();
      for (const [i, { mean }] of guided(strong, wider, 3).entries()) {
        expect(means[i]).toBeCloseTo(mean, 6);
      }
    });
  });
});
