import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Label } from '../../src/conditions/labels.js';
import { UserError } from '../../src/core/errors.js';
import { tf } from '../../src/core/tf.js';
import type { TarFlow } from '../../src/models/tarflow/index.js';
import type { Guidance } from '../../src/sampling/guidance.js';
import { inverse } from '../../src/sampling/inverse.js';
import { type Candidate, fastestWithin, loosened } from '../../src/sampling/planner/choice.js';
import { currentMachine } from '../../src/sampling/planner/machine.js';
import {
  modelFingerprint,
  type Plan,
  planDifferences,
  plannedSolvers,
  planPath,
  readPlan,
  writePlan,
} from '../../src/sampling/planner/plan-file.js';
import {
  dataRange,
  latentsToPlan,
  planSampling,
} from '../../src/sampling/planner/plan-sampling.js';
import { type Solver, solverText } from '../../src/sampling/solvers/solvers.js';
import { namedSolvers, strategyNames } from '../../src/sampling/solvers/strategies.js';
import { difference, randomImages, randomLatents, smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { sharedFolder } from '../temporary-folder.js';

const folder = sharedFolder();

const plan: Plan = {
  format: 'tarflow-plan',
  model: 'none',
  tolerance: 1e-3,
  batch: 1,
  label: [0, 1],
  engine: 'cpu',
  version: 'TensorFlow.js 4.22.0',
  device: 'a processor',
  threads: 2,
  mode: 'eager',
  loop: 'eager',
  precision: 'float32',
  guidance: { weight: 1, on: 'b', blocks: [0] },
  solvers: [{ kind: 'sequential' }, { kind: 'gaussSeidelJacobi', segments: 4, start: 'zeros' }],
  sequential: { milliseconds: 2, error: 0 },
  planned: { milliseconds: 1, error: 1e-4 },
};

describe('the choice among candidates', () => {
  const candidates: Candidate[] = [
    { solver: { kind: 'sequential' }, milliseconds: 10, error: 0, iterations: 0 },
    { solver: { kind: 'jacobi', tolerance: 1e-2 }, milliseconds: 2, error: 3e-2, iterations: 0 },
    { solver: { kind: 'jacobi', tolerance: 1e-4 }, milliseconds: 4, error: 2e-4, iterations: 0 },
    {
      solver: { kind: 'gaussSeidelJacobi', segments: 2 },
      milliseconds: 12,
      error: 1e-5,
      iterations: 0,
    },
    {
      solver: { kind: 'jacobi', start: 'zeros' },
      milliseconds: 1,
      error: Number.POSITIVE_INFINITY,
      iterations: 3,
    },
  ];

  test.each([
    [1e-1, candidates[1]!.solver],
    [1e-3, candidates[2]!.solver],
    // Slower than sequential is not chosen, however exact.
    [1e-4, candidates[0]!.solver],
    [0, candidates[0]!.solver],
  ])('within %s', (budget, solver) => {
    expect(fastestWithin(candidates, budget).solver).toEqual(solver);
  });

  test('of those that are as fast but for noise the most exact one is taken', () => {
    const close: Candidate[] = [
      { ...candidates[0]!, milliseconds: 10.2 },
      { ...candidates[1]!, milliseconds: 10, error: 1e-4 },
      { ...candidates[2]!, milliseconds: 10.1, error: 1e-5 },
    ];
    expect(fastestWithin(close, 1e-3)).toBe(close[0]);
    expect(fastestWithin(close.slice(1), 1e-3)).toBe(close[2]);
  });
});

describe('solvers within a bound', () => {
  const candidate = (milliseconds: number, error: number): Candidate => ({
    solver: { kind: 'jacobi', tolerance: error },
    milliseconds,
    error,
    iterations: 1,
  });
  const blocks = [
    [candidate(10, 1e-6), candidate(8, 1e-5), candidate(5, 1e-4), candidate(1, 1e-2)],
    [candidate(20, 1e-6), candidate(19.9, 1e-5), candidate(10, 1e-4)],
    [candidate(30, 1e-6), candidate(29, 1e-5)],
  ];
  const start = blocks.map(([first]) => first!);
  /** The errors of later blocks grow: block 1's counts ten times. */
  const errorOf = async (solvers: readonly Solver[]) =>
    solvers.reduce(
      (sum, solver, block) =>
        sum + (block === 1 ? 10 : 1) * ('tolerance' in solver ? (solver.tolerance ?? 0) : 0),
      0,
    );

  test.each([
    // Block 1 could gain most, and errs too much; what gains next to nothing is not touched.
    [5e-4, [1e-4, 1e-6, 1e-6]],
    [2e-3, [1e-4, 1e-4, 1e-6]],
    [1e-1, [1e-2, 1e-4, 1e-6]],
    [1e-7, [1e-6, 1e-6, 1e-6]],
  ])('%s get faster where the whole stays within it', async (bound, tolerances) => {
    const before = await errorOf(start.map(({ solver }) => solver));
    const { solvers, error } = await loosened(blocks, start, before, errorOf, bound);
    expect(solvers.map((solver) => 'tolerance' in solver && solver.tolerance)).toEqual(tolerances);
    expect(error).toBe(await errorOf(solvers));
  });
});

/**
 * The largest difference of a plan's images from sequential ones, as a share of the range, in whole
 * batches of the plan.
 */
async function errorOf(
  flow: TarFlow,
  found: Plan,
  z: tf.Tensor3D,
  labels?: readonly number[],
  guidance?: Guidance,
): Promise<number> {
  const { batch, precision } = found;
  // Another mode of loops is that of no option but the default.
  const mode = found.mode === found.loop ? found.mode : undefined;
  const solver = plannedSolvers(flow, found);
  let largest = 0;
  for (let first = 0; first < z.shape[0]; first += batch) {
    const part = tf.slice(z, [first, 0, 0], [batch, -1, -1]);
    const label = labels?.slice(first, first + batch);
    const options = { ...(guidance && { guidance }), label, mode, precision } as const;
    const planned = await inverse(flow, part, { ...options, solver });
    const exact = await inverse(flow, part, options);
    largest = Math.max(largest, difference(planned, exact) / dataRange);
    tf.dispose([part, planned, exact]);
  }
  return largest;
}

test('a plan keeps the tolerance, is never slower than sequential, and leaves no tensors', async () => {
  const flow = smallFlow({ classes: 2 });
  const noise = randomLatents(flow, latentsToPlan(2), 1);
  const images = randomImages(flow, 4, 2);
  expectNoTensorsLeft();
  const tried: Record<number, string[]> = {};
  const guidance = { weight: 0.5, annealed: true };
  const found = await planSampling(flow, noise, {
    label: [0, 1],
    batch: 2,
    guidance,
    images,
    tolerance: 1e-2,
    repeats: 1,
    mode: 'eager',
    onBlock: (block, candidates) => {
      tried[block] = candidates.map(({ solver }) => solver.kind);
    },
  });
  expect(Object.keys(tried)).toEqual(['0', '1']);
  for (const kinds of Object.values(tried)) {
    expect(kinds.slice(0, 2)).toEqual(['sequential', 'jacobi']);
  }
  expect(found).toMatchObject({ batch: 2, label: [0, 1], ...currentMachine() });
  expect(found.planned.error).toBeLessThanOrEqual(1e-2);
  expect(found.planned.milliseconds).toBeLessThanOrEqual(found.sequential.milliseconds);

  const other = randomLatents(flow, 32, 5);
  const labels = Array.from({ length: 32 }, (_, i) => i % 2);
  expect(await errorOf(flow, found, other, labels, guidance)).toBeLessThanOrEqual(1e-2);
  other.dispose();
});

describe('the noise of a plan', () => {
  test('is enough for 16 images to check on, in whole batches', () => {
    expect([1, 2, 7, 16, 32].map(latentsToPlan)).toEqual([17, 18, 28, 32, 64]);
  });

  test.each(['eager', 'graph'] as const)(
    'is checked in all its batches, and the largest error counts: %s',
    async (mode) => {
      const flow = smallFlow();
      // Of the small ones an iteration or two leave next to nothing.
      const easy = tf.tidy(() => tf.mul(randomLatents(flow, 2, 3), 1e-4) as tf.Tensor3D);
      const [some, other] = [randomLatents(flow, 15, 4), randomLatents(flow, 32, 5)];
      const all = tf.concat([easy, some], 0) as tf.Tensor3D;
      expectNoTensorsLeft();
      const tolerance = 1e-2;
      const options = { batch: 1, tolerance, repeats: 1, mode };
      const found = await planSampling(flow, all, { ...options });
      expect(found.batch).toBe(1);
      expect(found.planned.error).toBeCloseTo(await errorOf(flow, found, some), 4);
      expect(found.planned.error).toBeLessThanOrEqual(tolerance / 2);
      expect(await errorOf(flow, found, other)).toBeLessThanOrEqual(tolerance);
    },
  );

  test('has a label for all, for each sample of a batch, or for each latent', async () => {
    const flow = smallFlow({ classes: 3, blocks: 1, patchSize: 2 });
    const noise = randomLatents(flow, 4, 1);
    const labelOf = async (label?: Label) =>
      (await planSampling(flow, noise, { label, repeats: 1, mode: 'eager' })).label;
    expect(await labelOf()).toBe(null);
    expect(await labelOf(2)).toEqual([2]);
    expect(await labelOf([2, 0])).toEqual([0, 2]);
    expect(await labelOf(Int32Array.of(1, 1, 0, 2))).toEqual([0, 1, 2]);
    await expect(labelOf([0, 1, 2])).rejects.toThrow(/3 labels.*of a batch, 2,.*latent, 4/);
  });
});

test('without images both starts are candidates, and every candidate is measured', async () => {
  const flow = smallFlow();
  const noise = randomLatents(flow, 2, 1);
  const starts = new Set<unknown>();
  await planSampling(flow, noise, {
    repeats: 1,
    mode: 'eager',
    onBlock: (_, candidates) => {
      for (const { solver, milliseconds, error, iterations } of candidates) {
        expect(milliseconds).toBeLessThan(Number.POSITIVE_INFINITY);
        expect(error).toBeLessThan(0.1);
        expect(iterations > 0).toBe(solver.kind !== 'sequential');
        if (solver.kind === 'jacobi') starts.add(solver.start);
      }
    },
  });
  expect([...starts].sort()).toEqual(['latent', 'zeros']);
});

test('where no solver is exact enough the plan is sequential', async () => {
  const flow = smallFlow({ patchSize: 2 });
  const noise = randomLatents(flow, 2, 1);
  const errors = new Map<number, number[]>();
  // Below rounding: the sequential solver keeps this, since it is what others are compared with. So may
  // one that ends, by chance, at the very same numbers.
  const found = await planSampling(flow, noise, {
    ...{ tolerance: 1e-30, repeats: 1 },
    onBlock: (block, candidates) => {
      const others = candidates.filter(({ solver }) => solver.kind !== 'sequential');
      errors.set(block, [...(errors.get(block) ?? []), ...others.map(({ error }) => error)]);
    },
  });
  expect(errors.size).toBe(2);
  expect([...errors.values()].flat().some((error) => error > 0)).toBe(true);
  for (const [block, solver] of found.solvers.entries()) {
    const exact = errors.get(block)?.some((error) => error === 0);
    if (!exact) expect(solver).toEqual({ kind: 'sequential' });
  }
  const isSequential = found.solvers.every(({ kind }) => kind === 'sequential');
  if (isSequential) expect(found.planned).toEqual(found.sequential);
  expect(found.planned.error).toBe(0);
});

test('a plan with the solver of an older version is refused with a remedy', async () => {
  const file = path.join(folder, 'window.plan.json');
  const solver = { kind: 'slidingWindow', window: 8, tolerance: 1e-3, start: 'zeros' };
  fs.writeFileSync(file, JSON.stringify({ ...plan, solvers: [solver, solver] }));
  await expect(readPlan(file)).rejects.toThrow(
    /solvers.0.kind is "slidingWindow".*Make the plan anew: tarflow plan CHECKPOINT/,
  );
});

describe('what a plan was measured for', () => {
  let flow: TarFlow;
  beforeAll(() => {
    flow = smallFlow();
  });
  const use = { batch: 1, label: 0, guidance: { weight: 1, on: 'b', blocks: [0] } } as const;
  const here = () => ({ ...plan, ...currentMachine() });

  test('the same use has no differences, however its defaults are written', () => {
    const same = { ...use, mode: 'eager' } as const;
    expect(planDifferences(flow, here(), same)).toEqual([]);
    // A plan for some labels is one for each of them.
    expect(planDifferences(flow, here(), { ...same, label: [1, 0, 1] })).toEqual([]);
    const spelled = { ...use.guidance, temperature: 1, annealed: false };
    expect(planDifferences(flow, here(), { ...same, guidance: spelled })).toEqual([]);
    const unguided = { ...here(), guidance: null };
    expect(planDifferences(flow, unguided, { ...same, guidance: { weight: 0 } })).toEqual([]);
    const linear = { ...use.guidance, rule: 'linear' as const };
    expect(planDifferences(flow, here(), { ...same, guidance: linear })).toEqual([]);
  });

  test.each([
    [{ batch: 8 }, /for batch 1, not batch 8/],
    [{ guidance: undefined }, /guidance 1 on b blocks 0, not no guidance/],
    [{ guidance: { ...use.guidance, weight: 2, annealed: true } }, /not guidance 2 on b annealed/],
    [{ guidance: { ...use.guidance, temperature: 0.5 } }, /not guidance 1 on b temperature 0.5/],
    [{ mode: 'graph' as const }, /eager, float32, not .*graph, float32/],
    [{ precision: 'bfloat16' as const }, /eager, float32, not .*eager, bfloat16/],
    [{ label: [0, 2] }, /^for labels 0, 1, not labels 0, 2$/],
    [{ label: undefined }, /^for labels 0, 1, not no label$/],
    [{ captions: ['a red heart'] }, /^with no captions, not captions$/],
  ])('%j is told', (change, message) => {
    const { guidance, label, ...rest } = { ...use, mode: 'eager' as const, ...change };
    const found = planDifferences(flow, here(), {
      ...rest,
      ...(guidance && { guidance }),
      ...(label !== undefined && { label }),
    });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(message);
  });

  test('another rule of guidance is told', () => {
    const guided = { ...here(), guidance: { weight: 1 } };
    const guidance = { rule: 'product', weight: 1 } as const;
    expect(planDifferences(flow, guided, { ...use, mode: 'eager', guidance })).toEqual([
      'with guidance 1, not guidance 1 rule product',
    ]);
  });

  test('another device and another number of threads are told', () => {
    const { device, threads } = currentMachine();
    for (const change of [{ device: 'Pentium' }, { threads: 99 }, { label: null }]) {
      const found = planDifferences(flow, { ...here(), ...change }, { ...use, mode: 'eager' });
      expect(found).toEqual([
        'label' in change
          ? 'for no label, not label 0'
          : `on ${change.device ?? device} with ${change.threads ?? threads} threads, ` +
            `not ${device} with ${threads} threads`,
      ]);
    }
  });
});

describe('published strategies by name', () => {
  let flow: TarFlow;
  beforeAll(() => {
    flow = smallFlow({ blocks: 8 });
  });

  test('each gives the solvers of its lists, the block inverted first last', () => {
    const solvers = namedSolvers(flow, 'AFHQ');
    expect(solvers).toHaveLength(8);
    expect(solvers[7]).toMatchObject({ segments: 8, maximum: 32, clamp: 3 });
    expect(solvers[0]).toMatchObject({ segments: 1, maximum: 10 });
    expect(namedSolvers(flow, 'SeJD').map(({ kind }) => kind)).toEqual([
      ...new Array<string>(7).fill('publishedGaussSeidelJacobi'),
      'sequential',
    ]);
    for (const name of strategyNames()) expect(namedSolvers(flow, name)).toHaveLength(8);
  });

  test('one that does not fit, and an unknown one, are named', () => {
    const two = smallFlow({ blocks: 2 });
    expect(() => namedSolvers(two, 'AFHQ')).toThrow(/AFHQ does not fit.*8 entries|has 8 entries/);
    expect(() => namedSolvers(flow, 'newton')).toThrow(/'newton'.*Img128cond/);
    expect(() => namedSolvers(flow, 'toString')).toThrow(/'toString'/);
  });
});

test('a solver in words', () => {
  expect(solverText({ kind: 'sequential' })).toBe('sequential');
  expect(solverText({ kind: 'gaussSeidelJacobi', segments: 4, start: 'zeros' })).toBe(
    'Jacobi, 4 segments, from zeros, to 0.00001',
  );
  const published = { kind: 'publishedGaussSeidelJacobi', segments: 1, maximum: 9 } as const;
  expect(solverText({ ...published, tolerance: 0.5, clamp: 3 })).toBe(
    'published form, from latent, to 0.5, at most 9, clamped at 3',
  );
});

test('a plan is written and read as it was', async () => {
  const file = planPath(path.join(folder, 'model.safetensors'));
  expect(path.basename(file)).toBe('model.plan.json');
  await writePlan(file, plan);
  expect(await readPlan(file)).toEqual(plan);
});

describe('bad input to plans', () => {
  test('a plan for another model, though of the same shape, is named', () => {
    const [flow, other] = [smallFlow({}, 1), smallFlow({}, 2)];
    expect(modelFingerprint(flow)).not.toBe(modelFingerprint(other));
    const own = { ...plan, model: modelFingerprint(flow) };
    expect(plannedSolvers(flow, own)).toEqual(plan.solvers);
    expect(() => plannedSolvers(other, own)).toThrow(
      /made for model.*Make one for this model: tarflow plan CHECKPOINT --batch 1 --tolerance 0.001 --label 0,1 --guidance 1 --on b --blocks 0 --mode eager --out FILE/,
    );
    const byProduct = { ...own, guidance: { rule: 'product' as const, weight: 1 } };
    expect(() => plannedSolvers(other, byProduct)).toThrow(
      /--guidance 1 --rule product --mode eager --out FILE/,
    );
  });

  const solvers = (solver: object) => ({ solvers: [solver] });
  test.each<[string, string | object, string]>([
    ['no JSON', '{', 'is not JSON'],
    ['another JSON', '{"format": "x"}', 'does not fit: format is "x"'],
    ['null', 'null', 'does not fit'],
    ['a solver that is unknown', solvers({ kind: 'newton' }), 'solvers.0'],
    ['a setting of no solver', solvers({ kind: 'jacobi', clamp: 3 }), 'solvers.0.*clamp'],
    ['half a segment', solvers({ kind: 'gaussSeidelJacobi', segments: 2.5 }), 'segments'],
    ['a change below 0', solvers({ kind: 'jacobi', tolerance: -1 }), 'solvers.0.tolerance'],
    ['an unknown key', { tolerence: 1 }, 'tolerence'],
    ['no tolerance', { tolerance: 0 }, 'tolerance'],
    ['half an image', { batch: 0.5 }, 'batch'],
    ['a weight below 0', { guidance: { weight: -1 } }, 'guidance.weight'],
    ['an unknown key of guidance', { guidance: { weight: 1, scale: 2 } }, 'guidance.scale'],
    ['an impossible label', { label: [-2] }, 'label.0'],
    ['no threads', { threads: 0 }, 'threads'],
    ['a negative time', { planned: { milliseconds: -1, error: 0 } }, 'planned.milliseconds'],
  ])('%s', async (_, change, message) => {
    const file = path.join(folder, 'bad.plan.json');
    const text = typeof change === 'string' ? change : JSON.stringify({ ...plan, ...change });
    fs.writeFileSync(file, text);
    await expect(readPlan(file)).rejects.toThrow(new RegExp(message.replace('(', '\\(')));
    const isPlan = text.includes('"tarflow-plan"') && text.endsWith('}');
    const anew = `tarflow plan CHECKPOINT --out ${file}`;
    // Of an unknown key the known ones are told.
    const remedy = /tolerence|scale/.test(message) ? 'nown are' : anew;
    await expect(readPlan(file)).rejects.toThrow(isPlan ? remedy : 'that tarflow plan wrote');
  });

  test.each(['label', 'version', 'device', 'threads'])('a plan of old, without %s', async (key) => {
    const file = path.join(folder, 'old.plan.json');
    fs.writeFileSync(file, JSON.stringify({ ...plan, [key]: undefined }));
    await expect(readPlan(file)).rejects.toThrow(
      new RegExp(`${key} is missing.*anew: tarflow plan CHECKPOINT`),
    );
  });

  test('a plan of another number of solvers than the model has blocks', () => {
    const flow = smallFlow({ blocks: 3 });
    const own = { ...plan, model: modelFingerprint(flow) };
    expect(() => plannedSolvers(flow, own)).toThrow(
      /has 2 solvers, and the model 3 blocks.*tarflow plan CHECKPOINT/,
    );
  });

  test.each([[{ kind: 'gaussSeidelJacobi', segments: 17 }, 'segments is 17']] as const)(
    'settings that no solver takes: %j',
    (solver, message) => {
      const flow = smallFlow();
      const own = { ...plan, model: modelFingerprint(flow), solvers: [solver, solver] };
      expect(() => plannedSolvers(flow, own)).toThrow(message);
      expect(() => plannedSolvers(flow, own)).toThrow(
        '. Make the plan anew: tarflow plan CHECKPOINT',
      );
    },
  );

  test('noise that is not finite, in either half, and a model that diverges', async () => {
    const flow = smallFlow({ classes: 2 });
    expectNoTensorsLeft();
    for (const place of [0, 16 + 3]) {
      const values = new Float32Array(2 * 16).fill(0.5);
      values[place] = Number.NaN;
      const noise = tf.tensor3d(values, [2, 16, 1]);
      await expect(planSampling(flow, noise)).rejects.toThrow('latent of sample 0 is not finite');
      noise.dispose();
    }
    const noise = randomLatents(flow, 2, 1);
    const diverging = { guidance: { weight: 1e9 } };
    await expect(planSampling(flow, noise, { label: 1, ...diverging })).rejects.toThrow('diverges');
    noise.dispose();
  });

  test('a missing file, a tolerance that is not above 0, and an odd number of latents', async () => {
    await expect(readPlan(path.join(folder, 'none.plan.json'))).rejects.toThrow(UserError);
    const flow = smallFlow();
    const [even, odd] = [randomLatents(flow, 2, 1), randomLatents(flow, 3, 1)];
    expectNoTensorsLeft();
    for (const tolerance of [0, -1e-3, Number.NaN]) {
      await expect(planSampling(flow, even, { tolerance })).rejects.toThrow(
        `tolerance is ${tolerance}`,
      );
    }
    await expect(planSampling(flow, odd)).rejects.toThrow('3 latents');
    for (const batch of [0, -1, 0.5, 2, 4]) {
      const refused = planSampling(flow, odd, { batch });
      await expect(refused).rejects.toThrow(`3 latents came to plan with, batch ${batch}`);
    }
    const never = planSampling(flow, even, { repeats: 0 });
    await expect(never).rejects.toThrow('repeats is 0');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(planSampling(flow, even, { signal })).rejects.toThrow('enough');
  });
});
