import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { currentEngine, startEngine } from '../../src/backend/engine.js';
import { UserError } from '../../src/backend/errors.js';
import { tf } from '../../src/backend/tf.js';
import { disposeFlow } from '../../src/flow/tarflow.js';
import { inverse } from '../../src/sampling/inverse.js';
import {
  type Candidate,
  fastestWithin,
  modelFingerprint,
  namedSolvers,
  type Plan,
  planDifferences,
  plannedSolvers,
  planPath,
  planSampling,
  readPlan,
  solverText,
  strategyNames,
  writePlan,
} from '../../src/sampling/plan.js';
import {
  difference,
  randomImages,
  randomLatents,
  smallFlow,
  smallFlowConfig,
} from '../flow/small-flow.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-plan-'));

beforeAll(async () => {
  await startEngine();
});

afterAll(() => fs.rmSync(folder, { recursive: true }));

const plan: Plan = {
  format: 'tarflow-plan',
  model: 'none',
  tolerance: 1e-3,
  batch: 1,
  engine: 'cpu',
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
    expect(fastestWithin(candidates, budget)).toEqual(solver);
  });

  test('of those that are as fast but for noise the most exact one is taken', () => {
    const close: Candidate[] = [
      { ...candidates[0]!, milliseconds: 10.2 },
      { ...candidates[1]!, milliseconds: 10, error: 1e-4 },
      { ...candidates[2]!, milliseconds: 10.1, error: 1e-5 },
    ];
    expect(fastestWithin(close, 1e-3)).toEqual({ kind: 'sequential' });
    expect(fastestWithin(close.slice(1), 1e-3)).toEqual(close[2]!.solver);
    expect(fastestWithin(close.slice(1), 1e-6)).toEqual({ kind: 'sequential' });
  });

  test('none that fits is sequential', () => {
    expect(fastestWithin(candidates.slice(1, 2), 1e-3)).toEqual({ kind: 'sequential' });
  });
});

test('a plan keeps the tolerance, is never slower than sequential, and leaves no tensors', async () => {
  const flow = smallFlow({ classes: 2 });
  const noise = randomLatents(flow, 4, 1);
  const images = randomImages(flow, 4, 2);
  const before = tf.memory().numTensors;
  const tried: Record<number, string[]> = {};
  const found = await planSampling(flow, noise, [0, 1], {
    guidance: { weight: 0.5, annealed: true },
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
  expect(found.batch).toBe(2);
  expect(found.planned.error).toBeLessThanOrEqual(1e-2);
  expect(found.planned.milliseconds).toBeLessThanOrEqual(found.sequential.milliseconds);

  const z = randomLatents(flow, 2, 5);
  const guidance = { weight: 0.5, annealed: true };
  const planned = await inverse(flow, z, [0, 1], { guidance, solver: plannedSolvers(flow, found) });
  const exact = await inverse(flow, z, [0, 1], { guidance });
  expect(difference(planned, exact)).toBeLessThan(0.1);
  tf.dispose([z, planned, exact]);
  expect(tf.memory().numTensors).toBe(before);
  tf.dispose([noise, images]);
  disposeFlow(flow);
});

test('without images both starts are candidates, and every candidate is measured', async () => {
  const flow = smallFlow();
  const noise = randomLatents(flow, 2, 1);
  const starts = new Set<unknown>();
  await planSampling(flow, noise, undefined, {
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
  noise.dispose();
  disposeFlow(flow);
});

test('where no solver is exact enough the plan is sequential', async () => {
  const flow = smallFlow({ patchSize: 2 });
  const noise = randomLatents(flow, 2, 1);
  // Below rounding: only the sequential solver, which is what it is compared with, keeps this.
  const found = await planSampling(flow, noise, undefined, {
    tolerance: 1e-30,
    repeats: 1,
  });
  expect(found.solvers).toEqual([{ kind: 'sequential' }, { kind: 'sequential' }]);
  expect(found.planned).toEqual(found.sequential);
  noise.dispose();
  disposeFlow(flow);
});

describe('what a plan was measured for', () => {
  const use = { batch: 1, guidance: { weight: 1, on: 'b', blocks: [0] } } as const;
  const engine = () => ({ ...plan, engine: currentEngine().engine });

  test('the same use has no differences, however its defaults are written', () => {
    const same = { ...use, mode: 'eager' } as const;
    expect(planDifferences(smallFlowConfig, engine(), same)).toEqual([]);
    const spelled = { ...use.guidance, temperature: 1, annealed: false };
    expect(planDifferences(smallFlowConfig, engine(), { ...same, guidance: spelled })).toEqual([]);
    const unguided = { ...engine(), guidance: null };
    expect(
      planDifferences(smallFlowConfig, unguided, { ...same, guidance: { weight: 0 } }),
    ).toEqual([]);
  });

  test.each([
    [{ batch: 8 }, /for batch 1, not 8/],
    [{ guidance: undefined }, /guidance 1 on b blocks 0, not no guidance/],
    [{ guidance: { ...use.guidance, weight: 2, annealed: true } }, /not guidance 2 on b annealed/],
    [{ guidance: { ...use.guidance, temperature: 0.5 } }, /not guidance 1 on b temperature 0.5/],
    [{ mode: 'graph' as const }, /eager, float32, not on .*graph, float32/],
  ])('%j is told', (change, message) => {
    const { guidance, ...rest } = { ...use, mode: 'eager' as const, ...change };
    const found = planDifferences(smallFlowConfig, engine(), {
      ...rest,
      ...(guidance && { guidance }),
    });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(message);
  });
});

describe('published strategies by name', () => {
  const config = { ...smallFlowConfig, blocks: 8 };

  test('each gives the solvers of its lists, the block inverted first last', () => {
    const solvers = namedSolvers(config, 'AFHQ');
    expect(solvers).toHaveLength(8);
    expect(solvers[7]).toMatchObject({ segments: 8, maximum: 32, clamp: 3 });
    expect(solvers[0]).toMatchObject({ segments: 1, maximum: 10 });
    expect(namedSolvers(config, 'SeJD').map(({ kind }) => kind)).toEqual([
      ...new Array<string>(7).fill('publishedGaussSeidelJacobi'),
      'sequential',
    ]);
    for (const name of strategyNames) expect(namedSolvers(config, name)).toHaveLength(8);
  });

  test('one that does not fit, and an unknown one, are named', () => {
    const two = { ...config, blocks: 2 };
    expect(() => namedSolvers(two, 'AFHQ')).toThrow(/AFHQ does not fit.*8 entries|has 8 entries/);
    expect(() => namedSolvers(config, 'newton')).toThrow(/'newton'.*Img128cond/);
    expect(() => namedSolvers(config, 'toString')).toThrow(/'toString'/);
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
    expect(() => plannedSolvers(other, own)).toThrow('made for model');
    disposeFlow(flow);
    disposeFlow(other);
  });

  test.each([
    ['no JSON', '{', 'is not JSON'],
    ['another JSON', '{"format": "x"}', 'not a sampling plan (format'],
    [
      'a solver that is unknown',
      JSON.stringify({ ...plan, solvers: [{ kind: 'newton' }] }),
      'solvers: 0',
    ],
  ])('%s', async (_, text, message) => {
    const file = path.join(folder, 'bad.plan.json');
    fs.writeFileSync(file, text);
    await expect(readPlan(file)).rejects.toThrow(message);
  });

  test.each([
    [{ kind: 'gaussSeidelJacobi', segments: 17 }, 'segments is 17'],
    [{ kind: 'jacobi', tolerance: -1 }, 'tolerance is -1'],
    [{ kind: 'jacobi', maximum: 0 }, 'iterations is 0'],
  ] as const)('settings that no solver takes: %j', (solver, message) => {
    const flow = smallFlow();
    const own = { ...plan, model: modelFingerprint(flow), solvers: [solver, solver] };
    expect(() => plannedSolvers(flow, own)).toThrow(message);
    disposeFlow(flow);
  });

  test('noise that is not finite, in either half, and a model that diverges', async () => {
    const flow = smallFlow({ classes: 2 });
    const before = tf.memory().numTensors;
    for (const place of [0, 16 + 3]) {
      const values = new Float32Array(2 * 16).fill(0.5);
      values[place] = Number.NaN;
      const noise = tf.tensor3d(values, [2, 16, 1]);
      await expect(planSampling(flow, noise)).rejects.toThrow('latent of sample 0 is not finite');
      noise.dispose();
    }
    const noise = randomLatents(flow, 2, 1);
    const diverging = { guidance: { weight: 1e9 } };
    await expect(planSampling(flow, noise, 1, diverging)).rejects.toThrow('diverges');
    noise.dispose();
    expect(tf.memory().numTensors).toBe(before);
    disposeFlow(flow);
  });

  test('a missing file, a tolerance that is not above 0, and an odd number of latents', async () => {
    await expect(readPlan(path.join(folder, 'none.plan.json'))).rejects.toThrow(UserError);
    const flow = smallFlow();
    const [even, odd] = [randomLatents(flow, 2, 1), randomLatents(flow, 3, 1)];
    const before = tf.memory().numTensors;
    for (const tolerance of [0, -1e-3, Number.NaN]) {
      await expect(planSampling(flow, even, undefined, { tolerance })).rejects.toThrow(
        `tolerance is ${tolerance}`,
      );
    }
    await expect(planSampling(flow, odd)).rejects.toThrow('3 latents');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(planSampling(flow, even, undefined, { signal })).rejects.toThrow('enough');
    expect(tf.memory().numTensors).toBe(before);
    tf.dispose([even, odd]);
    disposeFlow(flow);
  });
});
