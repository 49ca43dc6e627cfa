import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { startEngine } from '../../src/backend/engine.js';
import type { Mode } from '../../src/backend/program/index.js';
import { tf } from '../../src/backend/tf.js';
import { tokenCount } from '../../src/flow/config.js';
import { disposeFlow, flowBlocks, type TarFlow } from '../../src/flow/tarflow.js';
import { segmentEnds } from '../../src/sampling/gauss-seidel-jacobi.js';
import { type Guidance, type GuidedBlock, guidedBlock } from '../../src/sampling/guidance.js';
import { inverse } from '../../src/sampling/inverse.js';
import { solveBlock } from '../../src/sampling/solve-block.js';
import {
  type PublishedLists,
  publishedSolvers,
  publishedStrategies,
  type Solver,
  selectiveJacobi,
} from '../../src/sampling/solver.js';
import type { BlockTrace } from '../../src/sampling/trace.js';
import { difference, randomLatents, smallFlow } from '../flow/small-flow.js';
import { goldenModel } from './golden-flow.js';

beforeAll(async () => {
  await startEngine();
});

const guidances: Record<string, Guidance> = {
  annealed: { weight: 1, annealed: true },
  'on a, with temperature': { weight: 0.5, on: 'a', temperature: 0.7 },
  'on b, in block 1 only': { weight: 1, on: 'b', blocks: [1] },
};

/** The difference from sequential op by op, relative where values exceed 1, and the traces. */
async function against(
  flow: TarFlow,
  z: tf.Tensor3D,
  solver: Solver | readonly Solver[],
  guidance?: Guidance,
  mode?: Mode,
): Promise<{ error: number; traces: BlockTrace[] }> {
  const label =
    flow.config.classes > 0 ? Array.from({ length: z.shape[0] }, (_, i) => i % 2) : undefined;
  const traces: BlockTrace[] = [];
  const guided = guidance && { guidance };
  const sequential = await inverse(flow, z, label, { ...guided, mode: 'eager' });
  const solved = await inverse(flow, z, label, {
    ...guided,
    ...(mode && { mode }),
    solver,
    onTrace: (trace) => traces.push(trace),
  });
  const size = tf.tidy(() => tf.max(tf.abs(sequential)).dataSync()[0]!);
  const error = difference(solved, sequential) / Math.max(size, 1);
  tf.dispose([sequential, solved]);
  return { error, traces };
}

describe('at tolerance 0 an iteration gives what sequential solving gives', () => {
  test('any segments, start, guidance and batch (property)', async () => {
    const flow = smallFlow({ classes: 2 });
    const tokens = tokenCount(flow.config);
    const before = tf.memory().numTensors;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: tokens }),
        fc.constantFrom('latent' as const, 'zeros' as const),
        fc.constantFrom('largest' as const, 'frobenius' as const),
        fc.constantFrom(undefined, ...Object.values(guidances)),
        fc.integer({ min: 1, max: 3 }),
        fc.nat(),
        async (segments, start, norm, guidance, batch, seed) => {
          const z = randomLatents(flow, batch, seed);
          const solver = {
            kind: 'gaussSeidelJacobi',
            segments,
            start,
            norm,
            tolerance: 0,
          } as const;
          // Op by op: to record a graph for each of these shapes would take minutes.
          const { error, traces } = await against(flow, z, solver, guidance, 'eager');
          z.dispose();
          expect(error).toBeLessThan(1e-4);
          for (const { sampleIterations, iterations, evaluations } of traces) {
            expect(Math.max(...sampleIterations)).toBeLessThanOrEqual(tokens - 1);
            expect(evaluations).toBe(iterations.length);
            expect(iterations.at(-1)?.final).toBe(tokens);
          }
        },
      ),
      { numRuns: 12, seed: 1 },
    );
    expect(tf.memory().numTensors).toBe(before);
    disposeFlow(flow);
  });

  test.each([
    [1, 1e-6],
    [3, 1e-4],
  ])(
    'as graphs, in a batch whose samples end at different times: %i segments',
    async (segments, tolerance) => {
      const flow = smallFlow({ classes: 2 });
      const before = tf.memory().numTensors;
      const z = tf.tidy(() => {
        const scales = tf.tensor3d([0.01, 1, 0.1, 1.5, 0.02], [5, 1, 1]);
        return tf.mul(randomLatents(flow, 5, 21), scales) as tf.Tensor3D;
      });
      const solver = { kind: 'gaussSeidelJacobi', segments, tolerance } as const;
      const { error, traces } = await against(flow, z, solver, guidances.annealed, 'graph');
      expect(error).toBeLessThan(Math.max(1e-4, 5 * tolerance));
      const iterations = traces.flatMap(({ sampleIterations }) => sampleIterations);
      expect(Math.min(...iterations)).toBeLessThan(Math.max(...iterations));
      z.dispose();
      expect(tf.memory().numTensors).toBe(before);
      disposeFlow(flow);
    },
  );

  test.each([
    ['tf4_uncond_p1_c32', { weight: 0.6, temperature: 0.5, annealed: true }, 5],
    ['tf5_cond_p2_c48', { weight: 1, annealed: true }, 7],
  ] as const)('a trained model, guided: %s', async (name, guidance, segments) => {
    const { flow, noise, images } = await goldenModel(name);
    const jacobi = await against(flow, noise, { kind: 'jacobi', tolerance: 0 }, guidance);
    expect(jacobi.error).toBeLessThan(2e-4);
    const segmented = await against(
      flow,
      noise,
      { kind: 'gaussSeidelJacobi', segments, tolerance: 0, start: 'zeros' },
      guidance,
    );
    expect(segmented.error).toBeLessThan(2e-4);
    tf.dispose([noise, images]);
    disposeFlow(flow);
  });

  test('a volume-preserving flow', async () => {
    const flow = smallFlow({ volumePreserving: true });
    const z = randomLatents(flow, 2, 3);
    const { error } = await against(flow, z, {
      kind: 'gaussSeidelJacobi',
      segments: 3,
      tolerance: 0,
    });
    expect(error).toBeLessThan(1e-4);
    z.dispose();
    disposeFlow(flow);
  });
});

describe('the work of an iteration', () => {
  test.each(['eager', 'graph'] as const)(
    'the front moves on, and what is final is not evaluated again: %s',
    async (mode) => {
      const { flow, noise, images, labels } = await goldenModel('tf5_cond_p2_c48');
      const one = tf.slice(noise, [0, 0, 0], [1, -1, -1]);
      const traces: BlockTrace[] = [];
      const x = await inverse(flow, one, labels?.slice(0, 1), {
        solver: { kind: 'gaussSeidelJacobi', segments: 3, tolerance: 1e-4 },
        mode,
        onTrace: (trace) => traces.push(trace),
      });
      expect(traces.map(({ block }) => block)).toEqual([2, 1, 0]);
      const tokens = tokenCount(flow.config);
      const grain = mode === 'eager' ? 1 : Math.ceil(tokens / 8);
      const ends = segmentEnds(tokens, 3);
      for (const { iterations, evaluations, evaluatedTokens, cacheBytes, milliseconds } of traces) {
        let final = 1;
        let known = 0;
        for (const iteration of iterations) {
          const end = ends[iteration.segment]!;
          // Tokens before `known` are in the cache: those that are final, in whole grains.
          expect(iteration.evaluated).toBe(end - 1 - known);
          expect(iteration.final).toBeGreaterThan(final);
          known = Math.max(known, Math.floor(Math.min(final, end - 1) / grain) * grain);
          final = iteration.final;
        }
        expect(final).toBe(tokenCount(flow.config));
        expect(evaluations).toBe(iterations.length);
        const work = iterations.reduce(
          (sum, { samples, evaluated }) => sum + samples * evaluated,
          0,
        );
        expect(evaluatedTokens).toBe(work);
        expect(cacheBytes).toBeGreaterThan(0);
        expect(milliseconds).toBeGreaterThan(0);
      }
      tf.dispose([noise, images, one, x]);
      disposeFlow(flow);
    },
  );

  test('a solved sample leaves the batch, and its result is that of the sample alone', async () => {
    const flow = smallFlow();
    // A sample of small noise needs fewer iterations.
    const z = tf.tidy(() => {
      const noise = randomLatents(flow, 3, 11);
      return tf.mul(noise, tf.tensor3d([0.05, 1, 1.5], [3, 1, 1])) as tf.Tensor3D;
    });
    const solver = { kind: 'gaussSeidelJacobi', segments: 2, tolerance: 0.02 } as const;
    const traces: BlockTrace[] = [];
    const together = await inverse(flow, z, undefined, { solver, onTrace: (t) => traces.push(t) });
    const shrunk = traces.some(({ iterations }) => iterations.some(({ samples }) => samples < 3));
    expect(shrunk, 'a sample left early').toBe(true);
    for (let sample = 0; sample < 3; sample++) {
      const one = tf.slice(z, [sample, 0, 0], [1, -1, -1]);
      const own: BlockTrace[] = [];
      const alone = await inverse(flow, one, undefined, { solver, onTrace: (t) => own.push(t) });
      const row = tf.slice(together, [sample, 0, 0, 0], [1, -1, -1, -1]);
      expect(difference(alone, row)).toBeLessThan(1e-4);
      expect(own.map(({ sampleIterations }) => sampleIterations[0])).toEqual(
        traces.map(({ sampleIterations }) => sampleIterations[sample]),
      );
      tf.dispose([one, alone, row]);
    }
    tf.dispose([z, together]);
    disposeFlow(flow);
  });

  test('the result is within reach of the tolerance, and fewer iterations do for a larger one', async () => {
    const { flow, noise, images } = await goldenModel('tf4_uncond_p1_c32');
    const totals: number[] = [];
    for (const tolerance of [1e-1, 1e-3, 1e-5]) {
      const { error, traces } = await against(flow, noise, { kind: 'jacobi', tolerance });
      expect(error).toBeLessThan(10 * tolerance);
      totals.push(traces.reduce((sum, { evaluations }) => sum + evaluations, 0));
    }
    expect(totals[0]).toBeLessThan(totals[1]!);
    expect(totals[1]).toBeLessThan(totals[2]!);
    tf.dispose([noise, images]);
    disposeFlow(flow);
  });

  test('a limit on the iterations is kept, and told', async () => {
    const flow = smallFlow();
    const z = randomLatents(flow, 2, 4);
    const solver = { kind: 'gaussSeidelJacobi', segments: 2, maximum: 2, tolerance: 0 } as const;
    const { error, traces } = await against(flow, z, solver);
    expect(error).toBeGreaterThan(0);
    for (const { sampleIterations, unconverged } of traces) {
      expect(sampleIterations).toEqual([4, 4]);
      expect(unconverged).toHaveLength(4);
    }
    z.dispose();
    disposeFlow(flow);
  });
});

test('segments cover every token, whatever their number', () => {
  expect(segmentEnds(16, 4)).toEqual([5, 9, 13, 16]);
  expect(segmentEnds(5, 5)).toEqual([2, 3, 4, 5]);
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 300 }), fc.nat(), (tokens, number) => {
      const segments = 1 + (number % tokens);
      const ends = segmentEnds(tokens, segments);
      expect(ends.at(-1)).toBe(tokens);
      expect(ends.length).toBe(Math.min(segments, tokens - 1));
      const lengths = ends.map((end, i) => end - (ends[i - 1] ?? 1));
      expect(Math.min(...lengths)).toBeGreaterThan(0);
      expect(Math.max(...lengths)).toBeLessThanOrEqual(Math.ceil(tokens / segments));
    }),
  );
});

describe('numbers that are not finite', () => {
  /** A block whose prediction overflows for one sample where it is given several tokens at once. */
  function overflowing(guided: GuidedBlock, place: number): GuidedBlock {
    return {
      ...guided,
      predict(tokens, options) {
        const result = guided.predict(tokens, options);
        const [rows, count, width] = result.b.shape;
        if (place < 0 || count < 4) return result;
        const spike = new Float32Array(result.b.size);
        spike[((place + 1) * count - 1) * width] = Number.POSITIVE_INFINITY;
        return { ...result, b: tf.add(result.b, tf.tensor3d(spike, [rows, count, width])) };
      },
      select: (samples) => overflowing(guided.select(samples), samples.indexOf(place)),
    };
  }

  test('an iterate that overflows is solved token by token, and told', async () => {
    const flow = smallFlow({ blocks: 1 });
    const block = flowBlocks(flow)[0]!;
    const z = randomLatents(flow, 3, 5);
    const before = tf.memory().numTensors;
    const plain = guidedBlock(block, 3, undefined, undefined);
    const solver = { kind: 'gaussSeidelJacobi', segments: 2, tolerance: 0 } as const;
    const exact = await solveBlock(plain, z, { kind: 'sequential' });
    const solved = await solveBlock(overflowing(plain, 1), z, solver);
    expect(solved.trace.fallbacks).toEqual([
      { segment: 0, sample: 1 },
      { segment: 1, sample: 1 },
    ]);
    expect(difference(solved.tokens, exact.tokens)).toBeLessThan(1e-4);
    tf.dispose([exact.tokens, solved.tokens]);
    expect(tf.memory().numTensors).toBe(before);
    tf.dispose(z);
    disposeFlow(flow);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('noise with %s is named', async (value) => {
    const flow = smallFlow();
    const z = tf.tidy(() => {
      const noise = randomLatents(flow, 2, 1);
      const spoilt = noise.dataSync().slice() as Float32Array;
      spoilt[20] = value;
      return tf.tensor3d(spoilt, noise.shape);
    });
    const before = tf.memory().numTensors;
    await expect(inverse(flow, z)).rejects.toThrow('sample 1 is not finite');
    expect(tf.memory().numTensors).toBe(before);
    z.dispose();
    disposeFlow(flow);
  });
});

describe('the published form', () => {
  test('the block inverted eighth is solved with segments, as the others are', async () => {
    const flow = smallFlow({ blocks: 8 }, 3, 0.5);
    const z = randomLatents(flow, 2, 9);
    // Entry 7, the block next to the data: the published code leaves its first segment unsolved.
    const last = (value: number): number[] => [0, 0, 0, 0, 0, 0, 0, value];
    const lists: PublishedLists = {
      segments: last(8),
      maximum: [1, 1, 1, 1, 1, 1, 1, 2],
      zeros: last(1),
      tolerance: 0,
      clamp: Number.POSITIVE_INFINITY,
    };
    const rerun = await against(flow, z, publishedSolvers(flow.config, lists));
    expect(rerun.error).toBeLessThan(1e-4);
    const own = publishedSolvers(flow.config, lists).map(
      (solver): Solver =>
        solver.kind === 'sequential'
          ? solver
          : { kind: 'gaussSeidelJacobi', segments: 8, start: 'zeros', tolerance: 0 },
    );
    expect((await against(flow, z, own)).error).toBeLessThan(1e-4);
    z.dispose();
    disposeFlow(flow);
  });

  test('lists are in the order of sampling, and 0 segments are sequential', () => {
    const flow = smallFlow({ blocks: 3 });
    const { config } = flow;
    disposeFlow(flow);
    const solvers = publishedSolvers(config, {
      segments: [4, 1, 0],
      maximum: [9, 5, 1],
      zeros: [1, 0, 0],
    });
    expect(solvers).toEqual([
      { kind: 'sequential' },
      { ...published({ segments: 1, maximum: 5, start: 'latent' }), clamp: 3 },
      { ...published({ segments: 4, maximum: 9, start: 'zeros' }), clamp: 3 },
    ]);
    expect(() => publishedSolvers(config, publishedStrategies.AFHQ!)).toThrow('8 entries');
  });

  test.each([
    ['tf4_uncond_p1_c32', { 0.5: [1, 2, 2], 0.1: [6, 4, 6], 0.01: [9, 6, 10] }],
    ['tf5_cond_p2_c48', { 0.5: [4, 2], 0.1: [6, 4], 0.01: [10, 7] }],
  ])('selective Jacobi needs the iterations of the reference: %s', async (name, counts) => {
    const { flow, noise, images, labels } = await goldenModel(name);
    for (const [tolerance, expected] of Object.entries(counts)) {
      const found: number[] = [];
      const solver = selectiveJacobi(flow.config, {
        tolerance: Number(tolerance),
        published: true,
      });
      const x = await inverse(flow, noise, labels, {
        solver,
        onTrace: ({ iterations }) => found.push(iterations.length),
      });
      x.dispose();
      expect(found).toEqual([0, ...expected]);
    }
    tf.dispose([noise, images]);
    disposeFlow(flow);
  });

  test('the Frobenius rule stops at the iteration of the reference', async () => {
    const { flow, noise, images } = await goldenModel('tf4_uncond_p1_c32');
    for (const [tolerance, expected] of Object.entries({
      0.01: [8, 8, 5, 10],
      0.001: [10, 10, 7, 13],
    })) {
      const found: number[] = [];
      const x = await inverse(flow, noise, undefined, {
        solver: {
          ...published({ segments: 1, maximum: 64, start: 'latent' }),
          tolerance: Number(tolerance),
        },
        onTrace: ({ iterations }) => found.push(iterations.length),
      });
      x.dispose();
      expect(found).toEqual(expected);
    }
    tf.dispose([noise, images]);
    disposeFlow(flow);
  });

  test('a clamp changes the solution where that is larger', async () => {
    const flow = smallFlow({ blocks: 1 });
    const z = tf.tidy(() => tf.mul(randomLatents(flow, 1, 2), 3) as tf.Tensor3D);
    const solver = { ...published({ segments: 1, maximum: 15, start: 'latent' }), tolerance: 0 };
    expect((await against(flow, z, solver)).error).toBeLessThan(1e-4);
    expect((await against(flow, z, { ...solver, clamp: 1 })).error).toBeGreaterThan(0.1);
    z.dispose();
    disposeFlow(flow);
  });

  function published(
    settings: Pick<
      Extract<Solver, { kind: 'publishedGaussSeidelJacobi' }>,
      'segments' | 'maximum' | 'start'
    >,
  ) {
    return {
      kind: 'publishedGaussSeidelJacobi' as const,
      norm: 'frobenius' as const,
      tolerance: 1e-6,
      ...settings,
    };
  }
});
