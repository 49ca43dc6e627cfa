import { describe, expect, test } from 'vitest';
import { classMixture } from '../../src/conditions/labels.js';
import { currentEngine, type Leaves, tf } from '../../src/core/index.js';
import { type AutoregressiveBlock, blocksOf } from '../../src/flow/index.js';
import { type Guidance, withGuidance } from '../../src/sampling/guidance.js';
import { inverse } from '../../src/sampling/inverse.js';
import { executionOf } from '../../src/sampling/solvers/execution.js';
import { decodeSequentially } from '../../src/sampling/solvers/sequential/decode.js';
import { referenceInverse } from '../../workbook/acceleration/reference.js';
import { difference, randomLatents, smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';

const guidances: Record<string, Guidance | undefined> = {
  none: undefined,
  'of both, annealed': { weight: 1.5, annealed: true },
  'of a, sharper': { weight: 0.7, on: 'a', temperature: 0.6 },
  'of b': { weight: 1, on: 'b' },
  'in block 1 only': { weight: 1, blocks: [1] },
};

describe.each(['graph', 'xla'] as const)('sequential sampling as one call, %s', (mode) => {
  // The golden files have the others, as a graph: `npm run nightly` sets TARFLOW_NIGHTLY.
  const tried = mode === 'graph' ? ['in block 1 only'] : ['of a, sharper'];
  test.each(
    Object.entries(guidances).filter(
      ([name]) => process.env.TARFLOW_NIGHTLY || tried.includes(name),
    ),
  )('gives what it gives op by op, guidance %s', async (_, g) => {
    const flow = smallFlow({ classes: 3 });
    const z = randomLatents(flow, 3, 7);
    expectNoTensorsLeft();
    const options = { ...(g && { guidance: g }) };
    const expected = await inverse(flow, z, { label: [0, 1, 2], ...options, mode: 'eager' });
    const images = await inverse(flow, z, { label: [0, 1, 2], ...options, mode });
    expect(difference(images, expected)).toBeLessThan(1e-5);
    tf.dispose([images, expected]);
  });

  test('of a volume-preserving flow without classes', async () => {
    const flow = smallFlow({ volumePreserving: true });
    const z = randomLatents(flow, 2, 8);
    const guidance = { weight: 1, temperature: 0.5 };
    const expected = await inverse(flow, z, { guidance, mode: 'eager' });
    const images = await inverse(flow, z, { guidance, mode });
    expect(difference(images, expected)).toBeLessThan(1e-5);
  });

  test('in several calls, each in parts, gives what it gives in one, and reports each call', async () => {
    const flow = smallFlow({ classes: 2 });
    const z = randomLatents(flow, 5, 9);
    const classes = classMixture(flow.config, [0, 1, 1, 0, 1], 5);
    const guidance = { weight: 1, annealed: true, temperature: 0.7 };
    const execution = executionOf(blocksOf(flow), { mode });
    const ends = [7, z.shape[1]];
    for (const block of blocksOf(flow)) {
      const before = tf.memory().numTensors;
      const { block: guided, conditions } = withGuidance(block, 5, { classes }, guidance);
      const expected = referenceInverse(guided, z, conditions);
      // `npm run nightly` sets TARFLOW_NIGHTLY: each size is a graph of its own.
      for (const sizes of process.env.TARFLOW_NIGHTLY ? [[5], [2, 3], [1, 1, 3]] : [[1, 1, 3]]) {
        const known: number[] = [];
        const context = {
          conditions,
          execution,
          onStep: (count: number) => void known.push(count),
        };
        const solved = await decodeSequentially(guided, z, context, ends, sizes);
        expect(known).toEqual([8, z.shape[1]]);
        expect(difference(solved, expected)).toBeLessThan(1e-5);
        solved.dispose();
      }
      tf.dispose([expected, conditions]);
      expect(tf.memory().numTensors).toBe(before);
    }
  });
});

test('blocks of both directions share one loop', async () => {
  const flow = smallFlow({ classes: 7 });
  const z = randomLatents(flow, 2, 9);
  let recorded = 0;
  const solved: tf.Tensor[] = [];
  for (const block of blocksOf(flow).slice(0, 2)) {
    const counting = Object.create(block, {
      withParameters: {
        value: (parameters: Leaves) => {
          recorded++;
          return block.withParameters(parameters);
        },
      },
    }) as AutoregressiveBlock;
    const execution = executionOf(blocksOf(flow), { mode: 'graph' });
    const context = { conditions: {}, execution };
    solved.push(await decodeSequentially(counting, z, context, [z.shape[1]], [2]));
  }
  expect(recorded).toBe(1);
});

test('a step that throws stops it, and nothing is left', async () => {
  const flow = smallFlow();
  const z = randomLatents(flow, 1, 9);
  expectNoTensorsLeft();
  const stopped = decodeSequentially(blocksOf(flow)[0]!, z, {
    conditions: {},
    execution: executionOf(blocksOf(flow)),
    onStep: () => Promise.reject(new Error('enough')),
  });
  await expect(stopped).rejects.toThrow('enough');
});

test('rounded factors change the samples, and all solvers and modes alike', async () => {
  const flow = smallFlow({ classes: 2 });
  const z = randomLatents(flow, 2, 10);
  const options = { mode: 'eager', precision: 'bfloat16' } as const;
  const [exact, expected] = [
    await inverse(flow, z, { label: 1 }),
    await inverse(flow, z, { label: 1, ...options }),
  ];
  expect(difference(expected, exact)).toBeGreaterThan(5e-3);
  for (const [mode, solver] of [
    ['eager', { kind: 'jacobi', tolerance: 0 }],
    ['graph', { kind: 'gaussSeidelJacobi', segments: 3, tolerance: 0 }],
    ['graph', { kind: 'sequential' }],
    ['xla', { kind: 'sequential' }],
  ] as const) {
    const rounded = await inverse(flow, z, { label: 1, ...options, mode, solver });
    expect(difference(rounded, expected)).toBeLessThan(1e-4);
  }
});

test('on a processor a compiled loop rounds the factors of few rows only', async () => {
  const flow = smallFlow();
  const options = { mode: 'xla', solver: { kind: 'sequential' } } as const;
  for (const [batch, rounded] of [
    [3, true],
    [4, false],
  ] as const) {
    const z = randomLatents(flow, batch, 10);
    const [exact, narrow] = [
      await inverse(flow, z, options),
      await inverse(flow, z, { ...options, precision: 'bfloat16' }),
    ];
    const error = difference(narrow, exact);
    if (rounded || currentEngine().gpu) expect(error).toBeGreaterThan(1e-3);
    else expect(error).toBe(0);
    tf.dispose([z, exact, narrow]);
  }
});
