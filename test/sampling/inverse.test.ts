import { describe, expect, test } from 'vitest';
import type { Label } from '../../src/conditions/labels.js';
import { tf, UserError } from '../../src/core/index.js';
import { blocksOf } from '../../src/flow/index.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { Guidance } from '../../src/sampling/guidance.js';
import { type InverseOptions, type InverseProgress, inverse } from '../../src/sampling/inverse.js';
import { planSampling } from '../../src/sampling/planner/plan-sampling.js';
import { sample } from '../../src/sampling/sample.js';
import { solveBlock } from '../../src/sampling/solvers/solve-block.js';
import type { Solver } from '../../src/sampling/solvers/solvers.js';
import { selectiveJacobi } from '../../src/sampling/solvers/strategies.js';
import { difference, randomLatents, smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';

const solvers: Record<string, Solver> = {
  sequential: { kind: 'sequential' },
  jacobi: { kind: 'jacobi', tolerance: 0 },
  'Gauss–Seidel–Jacobi': { kind: 'gaussSeidelJacobi', segments: 3 },
  published: { kind: 'publishedGaussSeidelJacobi', segments: 2, maximum: 8, clamp: 3 },
};

describe.each(Object.entries(solvers))('inverse, %s', (_, solver) => {
  test('leaves no tensors, reports progress and traces', async () => {
    const flow = smallFlow({ classes: 2, blocks: 3 });
    const z = randomLatents(flow, 2, 1);
    const before = tf.memory().numTensors;
    const progress: InverseProgress[] = [];
    const blocks: number[] = [];
    const x = await inverse(flow, z, {
      label: 1,
      solver,
      guidance: { weight: 1 },
      onProgress: (state) => progress.push(state),
      onTrace: ({ block }) => blocks.push(block),
    });
    expect(x.shape).toEqual([2, 1, 4, 4]);
    x.dispose();
    expect(tf.memory().numTensors).toBe(before);
    expect(blocks).toEqual([2, 1, 0]);
    expect(progress.at(-1)).toEqual({ done: 45, total: 45, block: 0 });
    const done = progress.map((state) => state.done);
    expect(done).toEqual([...done].sort((a, b) => a - b));
  });

  test('a signal stops it, and frees what it made', async () => {
    const flow = smallFlow();
    const z = randomLatents(flow, 2, 1);
    expectNoTensorsLeft();
    const reason = new Error('enough');
    const how = { solver, mode: 'eager' } as const;
    await expect(inverse(flow, z, { ...how, signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    );
    const controller = new AbortController();
    const stopped = inverse(flow, z, {
      ...how,
      signal: controller.signal,
      onBlock: () => controller.abort(reason),
    });
    await expect(stopped).rejects.toBe(reason);
  });
});

test('each block takes its own solver, by index from the data', async () => {
  const flow = smallFlow({ blocks: 3 });
  const z = randomLatents(flow, 1, 1);
  const kinds: Record<number, string> = {};
  await inverse(flow, z, {
    ...{ solver: selectiveJacobi(flow), mode: 'eager' },
    onTrace: ({ block, solver }) => {
      kinds[block] = solver.kind;
    },
  });
  expect(kinds).toEqual({ 0: 'jacobi', 1: 'jacobi', 2: 'sequential' });
});

describe('bad input to inverse', () => {
  const published = { kind: 'publishedGaussSeidelJacobi', segments: 1, maximum: 5 } as const;
  test.each<[Solver, string]>([
    [{ kind: 'gaussSeidelJacobi', segments: 17 }, 'segments is 17'],
    [{ kind: 'gaussSeidelJacobi', segments: 0 }, 'segments is 0'],
    [{ kind: 'gaussSeidelJacobi', segments: 1.5 }, 'segments is 1.5'],
    [{ kind: 'jacobi', tolerance: -1e-3 }, 'tolerance is -0.001'],
    [{ kind: 'jacobi', tolerance: Number.NaN }, 'tolerance is NaN'],
    [{ kind: 'jacobi', maximum: 0 }, 'maximum is 0'],
    [{ kind: 'jacobi', maximum: -1 }, 'maximum is -1'],
    [{ kind: 'jacobi', start: 'noise' as never }, 'start is "noise"'],
    [{ kind: 'jacobi', norm: 'l1' as never }, 'norm is "l1"'],
    [{ kind: 'newton' as never }, "solver 'newton'"],
    [{ ...published, maximum: undefined as never }, 'maximum is missing'],
    [{ ...published, segments: 3 }, 'do not divide 16 tokens'],
    [{ ...published, segments: 2, start: 'allZeros' }, 'allZeros'],
    [{ ...published, clamp: 0 }, 'clamp is 0'],
  ])('%o, for a flow and for a block', async (solver, message) => {
    const flow = smallFlow();
    const z = randomLatents(flow, 1, 1);
    const block = blocksOf(flow)[0]!;
    expectNoTensorsLeft();
    for (const solve of [() => inverse(flow, z, { solver }), () => solveBlock(block, z, solver)]) {
      const outcome = solve();
      await expect(outcome).rejects.toThrow(UserError);
      await expect(outcome).rejects.toThrow(message);
    }
  });

  test('too few solvers', async () => {
    const flow = smallFlow();
    const z = randomLatents(flow, 1, 1);
    const outcome = inverse(flow, z, { solver: [{ kind: 'jacobi' }] });
    await expect(outcome).rejects.toThrow('1 solvers');
  });

  test.each<[Guidance, string]>([
    [{ weight: -1 }, 'weight is -1'],
    [{ weight: Number.NaN }, 'weight is NaN'],
    [{ weight: 1, on: 'c' as never }, 'on is "c"'],
    [{ weight: 1, temperature: 0 }, 'temperature is 0'],
    [{ weight: 1, blocks: [2] }, 'block 2'],
  ])('guidance %o', async (guidance, message) => {
    const flow = smallFlow({ classes: 2 });
    const z = randomLatents(flow, 1, 1);
    await expect(inverse(flow, z, { label: 0, guidance })).rejects.toThrow(message);
  });

  test.each<[string, Partial<TarFlowConfig>, InverseOptions, RegExp]>([
    [
      'a model that reads nothing',
      {},
      { guidance: { weight: 2 } },
      /change nothing: the model has no classes.*temperature is 1\. Either set guidance\.temperature/,
    ],
    [
      'no label',
      { classes: 2 },
      { guidance: { weight: 2 } },
      /neither a label nor a caption came.*temperature is 1\. Either give a label from 0/,
    ],
    [
      'dropped labels alone',
      { classes: 2 },
      { guidance: { weight: 2, rule: 'product' }, label: [-1, -1] },
      /neither a label nor a caption came/,
    ],
    [
      'no block',
      { classes: 2 },
      { guidance: { weight: 2, blocks: [] }, label: 1 },
      /of its blocks \(none\) none reads a label.*those that do \(0, 1\)/,
    ],
  ])('guidance that would change nothing: %s', async (_, changes, options, message) => {
    const flow = smallFlow(changes);
    const z = randomLatents(flow, 2, 1);
    expectNoTensorsLeft();
    const { guidance, label } = options;
    for (const refused of [
      inverse(flow, z, options),
      sample(flow, { count: 2, ...(guidance && { guidance }), label }),
      planSampling(flow, z, { ...(guidance && { guidance }), label: label as Label }),
    ]) {
      await expect(refused).rejects.toThrow(UserError);
      await expect(refused).rejects.toThrow(message);
    }
  });

  test('guidance without labels by attention temperature, and weight 0, are asked for rightly', async () => {
    const flow = smallFlow({ classes: 2 });
    const z = randomLatents(flow, 2, 1);
    const plain = await inverse(flow, z);
    const unguided = await inverse(flow, z, { guidance: { weight: 0 } });
    const sharper = await inverse(flow, z, { guidance: { weight: 1, temperature: 0.5 } });
    expect(difference(unguided, plain)).toBe(0);
    expect(difference(sharper, plain)).toBeGreaterThan(1e-3);
  });

  test('guidance leaves a part of the samples alone that has no label', async () => {
    const flow = smallFlow({ classes: 2 });
    const options = { count: 4, label: [1, 0, -1, -1], guidance: { weight: 1 } };
    const [whole, parts, unguided] = [
      await sample(flow, { ...options, mode: 'eager' }),
      await sample(flow, { ...options, batchSize: 2, mode: 'eager' }),
      await sample(flow, { count: 4, label: options.label, mode: 'eager' }),
    ];
    expect(difference(parts, whole)).toBeLessThan(1e-5);
    const [told, untold] = [0, 2].map((from) =>
      tf.tidy(() => {
        const [guided, bare] = [parts, unguided].map((x) =>
          tf.slice(x, [from, 0, 0, 0], [2, -1, -1, -1]),
        );
        return difference(guided!, bare!);
      }),
    );
    expect(told).toBeGreaterThan(1e-3);
    expect(untold).toBeLessThan(1e-5);
  });

  test('latents of another shape, and labels that do not fit', async () => {
    const flow = smallFlow({ classes: 2 });
    const z = randomLatents(flow, 2, 1);
    const wrong = tf.zeros([2, 15, 1]) as tf.Tensor3D;
    await expect(inverse(flow, wrong)).rejects.toThrow('(2, 15, 1)');
    await expect(inverse(flow, z, { label: [0] })).rejects.toThrow('1 label came for 2 samples');
    await expect(inverse(flow, z, { label: [0, 2] })).rejects.toThrow('Label 2');
  });
});
