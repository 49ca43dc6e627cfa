import { beforeAll, describe, expect, test } from 'vitest';
import { classMixture } from '../../src/conditions/labels.js';
import { startEngine } from '../../src/core/engine.js';
import { foldIn, integers, normal, randomKey } from '../../src/core/random.js';
import { tf, tidy } from '../../src/core/tf.js';
import type { AutoregressiveBlock } from '../../src/flow/autoregressive.js';
import { blocksOf, disposeModel } from '../../src/flow/flow.js';
import { executionOf } from '../../src/sampling/guidance/execution.js';
import { type Guidance, guidedBlock, plainly } from '../../src/sampling/guidance/guided-block.js';
import { inverse } from '../../src/sampling/inverse.js';
import { solveByWindow } from '../../src/sampling/solvers/sliding-window.js';
import { solveBlock } from '../../src/sampling/solvers/solve-block.js';
import type { BlockTrace } from '../../src/sampling/solvers/solve-record.js';
import { type Solver, solverText } from '../../src/sampling/solvers/solver.js';
import { difference, randomLatents, smallFlow } from '../flow/small-flow.js';
import { normalisedTokens, withStartToken } from './start-token.js';

beforeAll(async () => {
  await startEngine({ engine: 'tensorflow' });
});

/** A window that is exact but for rounding. */
function exactly(window: number, start: 'latent' | 'zeros' = 'latent'): Solver {
  return { kind: 'slidingWindow', window, tolerance: 0, start };
}

const guidances: (Guidance | undefined)[] = [
  undefined,
  { weight: 1.5, annealed: true },
  { weight: 0.7, on: 'a', temperature: 0.6 },
  { weight: 1, rule: 'product' },
  { weight: 1, blocks: [1] },
];

describe('a window that slides over the tokens', () => {
  test.each(Array.from({ length: 15 }, (_, seed) => seed))(
    'gives at tolerance 0 what sequential solving gives, seed %i (property)',
    async (seed) => {
      const among = <T>(name: string, values: readonly T[]): T =>
        values[integers(foldIn(randomKey(seed), name), 1, 0, values.length)[0] as number] as T;
      const flow = smallFlow(
        { classes: 3, volumePreserving: among('volume', [false, true]) },
        seed,
        0.3,
      );
      const [batch, mode] = [among('batch', [1, 2, 3]), among('mode', ['eager', 'graph', 'xla'])];
      const tokens = blocksOf(flow)[0]!.tokens;
      const window = among('window', [1, 2, 3, 5, 8, tokens - 1]);
      const guidance = among('guidance', guidances);
      const solver = exactly(window, among('start', ['latent', 'zeros']));
      const z = randomLatents(flow, batch, seed);
      const options = { label: 1, ...(guidance && { guidance }) };
      const expected = await inverse(flow, z, { ...options, mode: 'eager' });
      const before = tf.memory().numTensors;
      const traces: BlockTrace[] = [];
      const images = await inverse(flow, z, {
        ...{ ...options, solver, mode: mode as 'graph' },
        onTrace: (trace) => traces.push(trace),
      });
      const size = tidy(() => tf.max(tf.abs(expected)).dataSync()[0] as number);
      expect(difference(images, expected) / size).toBeLessThan(1e-5);
      images.dispose();
      expect(tf.memory().numTensors).toBe(before);
      for (const trace of traces) {
        expect(trace.evaluations).toBe(trace.iterations.length);
        expect(Math.max(...trace.sampleIterations)).toBeLessThan(tokens);
        expect(trace.evaluatedTokens).toBe(
          trace.iterations.reduce((sum, one) => sum + one.evaluatedSamples * window, 0),
        );
        expect([...trace.fallbacks, ...trace.unconverged]).toEqual([]);
      }
      tf.dispose([z, expected]);
      disposeModel(flow);
    },
  );

  test('takes fewer rounds the larger it is and the less exact, and errs by the tolerance', async () => {
    const flow = smallFlow({}, 3, 0.3);
    const z = randomLatents(flow, 1, 4);
    const exact = await inverse(flow, z, { mode: 'graph' });
    const roundsOf = async (window: number, tolerance: number): Promise<number> => {
      let rounds = 0;
      const images = await inverse(flow, z, {
        solver: { kind: 'slidingWindow', window, tolerance },
        mode: 'graph',
        onTrace: ({ evaluations }) => {
          rounds += evaluations;
        },
      });
      expect(difference(images, exact)).toBeLessThan(20 * tolerance + 1e-5);
      images.dispose();
      return rounds;
    };
    const { length, 0: block } = blocksOf(flow);
    // One token a round: every token but the first, which is given.
    expect(await roundsOf(1, 0)).toBe(length * (block!.tokens - 1));
    const [tight, loose, wide] = [
      await roundsOf(4, 1e-6),
      await roundsOf(4, 1e-2),
      await roundsOf(8, 1e-2),
    ];
    expect(tight).toBeLessThan(length * (block!.tokens - 1));
    expect(loose).toBeLessThan(tight);
    expect(wide).toBeLessThan(loose);
    tf.dispose([z, exact]);
    disposeModel(flow);
  });

  test('in several calls and in parts gives what it gives in one, and reports each', async () => {
    const flow = smallFlow({ classes: 2 });
    const z = randomLatents(flow, 5, 9);
    const classes = classMixture(flow.config, [0, 1, 1, 0, 1], 5) as tf.Tensor2D;
    const guidance = { weight: 1, temperature: 0.7 };
    for (const [mode, lengths, sides] of [
      ['graph', [4, 7, 12, 16], [[5], [2, 3]]],
      ['xla', [7, 16], [[2, 3]]],
    ] as const) {
      for (const block of blocksOf(flow)) {
        const execution = executionOf(blocksOf(flow), { mode });
        const guided = guidedBlock(block, 5, { classes }, guidance, execution);
        const expected = await solveBlock(plainly(guided), z, { kind: 'sequential' });
        for (const sizes of sides) {
          const known: number[] = [];
          const { tokens, record } = await solveByWindow(
            ...([guided, z, { window: 3, tolerance: 0 }] as const),
            { onStep: (count) => void known.push(count) },
            ...([lengths, sizes] as const),
          );
          expect(difference(tokens, expected.tokens)).toBeLessThan(1e-5);
          // Each call ends where its next window would have no room.
          expect(known).toHaveLength(lengths.length);
          for (const [call, length] of lengths.entries()) {
            expect(known[call]).toBeGreaterThanOrEqual(length === 16 ? 16 : length - 1);
          }
          expect(record.sampleIterations).toHaveLength(5);
          expect(record.iterations).toHaveLength(Math.max(...record.sampleIterations));
          expect(record.iterations[0]).toMatchObject({ samples: 5, evaluatedSamples: 5 });
          expect(record.iterations.at(-1)!.final).toBe(16);
          expect(record.iterations.every(({ evaluated }) => evaluated === 3)).toBe(true);
          tokens.dispose();
        }
        guided.dispose();
        expected.tokens.dispose();
      }
    }
    tf.dispose([z, classes]);
    disposeModel(flow);
  });

  test.each(['eager', 'graph'] as const)('begins behind a start token, %s', async (mode) => {
    const flow = smallFlow({ classes: 2 });
    for (const inner of blocksOf(flow)) {
      const block = withStartToken(inner, 0.5);
      const x = tf.tensor3d(normal(randomKey(3), 2 * 15), [2, 15, 1]);
      const z = tidy(() => normalisedTokens(block, x));
      const guided = guidedBlock(block, 2, {}, undefined, executionOf([block], { mode }));
      for (const solver of [exactly(4), exactly(4, 'zeros'), exactly(14)]) {
        const { tokens } = await solveBlock(guided, z, solver);
        expect(difference(tokens, x)).toBeLessThan(1e-5);
        tokens.dispose();
      }
      guided.dispose();
      tf.dispose([x, z]);
    }
    disposeModel(flow);
  });

  test.each([
    ['graph', Number.POSITIVE_INFINITY],
    ['graph', Number.NaN],
    ['xla', Number.NaN],
  ] as const)(
    'a guess that is not finite does not reach the tokens before it, %s, %d',
    async (mode, spike) => {
      const flow = smallFlow({ blocks: 1, image: { channels: 3, height: 4, width: 4 } });
      const inner = blocksOf(flow)[0]!;
      // One number that the step predicts for the last token of a window of four.
      const place = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, spike, 0];
      const spiked = (block: AutoregressiveBlock): AutoregressiveBlock =>
        Object.assign(Object.create(block) as AutoregressiveBlock, {
          description: ['spiked', String(spike), block.description],
          withParameters: (parameters: never) => spiked(block.withParameters(parameters)),
          decoder: (rows: number, places: tf.Tensor1D) => {
            const decoder = block.decoder!(rows, places);
            return {
              ...decoder,
              stepper: (conditions: object) => {
                const step = decoder.stepper(conditions);
                return ((t, tokens, cache) => {
                  const { next, cache: after } = step(t, tokens, cache);
                  const mean = tf.add<tf.Tensor3D>(next.mean, tf.tensor3d(place, [1, 4, 3]));
                  return { next: { ...next, mean }, cache: after };
                }) satisfies typeof step;
              },
            };
          },
        });
      const z = randomLatents(flow, 2, 5);
      const [plain, broken] = [inner, spiked(inner)].map((block) =>
        guidedBlock(block, 2, {}, undefined, executionOf([block], { mode })),
      );
      const exact = await solveBlock(plain!, z, { kind: 'sequential' });
      const { tokens, trace } = await solveBlock(broken!, z, exactly(4));
      // Only the last token of all has no window in which it is not the last.
      const [solved, expected] = [tokens, exact.tokens].map((all) =>
        tf.slice(all, [0, 0, 0], [-1, z.shape[1] - 1, -1]),
      );
      expect(difference(solved!, expected!)).toBeLessThan(1e-5);
      expect(trace.iterations.every(({ residual }) => Number.isFinite(residual))).toBe(true);
      tf.dispose([z, exact.tokens, tokens, solved!, expected!]);
      disposeModel(flow);
    },
  );

  test('ends where the model itself diverges', async () => {
    const flow = smallFlow({ classes: 3 }, 1, 5);
    const z = randomLatents(flow, 2, 6);
    const options = { label: 1, guidance: { weight: 3 }, mode: 'graph' } as const;
    const expected = await inverse(flow, z, options);
    expect(expected.dataSync().every(Number.isFinite)).toBe(false);
    const rounds: number[] = [];
    const images = await inverse(flow, z, {
      ...{ ...options, solver: exactly(4) },
      onTrace: ({ evaluations }) => rounds.push(evaluations),
    });
    expect(images.dataSync().every(Number.isFinite)).toBe(false);
    expect(Math.max(...rounds)).toBeLessThan(z.shape[1]);
    tf.dispose([z, expected, images]);
    disposeModel(flow);
  });

  test('a step that throws stops it, and nothing is left', async () => {
    const flow = smallFlow();
    const z = randomLatents(flow, 1, 9);
    const guided = guidedBlock(blocksOf(flow)[0]!, 1, {}, undefined, executionOf(blocksOf(flow)));
    const before = tf.memory().numTensors;
    const hooks = { onStep: () => Promise.reject(new Error('enough')) };
    const stopped = solveByWindow(guided, z, { window: 4 }, hooks);
    await expect(stopped).rejects.toThrow('enough');
    expect(tf.memory().numTensors).toBe(before);
    z.dispose();
    disposeModel(flow);
  });

  test('sizes that make no sense are refused by name', async () => {
    const flow = smallFlow();
    const z = randomLatents(flow, 1, 9);
    const refused = (solver: object, message: RegExp | string) =>
      expect(inverse(flow, z, { solver: solver as Solver })).rejects.toThrow(message);
    const tokens = z.shape[1];
    for (const window of [0, 1.5, tokens, undefined]) {
      await refused({ kind: 'slidingWindow', window }, `The window has ${window} tokens`);
    }
    await refused({ kind: 'slidingWindow', window: 4, tolerance: -1 }, 'The tolerance is -1');
    await refused({ kind: 'slidingWindow', window: 4, start: 'ones' }, "The start is 'ones'");
    expect(solverText({ kind: 'slidingWindow', window: 4, tolerance: 1e-3 })).toBe(
      'Jacobi, window of 4 tokens, from latent, to 0.001',
    );
    z.dispose();
    disposeModel(flow);
  });
});
