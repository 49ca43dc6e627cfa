import { existsSync } from 'node:fs';
import { UserError, unknownName } from '../core/errors.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import type { Candidate } from '../sampling/planner/choice.js';
import {
  type Plan,
  type PlanUse,
  planDifferences,
  plannedSolvers,
  planOptionWords,
  planPath,
  readPlan,
} from '../sampling/planner/plan-file.js';
import { type Solver, solverText } from '../sampling/solvers/solvers.js';
import { namedSolvers, strategyNames } from '../sampling/solvers/strategies.js';
import { tableText } from '../show/table.js';
import { shellWords } from './arguments.js';

/** The candidates of all blocks, in the order of sampling, and what came of it. */
export function planText(
  { solvers, planned, sequential }: Plan,
  blocks: readonly Candidate[][],
  output: string,
): string {
  const tables = blocks.map((candidates, block) => {
    const chosen = JSON.stringify(solvers[block]);
    const rows = candidates.map(({ solver, iterations, milliseconds, error }) => ({
      solver: solverText(solver),
      iterations,
      ms: milliseconds,
      error,
      chosen: JSON.stringify(solver) === chosen ? '*' : '',
    }));
    return tableText(rows, { caption: `Block ${block}` });
  });
  const parallel = solvers.filter(({ kind }) => kind !== 'sequential').length;
  const times = sequential.milliseconds / planned.milliseconds;
  const outcome =
    parallel === 0
      ? `Sequential sampling is fastest, ${milliseconds(sequential.milliseconds)}: ${output}`
      : `${parallel} of ${blocks.length} blocks in parallel: ` +
        `${milliseconds(planned.milliseconds)} instead of ` +
        `${milliseconds(sequential.milliseconds)}, ${times.toFixed(2)} times as fast, largest ` +
        `error ${planned.error.toExponential(1)} of the data range: ${output}`;
  return [...tables.reverse(), '', outcome].join('\n');
}

function milliseconds(value: number): string {
  return value < 1000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(2)} s`;
}

/**
 * The solvers that `--plan` asks for; where a plan was measured for another use, that is told on
 * stderr.
 *
 * @param choice `auto` for the plan beside the checkpoint, a plan's file, or the name of a
 *   published strategy
 * @throws UserError where there is no such plan, or it does not fit the model
 */
export async function chosenSolvers(
  flow: LoadedModel,
  checkpoint: string,
  choice: string,
  use: PlanUse,
): Promise<Solver[]> {
  if (strategyNames().includes(choice)) return namedSolvers(flow, choice);
  const file = choice === 'auto' ? planPath(checkpoint) : choice;
  if (!existsSync(file)) {
    const options = planOptionWords({ ...use, tolerance: 1e-3 });
    const make = shellWords(['npx', 'tarflow', 'plan', checkpoint, ...options]);
    throw choice === 'auto'
      ? new UserError(`${checkpoint} has no plan beside it (${file})`, `Make one: ${make}`)
      : unknownName('plan or file of a plan', file, ['auto', ...strategyNames()]);
  }
  const plan = await readPlan(file);
  try {
    const solvers = plannedSolvers(flow, plan);
    const differences = planDifferences(flow, plan, use);
    if (differences.length > 0) {
      console.error(
        `The plan ${file} was measured ${differences.join(' and ')}: it may not be the fastest ` +
          `here, nor keep its tolerance of ${plan.tolerance}.`,
      );
    }
    return solvers;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${file}: ${error.problem}`, error.remedy);
  }
}
