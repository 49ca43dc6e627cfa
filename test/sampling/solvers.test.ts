import type { Mode, Precision } from '@tarflow/graph';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { classMixture } from '../../src/conditions/labels.js';
import { foldIn, integers, type Leaves, randomKey, tf } from '../../src/core/index.js';
import { type AutoregressiveBlock, blocksOf, type Conditions } from '../../src/flow/index.js';
import { tokenCount } from '../../src/flow/patches.js';
import type { TarFlow } from '../../src/models/tarflow/index.js';
import { type Guidance, withGuidance } from '../../src/sampling/guidance.js';
import { inverse } from '../../src/sampling/inverse.js';
import type { IterationTrace } from '../../src/sampling/solvers/definition.js';
import { segmentEnds } from '../../src/sampling/solvers/gauss-seidel-jacobi/solve-by-iteration.js';
import type { PublishedLists } from '../../src/sampling/solvers/published/published.js';
import { type BlockTrace, solveBlock } from '../../src/sampling/solvers/solve-block.js';
import type { Solver } from '../../src/sampling/solvers/solvers.js';
import { publishedSolvers, selectiveJacobi } from '../../src/sampling/solvers/strategies.js';
import { referenceInverse } from '../../workbook/acceleration/reference.js';
import { difference, randomLatents, smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { goldenModel } from './golden-flow.js';

const guidances: Record<string, Guidance> = {
  annealed: { weight: 1, annealed: true },
  'on a, with temperature': { weight: 0.5, on: 'a', temperature: 0.7 },
  'on b, in block 1 only': { weight: 1, on: 'b', blocks: [1] },
};

/** A small model whose solution is moderate, and how to solve it. */
function randomCase(seed: number) {
  const among = <T>(name: string, values: readonly T[]): T =>
    values[integers(foldIn(randomKey(seed), name), 1, 0, values.length)[0] as number] as T;
  const classes = among('classes', [0, 2, 3]);
  const patchSize = among('patch', [1, 2]);
  const [rows, columns] = [among('rows', [1, 2, 3, 4]), among('columns', [2, 3, 4, 5])];
  const flow = smallFlow(
    {
      image: {
        channels: among('colours', [1, 3]),
        height: rows * patchSize,
        width: columns * patchSize,
      },
      patchSize,
      channels: among('width', [8, 16]),
      headWidth: among('head', [4, 8]),
      blocks: among('blocks', [2, 3]),
      layersPerBlock: among('layers', [1, 2, 3]),
      volumePreserving: among('volume', [false, true]),
      classes,
    },
    seed,
    0.3,
  );
  const segments =
    1 +
    among(
      'segments',
      Array.from({ length: rows * columns }, (_, i) => i),
    );
  const solver: Solver = {
    kind: 'gaussSeidelJacobi',
    segments,
    start: among('start', ['latent', 'zeros'] as const),
    norm: among('norm', ['largest', 'frobenius'] as const),
    tolerance: 0,
  };
  const guided = Object.values(guidances).filter(
    ({ temperature = 1 }) => classes > 0 || temperature !== 1,
  );
  const guidance = among('guidance', [undefined, ...guided]);
  return { flow, solver, guidance, batch: among('batch', [1, 2, 3]) };
}

/** The difference from sequential op by op, as a share of its largest number, and the traces. */
async function against(
  flow: TarFlow,
  z: tf.Tensor3D,
  solver: Solver | readonly Solver[],
  guidance?: Guidance,
  mode: Mode = 'eager',
): Promise<{ error: number; traces: BlockTrace[] }> {
  const label =
    flow.config.classes > 0 ? Array.from({ length: z.shape[0] }, (_, i) => i % 2) : undefined;
  const traces: BlockTrace[] = [];
  const guided = guidance && { guidance };
  const sequential = await inverse(flow, z, { label, ...guided, mode: 'eager' });
  const solved = await inverse(flow, z, {
    label,
    ...guided,
    mode,
    solver,
    onTrace: (trace) => traces.push(trace),
  });
  const size = tf.tidy(() => tf.max(tf.abs(sequential)).dataSync()[0]!);
  const error = difference(solved, sequential) / size;
  tf.dispose([sequential, solved]);
  return { error, traces };
}

describe('at tolerance 0 an iteration gives what sequential solving gives', () => {
  // `npm run nightly` sets TARFLOW_NIGHTLY.
  const cases = process.env.TARFLOW_NIGHTLY ? 24 : 8;
  test.each(Array.from({ length: cases }, (_, seed) => seed))(
    'a random model, segments, start, guidance and batch, seed %i (property)',
    async (seed) => {
      const { flow, solver, guidance, batch } = randomCase(seed);
      const tokens = tokenCount(flow.config);
      expectNoTensorsLeft();
      const z = randomLatents(flow, batch, seed);
      // Op by op: to record a graph for each of these shapes would take minutes.
      const { error, traces } = await against(flow, z, solver, guidance);
      z.dispose();
      const told = JSON.stringify({ config: flow.config, solver, guidance, batch });
      expect(error, told).toBeLessThan(1e-5);
      for (const trace of traces) {
        expect(Math.max(...trace.sampleIterations)).toBeLessThanOrEqual(tokens - 1);
        expect(trace.evaluations).toBe(trace.iterations.length);
        expect(trace.evaluatedTokens).toBe(workOf(trace.iterations));
        expect(trace.iterations.at(-1)?.final).toBe(tokens);
        expect([...trace.fallbacks, ...trace.unconverged]).toEqual([]);
      }
    },
  );

  test.each([
    [1, 1e-6],
    [3, 1e-4],
  ])(
    'as graphs, in a batch whose samples end at different times: %i segments',
    async (segments, tolerance) => {
      const flow = smallFlow({ classes: 2 });
      expectNoTensorsLeft();
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
    },
  );

  test.each([
    [
      'tf4_uncond_p1_c32',
      { weight: 0.6, temperature: 0.5, annealed: true },
      { kind: 'gaussSeidelJacobi', segments: 5, tolerance: 0, start: 'zeros' },
    ],
    ['tf5_cond_p2_c48', { weight: 1, annealed: true }, { kind: 'jacobi', tolerance: 0 }],
  ] as const)('a trained model, guided: %s', async (name, guidance, solver) => {
    const { flow, noise } = await goldenModel(name);
    const z = tf.slice(noise, [0, 0, 0], [2, -1, -1]);
    const { error } = await against(flow, z, solver, guidance);
    expect(error).toBeLessThan(1e-4);
  });
});

test.each(['none', ...Object.keys(guidances)])(
  'token by token with a cache it is what the reference gives, guidance %s',
  async (name) => {
    const flow = smallFlow({ classes: 2 });
    const z = randomLatents(flow, 3, 12);
    const classes = classMixture(flow.config, [0, 1, 1], 3);
    for (const block of blocksOf(flow)) {
      const { block: own, conditions } = withGuidance(block, 3, { classes }, guidances[name]);
      const expected = referenceInverse(own, z, conditions);
      const { tokens } = await solveBlock(own, z, { kind: 'sequential' }, { conditions });
      expect(difference(tokens, expected)).toBeLessThan(1e-5);
    }
  },
);

describe('the work of an iteration', () => {
  test.each(['eager', 'graph'] as const)(
    'the front moves on, and what is in the cache is not evaluated again: %s',
    async (mode) => {
      const { flow, noise, labels } = await goldenModel('tf5_cond_p2_c48');
      const one = tf.slice(noise, [0, 0, 0], [1, -1, -1]);
      const traces: BlockTrace[] = [];
      await inverse(flow, one, {
        label: labels?.slice(0, 1),
        solver: { kind: 'gaussSeidelJacobi', segments: 3, tolerance: 1e-4 },
        mode,
        onTrace: (trace) => traces.push(trace),
      });
      expect(traces.map(({ block }) => block)).toEqual([2, 1, 0]);
      const tokens = tokenCount(flow.config);
      const grain = mode === 'eager' ? 1 : Math.ceil(tokens / 8);
      const ends = segmentEnds(tokens, 3, 1);
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
        expect(evaluatedTokens).toBe(workOf(iterations));
        expect(cacheBytes).toBeGreaterThan(0);
        expect(milliseconds).toBeGreaterThan(0);
      }
    },
  );

  test.each(['eager', 'graph'] as const)(
    'the work is that of all samples evaluated, some of which may be done: %s',
    async (mode) => {
      const flow = smallFlow();
      const z = unequalLatents(flow);
      const traces: BlockTrace[] = [];
      const solver = { kind: 'jacobi', tolerance: 1e-4 } as const;
      await inverse(flow, z, { solver, mode, onTrace: (t) => traces.push(t) });
      const iterations = traces.flatMap((trace) => trace.iterations);
      for (const trace of traces) expect(trace.evaluatedTokens).toBe(workOf(trace.iterations));
      const waiting = iterations.some(
        ({ samples, evaluatedSamples }) => samples < evaluatedSamples,
      );
      expect(waiting, 'a sample that is done waits for another').toBe(mode === 'graph');
      expect(iterations.some(({ evaluatedSamples }) => evaluatedSamples < 4)).toBe(true);
    },
  );

  test('a solved sample leaves the batch, and its result is that of the sample alone', async () => {
    const flow = smallFlow();
    const z = unequalLatents(flow);
    const solver = { kind: 'gaussSeidelJacobi', segments: 2, tolerance: 0.02 } as const;
    const how = { solver, mode: 'eager' } as const;
    const traces: BlockTrace[] = [];
    const together = await inverse(flow, z, { ...how, onTrace: (t) => traces.push(t) });
    const shrunk = traces.some(({ iterations }) => iterations.some(({ samples }) => samples < 4));
    expect(shrunk, 'a sample left early').toBe(true);
    for (let sample = 0; sample < 4; sample++) {
      const one = tf.slice(z, [sample, 0, 0], [1, -1, -1]);
      const own: BlockTrace[] = [];
      const alone = await inverse(flow, one, { ...how, onTrace: (t) => own.push(t) });
      const row = tf.slice(together, [sample, 0, 0, 0], [1, -1, -1, -1]);
      expect(difference(alone, row)).toBeLessThan(1e-4);
      expect(own.map(({ sampleIterations }) => sampleIterations[0])).toEqual(
        traces.map(({ sampleIterations }) => sampleIterations[sample]),
      );
    }
  });

  test('the result is within reach of the tolerance, and fewer iterations do for a larger one', async () => {
    const { flow, noise } = await goldenModel('tf4_uncond_p1_c32');
    const totals: number[] = [];
    for (const tolerance of [1e-1, 1e-3, 1e-5]) {
      const solver = { kind: 'jacobi', tolerance } as const;
      const { error, traces } = await against(flow, noise, solver);
      expect(error).toBeLessThan(10 * tolerance);
      totals.push(traces.reduce((sum, { evaluations }) => sum + evaluations, 0));
    }
    expect(totals[0]).toBeLessThan(totals[1]!);
    expect(totals[1]).toBeLessThan(totals[2]!);
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
  });
});

/** Four latents; a sample of small noise needs fewer iterations. */
function unequalLatents(flow: TarFlow): tf.Tensor3D {
  return tf.tidy(() => {
    const scales = tf.tensor3d([0.01, 1, 1.2, 1.5], [4, 1, 1]);
    return tf.mul(randomLatents(flow, 4, 11), scales) as tf.Tensor3D;
  });
}

/** Tokens evaluated in some iterations, over all samples. */
function workOf(iterations: readonly IterationTrace[]): number {
  return iterations.reduce(
    (sum, { evaluatedSamples, evaluated }) => sum + evaluatedSamples * evaluated,
    0,
  );
}

test.each(['jacobi', 'publishedGaussSeidelJacobi'] as const)(
  'what is called with an iterate may throw, and nothing is left: %s',
  async (kind) => {
    const flow = smallFlow({ blocks: 1 });
    const z = randomLatents(flow, 2, 5);
    const block = blocksOf(flow)[0]!;
    const before = tf.memory().numTensors;
    for (const at of [0, 1, 3]) {
      let calls = 0;
      const onIterate = () => {
        if (calls++ === at) throw new Error('enough');
      };
      const settings = { maximum: 9, tolerance: 0 };
      const solver: Solver =
        kind === 'jacobi' ? { kind, ...settings } : { kind, segments: 1, ...settings };
      await expect(solveBlock(block, z, solver, { onIterate })).rejects.toThrow('enough');
      expect(tf.memory().numTensors).toBe(before);
    }
  },
);

test('segments cover every token, whatever their number', () => {
  expect(segmentEnds(16, 4, 1)).toEqual([5, 9, 13, 16]);
  expect(segmentEnds(5, 5, 1)).toEqual([2, 3, 4, 5]);
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 300 }), fc.nat(), (tokens, number) => {
      const segments = 1 + (number % tokens);
      const ends = segmentEnds(tokens, segments, 1);
      expect(ends.at(-1)).toBe(tokens);
      expect(ends.length).toBe(Math.min(segments, tokens - 1));
      const lengths = ends.map((end, i) => end - (ends[i - 1] ?? 1));
      expect(Math.min(...lengths)).toBeGreaterThan(0);
      expect(Math.max(...lengths)).toBeLessThanOrEqual(Math.ceil(tokens / segments));
    }),
  );
});

describe('numbers that are not finite', () => {
  /** Conditions of a model that reads none: 1 for the sample that overflows. */
  const marking = (place: number, batch: number): { conditions: Conditions } => ({
    conditions: {
      classes: tf.tensor2d(
        Array.from({ length: batch }, (_, sample) => (sample === place ? 1 : 0)),
        [batch, 1],
      ),
    },
  });

  /** A block whose prediction overflows for the marked sample where it is given several tokens at once. */
  function overflowing(block: AutoregressiveBlock): AutoregressiveBlock {
    const predict: AutoregressiveBlock['predict'] = (tokens, options) => {
      const result = block.predict(tokens, options);
      const { mean } = result.next;
      const [rows, count, width] = mean.shape;
      const place = options?.conditions?.classes?.dataSync().indexOf(1) ?? -1;
      if (place < 0 || count < 4) return result;
      const spike = new Float32Array(mean.size);
      spike[((place + 1) * count - 1) * width] = Number.POSITIVE_INFINITY;
      const spiked = tf.add<tf.Tensor3D>(mean, tf.tensor3d(spike, [rows, count, width]));
      return { ...result, next: { ...result.next, mean: spiked } };
    };
    return Object.create(block, {
      predict: { value: predict },
      description: { value: ['overflowing', block.description] },
      withParameters: {
        value: (parameters: Leaves) => overflowing(block.withParameters(parameters)),
      },
    }) as AutoregressiveBlock;
  }

  test('an iterate that overflows is solved token by token, and told', async () => {
    const flow = smallFlow({ blocks: 1 });
    const block = blocksOf(flow)[0]!;
    const z = randomLatents(flow, 3, 5);
    expectNoTensorsLeft();
    const solver = { kind: 'gaussSeidelJacobi', segments: 2, tolerance: 0 } as const;
    const exact = referenceInverse(block, z);
    const marked = marking(1, 3);
    const solved = await solveBlock(overflowing(block), z, solver, marked);
    expect(solved.trace.fallbacks).toEqual([
      { segment: 0, sample: 1 },
      { segment: 1, sample: 1 },
    ]);
    expect(difference(solved.tokens, exact)).toBeLessThan(1e-4);
    tf.dispose([exact, solved.tokens, marked.conditions]);
  });

  test('it is so in the precision that was asked for', async () => {
    const flow = smallFlow({ blocks: 1 });
    const block = blocksOf(flow)[0]!;
    const z = randomLatents(flow, 2, 5);
    const before = tf.memory().numTensors;
    const solver = { kind: 'jacobi', tolerance: 0 } as const;
    const solve = async (precision: Precision, broken: boolean) => {
      const execution = { mode: 'eager', loop: 'eager', precision } as const;
      const context = { execution, ...(broken && marking(0, 2)) };
      const { tokens, trace } = broken
        ? await solveBlock(overflowing(block), z, solver, context)
        : await solveBlock(block, z, { kind: 'sequential' }, context);
      tf.dispose(context.conditions ?? {});
      expect(trace.fallbacks).toHaveLength(broken ? 1 : 0);
      return tokens;
    };
    const [fallen, rounded, exact] = [
      await solve('bfloat16', true),
      await solve('bfloat16', false),
      await solve('float32', false),
    ];
    // The first sample fell back before anything was solved; the other iterated.
    const first = (tokens: tf.Tensor3D) => tf.slice(tokens, [0, 0, 0], [1, -1, -1]);
    const [same, other] = tf.tidy(() => [
      difference(first(fallen), first(rounded)),
      difference(first(rounded), first(exact)),
    ]) as [number, number];
    expect(other).toBeGreaterThan(1e-4);
    expect(same).toBeLessThan(other / 10);
    tf.dispose([fallen, rounded, exact]);
    expect(tf.memory().numTensors).toBe(before);
  });

  test.each([
    ['graph', 1],
    ['graph', 2],
    ['xla', 2],
  ] as const)('it is so in mode %s, in %d segments', async (mode, segments) => {
    // Samples are large, and an iterate of some overflows on the way.
    const flow = smallFlow({ blocks: 1 }, 4, 3);
    const block = blocksOf(flow)[0]!;
    const z = randomLatents(flow, 5, 8);
    expectNoTensorsLeft();
    const execution = { mode, loop: mode, precision: 'float32' } as const;
    const exact = await solveBlock(block, z, { kind: 'sequential' }, { execution });
    const solver = { kind: 'gaussSeidelJacobi', segments, tolerance: 0 } as const;
    const solved = await solveBlock(block, z, solver, { execution });
    expect(solved.trace.fallbacks.length).toBeGreaterThan(0);
    const scale = tf.tidy(() => tf.max(tf.abs(exact.tokens)).dataSync()[0] as number);
    expect(Number.isFinite(scale)).toBe(true);
    expect(difference(solved.tokens, exact.tokens) / scale).toBeLessThan(1e-3);
    tf.dispose([exact.tokens, solved.tokens]);
  });

  test('the published form tells of results that are not finite', async () => {
    const flow = smallFlow({ blocks: 1 });
    const z = randomLatents(flow, 3, 5);
    const block = blocksOf(flow)[0]!;
    const solver: Solver = {
      kind: 'publishedGaussSeidelJacobi',
      segments: 2,
      maximum: 16,
      tolerance: 0,
    };
    const solved = await solveBlock(overflowing(block), z, solver, marking(1, 3));
    expect(solved.trace.unconverged).toEqual([
      { segment: 0, sample: 1 },
      { segment: 1, sample: 1 },
    ]);
    expect((await solveBlock(block, z, solver)).trace.unconverged).toEqual([]);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('noise with %s is named', async (value) => {
    const flow = smallFlow();
    const z = tf.tidy(() => {
      const noise = randomLatents(flow, 2, 1);
      const spoilt = noise.dataSync().slice() as Float32Array;
      spoilt[20] = value;
      return tf.tensor3d(spoilt, noise.shape);
    });
    expectNoTensorsLeft();
    await expect(inverse(flow, z)).rejects.toThrow('sample 1 is not finite');
    const block = blocksOf(flow)[0]!;
    const alone = solveBlock(block, z, { kind: 'sequential' });
    await expect(alone).rejects.toThrow(
      'The output of block 0 is not finite in sample 1. Where the noise is finite, the weights',
    );
    const short = tf.slice(z, [0, 1, 0]);
    const misfit = solveBlock(block, short, { kind: 'sequential' });
    await expect(misfit).rejects.toThrow('Latents of shape (2, 15, 1) came');
    short.dispose();
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
    const rerun = await against(flow, z, publishedSolvers(flow, lists));
    expect(rerun.error).toBeLessThan(1e-4);
    const own = publishedSolvers(flow, lists).map(
      (solver): Solver =>
        solver.kind === 'sequential'
          ? solver
          : { kind: 'gaussSeidelJacobi', segments: 8, start: 'zeros', tolerance: 0 },
    );
    expect((await against(flow, z, own)).error).toBeLessThan(1e-4);
  });

  test.each([2, 5, 16])(
    'selective Jacobi without a tolerance solves every one of %i tokens, from zeros',
    async (tokens) => {
      const flow = smallFlow({ image: { channels: 1, height: 1, width: tokens } });
      const z = randomLatents(flow, 2, 6);
      const solver = selectiveJacobi(flow, { tolerance: 0, published: true });
      const { error, traces } = await against(flow, z, solver);
      expect(error).toBeLessThan(1e-5);
      const { iterations, sampleIterations, unconverged } = traces.at(-1)!;
      // The first token takes an iteration, too.
      expect(iterations.map(({ final }) => final)).toEqual(
        Array.from({ length: tokens }, (_, i) => i + 1),
      );
      expect(sampleIterations).toEqual([tokens, tokens]);
      expect(unconverged).toEqual([]);
    },
  );

  test.each([
    [{ start: 'allZeros' }, 15],
    [{ start: 'zeros' }, 16],
    [{ start: 'latent' }, 16],
    // The first token of a start beyond the clamp becomes another one.
    [{ start: 'latent', clamp: 0.01 }, 15],
    [{ start: 'latent', clamp: 100 }, 16],
  ] as const)('what T − 1 iterations settle, %j', async (settings, final) => {
    const flow = smallFlow({ blocks: 1 });
    const z = randomLatents(flow, 2, 6);
    const { traces } = await against(flow, z, {
      kind: 'publishedGaussSeidelJacobi',
      segments: 1,
      maximum: 15,
      tolerance: 0,
      ...settings,
    });
    expect(traces[0]!.iterations.at(-1)!.final).toBe(final);
    expect(traces[0]!.unconverged).toHaveLength(final === 16 ? 0 : 2);
  });
});
