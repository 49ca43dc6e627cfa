import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEngine } from '../../src/backend/engine.js';
import { UserError } from '../../src/backend/errors.js';
import { tf } from '../../src/backend/tf.js';
import { disposeFlow } from '../../src/flow/tarflow.js';
import { inverse } from '../../src/sampling/inverse.js';
import {
  type Candidate,
  fastestWithin,
  modelFingerprint,
  type Plan,
  plannedSolvers,
  planPath,
  planSampling,
  readPlan,
  writePlan,
} from '../../src/sampling/plan.js';
import { difference, randomImages, randomLatents, smallFlow } from '../flow/small-flow.js';

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
  guidance: { weight: 1, on: 'b', blocks: [0] },
  solvers: [{ kind: 'sequential' }, { kind: 'gaussSeidelJacobi', segments: 4, start: 'zeros' }],
  sequential: { milliseconds: 2, error: 0 },
  planned: { milliseconds: 1, error: 1e-4 },
};

describe('the choice among candidates', () => {
  const candidates: Candidate[] = [
    { solver: { kind: 'sequential' }, milliseconds: 10, error: 0 },
    { solver: { kind: 'jacobi', tolerance: 1e-2 }, milliseconds: 2, error: 3e-2 },
    { solver: { kind: 'jacobi', tolerance: 1e-4 }, milliseconds: 4, error: 2e-4 },
    { solver: { kind: 'gaussSeidelJacobi', segments: 2 }, milliseconds: 12, error: 1e-5 },
    {
      solver: { kind: 'jacobi', start: 'zeros' },
      milliseconds: 1,
      error: Number.POSITIVE_INFINITY,
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

  test('a missing file, a tolerance of 0, and an odd number of latents', async () => {
    await expect(readPlan(path.join(folder, 'none.plan.json'))).rejects.toThrow(UserError);
    const flow = smallFlow();
    const [even, odd] = [randomLatents(flow, 2, 1), randomLatents(flow, 3, 1)];
    const before = tf.memory().numTensors;
    await expect(planSampling(flow, even, undefined, { tolerance: 0 })).rejects.toThrow(
      'tolerance',
    );
    await expect(planSampling(flow, odd)).rejects.toThrow('3 latents');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(planSampling(flow, even, undefined, { signal })).rejects.toThrow('enough');
    expect(tf.memory().numTensors).toBe(before);
    tf.dispose([even, odd]);
    disposeFlow(flow);
  });
});
