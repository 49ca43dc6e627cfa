import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { disposeModel } from '../../src/flow/state-dict.js';
import type { TarFlow } from '../../src/models/tarflow/index.js';
import { inverse } from '../../src/sampling/inverse.js';
import type { Candidate } from '../../src/sampling/planner/choice.js';
import { plannedSolvers, readPlan, writePlan } from '../../src/sampling/planner/plan-file.js';
import { planSampling } from '../../src/sampling/planner/plan-sampling.js';
import { gaussSeidelJacobi } from '../../src/sampling/solvers/gauss-seidel-jacobi/gauss-seidel-jacobi.js';
import { registerSolver, type Solver, solverText } from '../../src/sampling/solvers/solvers.js';
import { namedSolvers, strategyNames } from '../../src/sampling/solvers/strategies.js';
import { difference, randomLatents, smallFlow } from '../flow/small-flow.js';
import './plain-jacobi.js';
import { sharedFolder } from '../temporary-folder.js';

const folder = sharedFolder();
let flow: TarFlow;

beforeAll(async () => {
  flow = smallFlow({ classes: 2 });
});

afterAll(() => {
  disposeModel(flow);
});

test('a solver that one file registers is tried by the planner, saved in a plan and loaded', async () => {
  const z = randomLatents(flow, 2, 1);
  const tried: Candidate[] = [];
  const plan = await planSampling(flow, z, {
    label: 1,
    mode: 'eager',
    repeats: 1,
    onBlock: (_, candidates) => tried.push(...candidates),
  });
  const own = tried.filter(({ solver }) => solver.kind === 'plainJacobi');
  expect(own).toHaveLength(2);
  for (const { error, milliseconds } of own) {
    expect(error).toBeLessThan(1e-5);
    expect(milliseconds).toBeGreaterThan(0);
  }
  const file = path.join(folder, 'own.plan.json');
  const written = { ...plan, solvers: own.map(({ solver }) => solver) };
  await writePlan(file, written);
  expect(await readPlan(file)).toEqual(written);
  expect(plannedSolvers(flow, await readPlan(file))).toEqual(written.solvers);
  fs.writeFileSync(file, JSON.stringify({ ...plan, solvers: [{ kind: 'plainJacobi' }] }));
  await expect(readPlan(file)).rejects.toThrow(/solvers.0.rounds.*whole number/);
});

test('it is compared by name, guided, and named in tables and errors', async () => {
  const z = randomLatents(flow, 2, 2);
  const how = { label: [0, 1], guidance: { weight: 1 } };
  const solver = namedSolvers(flow, 'all plain');
  expect(strategyNames()).toContain('all plain');
  expect(solver.map(solverText)).toEqual(['plain Jacobi, 15 rounds', 'plain Jacobi, 15 rounds']);
  const [found, exact] = [await inverse(flow, z, { ...how, solver }), await inverse(flow, z, how)];
  expect(difference(found, exact)).toBeLessThan(1e-5);
  const half: Solver = { kind: 'plainJacobi', rounds: 0.5 };
  await expect(inverse(flow, z, { solver: half })).rejects.toThrow(
    "The solver 'plainJacobi' does not fit: rounds is 0.5 (Expected a whole number)",
  );
});

test('a kind that is taken is refused, and a solver of an older version keeps its name in tables', () => {
  expect(() => registerSolver(gaussSeidelJacobi)).toThrow("'gaussSeidelJacobi' already");
  const old = { kind: 'slidingWindow', window: 8 } as unknown as Solver;
  expect(solverText(old)).toBe('slidingWindow');
});
