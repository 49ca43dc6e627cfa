import { existsSync } from 'node:fs';
import { UserError } from '../backend/errors.js';
import { randomKey } from '../backend/random.js';
import type { tf } from '../backend/tf.js';
import { epochOrder, imagesTensor, loadDataset } from '../data/index.js';
import type { Label } from '../flow/labels.js';
import { checkImageSize } from '../flow/tarflow.js';
import type { ExecutionOptions } from '../sampling/execution.js';
import type { Guidance } from '../sampling/guidance.js';
import {
  namedSolvers,
  planDifferences,
  plannedSolvers,
  planPath,
  readPlan,
  strategyNames,
} from '../sampling/plan.js';
import type { Solver } from '../sampling/solver.js';
import type { LoadedFlow } from '../training/checkpoint.js';
import { shellWords } from './arguments.js';

/** Enough for CRM and IGM, which are means. */
const metricImages = 64;

/**
 * The solvers that `--plan` asks for; where a plan was measured for another use, that is told on
 * stderr.
 *
 * @param choice `auto` for the plan beside the checkpoint, a plan's file, or the name of a
 *   published strategy
 * @throws UserError where there is no such plan, or it does not fit the model
 */
export async function chosenSolvers(
  flow: LoadedFlow,
  checkpoint: string,
  choice: string,
  use: { batch: number; label?: Label; guidance?: Guidance } & ExecutionOptions,
): Promise<Solver[]> {
  if (strategyNames.includes(choice)) return namedSolvers(flow.config, choice);
  const file = choice === 'auto' ? planPath(checkpoint) : choice;
  if (!existsSync(file)) {
    const make = shellWords(['tarflow', 'plan', checkpoint, '--tolerance', '1e-3']);
    throw choice === 'auto'
      ? new UserError(`${checkpoint} has no plan beside it (${file})`, `Make one: ${make}`)
      : new UserError(
          `There is no plan '${file}'`,
          `Expected auto, a file that tarflow plan wrote, or one of ${strategyNames.join(', ')}`,
        );
  }
  const plan = await readPlan(file);
  try {
    const solvers = plannedSolvers(flow, plan);
    const differences = planDifferences(flow.config, plan, use);
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

/**
 * A small set of a data set's training images for CRM and IGM, which the caller frees.
 * @throws UserError for an unknown data set, and one of another size than the model's
 */
export async function imagesForMetrics(flow: LoadedFlow, name: string): Promise<tf.Tensor4D> {
  const data = await loadDataset(name, 'train');
  checkImageSize(flow.config, data.image, name);
  return imagesTensor(data, epochOrder(data, randomKey(0), 0).subarray(0, metricImages));
}
