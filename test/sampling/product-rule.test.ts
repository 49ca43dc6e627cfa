import { describe, expect, test } from 'vitest';
import { tf, tidy } from '../../src/core/tf.js';
import type { Gaussian } from '../../src/flow/gaussian.js';
import { productRule } from '../../src/sampling/guidance.js';

/** A Gaussian of one number. */
interface Normal {
  mean: number;
  deviation: number;
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
});
