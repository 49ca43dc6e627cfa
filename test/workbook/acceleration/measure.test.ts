import { describe, expect, test } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { modelFingerprint, type Plan, sample } from '../../../src/sampling/index.js';
import {
  type AccelerationOptions,
  accelerationStrategies,
  measureAcceleration,
} from '../../../workbook/acceleration/measure.js';
import { randomImages, smallFlow } from '../../flow/small-flow.js';
import { expectNoTensorsLeft } from '../../leaks.js';
import { somePlan } from '../../sampling/some-plan.js';

function planFor(model: string): Plan {
  return {
    ...somePlan,
    model,
    batch: 2,
    solvers: [{ kind: 'jacobi', tolerance: 0 }, { kind: 'sequential' }],
  };
}

describe('the acceleration table', () => {
  test('sequential first and planned last, on the same noise, and no tensors left', async () => {
    const flow = smallFlow({ classes: 2 });
    const before = tf.memory().numTensors;
    const shares: number[] = [];
    const table = await measureAcceleration(flow, {
      batch: 2,
      label: [0, 1],
      guidance: { weight: 0.5 },
      tolerance: 1e-2,
      repeats: 2,
      mode: 'eager',
      onProgress: (share) => shares.push(share),
    });
    expect(tf.memory().numTensors).toBe(before);
    expect(table.rows.map(({ strategy }) => strategy)).toEqual([
      'sequential',
      'Jacobi',
      'GS-Jacobi, published form',
      'selective Jacobi',
      'SeJD, published rule',
      'planned',
    ]);
    const [sequential, jacobi, , selective] = table.rows;
    expect(sequential).toMatchObject({
      speedup: 1,
      iterations: [0, 0],
      error: 0,
      statistics: { mean: 0, deviation: 0 },
    });
    expect(Math.min(...jacobi!.iterations)).toBeGreaterThan(0);
    expect(selective!.iterations[1]).toBe(0);
    expect(selective!.iterations[0]).toBeGreaterThan(0);
    for (const row of table.rows) {
      expect(row.times).toHaveLength(2);
      expect(row.solvers).toHaveLength(2);
      expect(row.speedup).toBeCloseTo(sequential!.milliseconds / row.milliseconds);
      expect(row.fallbacks).toEqual([0, 0]);
    }
    expect(table.crmFrom).toBe('samples');
    expect(table.plan).toMatchObject({ batch: 2, label: [0, 1], tolerance: 1e-2 });
    // These stop by the tolerance; the published ones by rules of their own.
    for (const row of [jacobi!, selective!, table.rows[5]!]) {
      expect(row.error).toBeLessThanOrEqual(1e-2);
      expect(row.statistics.mean).toBeLessThan(table.seedNoise.mean);
      expect(row.statistics.deviation).toBeLessThan(table.seedNoise.deviation);
    }
    expect(table).toMatchObject({ tokens: 16, blocks: 2, batch: 2, label: [0, 1], repeats: 2 });
    expect(table.execution).toContain('eager, float32');
    expect(table.model).toBe(modelFingerprint(flow));
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
    expect(shares.at(-1)).toBeCloseTo(1);
  });

  test('errors and statistics are those of the samples, as shares of the range', async () => {
    const flow = smallFlow({ classes: 2 });
    // Of the first repeat and of the second.
    const label = [0, 1, 1, 0];
    // One iteration from zeros leaves a block far from solved.
    const coarse = { kind: 'jacobi', maximum: 1, start: 'zeros' } as const;
    const table = await measureAcceleration(flow, {
      batch: 2,
      repeats: 2,
      label,
      seed: 5,
      mode: 'eager',
      plan: planFor(modelFingerprint(flow)),
      strategies: { coarse },
    });
    expect(table.rows.map(({ strategy }) => strategy)).toEqual(['sequential', 'coarse', 'planned']);
    const [, found, planned] = table.rows;
    // Its four samples are the first four of the seed.
    const [exact, other, seeded] = [
      await sample(flow, { count: 4, label, seed: 5 }),
      await sample(flow, { count: 4, label, seed: 5, solver: coarse }),
      await sample(flow, { count: 4, label, seed: 6 }),
    ];
    const distances = (images: tf.Tensor) =>
      tf.tidy(() => {
        const apart = (f: (of: tf.Tensor) => tf.Tensor) =>
          tf.sqrt(tf.mean(tf.squaredDifference(f(images), f(exact)))).dataSync()[0]! / 2;
        return {
          error: tf.max(tf.abs(tf.sub(images, exact))).dataSync()[0]! / 2,
          mean: apart((of) => tf.mean(of, 0)),
          deviation: apart((of) => tf.sqrt(tf.moments(of, 0).variance)),
        };
      });
    const expected = distances(other);
    expect(expected.error).toBeGreaterThan(0.01);
    expect(found!.iterations).toEqual([1, 1]);
    expect(found!.error).toBeCloseTo(expected.error, 4);
    expect(found!.statistics.mean).toBeCloseTo(expected.mean, 4);
    expect(found!.statistics.deviation).toBeCloseTo(expected.deviation, 4);
    const noise = distances(seeded);
    expect(table.seedNoise.mean).toBeCloseTo(noise.mean, 4);
    expect(table.seedNoise.deviation).toBeCloseTo(noise.deviation, 4);
    expect(planned!.error).toBeLessThan(1e-5);
  });

  test('a batch that is told nothing is sampled without guidance, and the plan sees all labels', async () => {
    const flow = smallFlow({ classes: 2 });
    const before = tf.memory().numTensors;
    const guidance = { weight: 0.5 };
    const table = await measureAcceleration(flow, {
      ...{ repeats: 3, label: [0, -1, 1], guidance, strategies: {}, mode: 'eager' },
    });
    expect(tf.memory().numTensors).toBe(before);
    expect(table.label).toEqual([0, -1, 1]);
    expect(table.plan.label).toEqual([-1, 0, 1]);
    await expect(
      measureAcceleration(flow, { repeats: 2, label: [-1, -1], guidance }),
    ).rejects.toThrow('would change nothing');
  });

  test('what iterations did not bring to an end is counted by block', async () => {
    // Its samples are large, and an iterate of block 0 overflows on the way.
    const flow = smallFlow({}, 4, 2.5);
    const images = randomImages(flow, 2, 1);
    expectNoTensorsLeft();
    const table = await measureAcceleration(flow, {
      repeats: 1,
      seed: 19,
      mode: 'eager',
      images,
      plan: planFor(modelFingerprint(flow)),
      strategies: {
        overflowing: [{ kind: 'jacobi', tolerance: 1e-3 }, { kind: 'sequential' }],
        coarse: [
          { kind: 'sequential' },
          { kind: 'gaussSeidelJacobi', segments: 3, maximum: 1, tolerance: 0 },
        ],
      },
    });
    const [sequential, overflowing, coarse] = table.rows;
    expect(table.crmFrom).toBe('images');
    expect(sequential).toMatchObject({ fallbacks: [0, 0], unconverged: [0, 0] });
    expect(overflowing).toMatchObject({ fallbacks: [1, 0], unconverged: [0, 0] });
    expect(coarse).toMatchObject({ fallbacks: [0, 0], unconverged: [0, 3] });
  });

  test('a plan that is sequential is as fast as sequential, being the same run', async () => {
    const flow = smallFlow();
    const solvers: Plan['solvers'] = [{ kind: 'sequential' }, { kind: 'sequential' }];
    const plan = { ...planFor(modelFingerprint(flow)), solvers };
    const { rows } = await measureAcceleration(flow, { plan, strategies: {}, mode: 'eager' });
    expect(rows).toHaveLength(2);
    expect(rows[1]).toEqual({ ...rows[0], strategy: 'planned' });
    expect(rows[1]!.speedup).toBe(1);
  });

  test('the published form has as many segments as divide the tokens, in the toughest block', () => {
    for (const [side, segments] of [
      [4, 8],
      [7, 7],
      [11, 1],
    ] as const) {
      const flow = smallFlow({ image: { channels: 1, height: side, width: side } });
      const images = randomImages(flow, 3, 1);
      const strategies = accelerationStrategies(flow, images, 1e-3);
      const solvers = strategies['GS-Jacobi, published form'] as unknown as {
        segments: number;
        maximum: number;
      }[];
      const tough = solvers.filter(({ maximum }) => maximum === 32);
      expect(tough).toEqual([expect.objectContaining({ segments, clamp: 3, norm: 'frobenius' })]);
      expect(solvers.filter(({ maximum }) => maximum === 10)).toHaveLength(1);
    }
  });
});

describe('bad input', () => {
  const mistakes: [string, AccelerationOptions, RegExp][] = [
    ['a negative tolerance', { tolerance: -1e-3 }, /tolerance is -0.001/],
    ['a batch of 0', { batch: 0 }, /batch is 0/],
    ['half a repeat', { repeats: 0.5 }, /repeats is 0.5/],
    ['a plan of another model', { plan: planFor('other') }, /made for model other/],
    [
      'more segments than tokens',
      { strategies: { many: { kind: 'gaussSeidelJacobi', segments: 17 } } },
      /strategy 'many' does not fit.*segments is 17/,
    ],
    ['a label that there is not', { label: 7 }, /Label 7/],
    ['labels that fit no batch', { batch: 2, label: [0, 1, 0] }, /3 labels.*Expected.*2.*or 6/],
    ['guidance that diverges', { label: 1, guidance: { weight: 1e9 } }, /diverges/],
  ];
  test.each(mistakes)('%s is named', async (_, options, message) => {
    const flow = smallFlow({ classes: 2 });
    expectNoTensorsLeft();
    await expect(measureAcceleration(flow, options)).rejects.toThrow(message);
  });

  test('a model with a broken prior is named, and a signal stops', async () => {
    const flow = smallFlow({ volumePreserving: true });
    const broken = {
      ...flow,
      buffers: { var: tf.fill([16, 1], Number.NaN) },
    };
    expectNoTensorsLeft();
    await expect(measureAcceleration(broken)).rejects.toThrow('latent of sample 0 is not finite');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(measureAcceleration(flow, { signal })).rejects.toThrow('enough');
  });
});
