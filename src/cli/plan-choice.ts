import { existsSync } from 'node:fs';
import { Option } from 'commander';
import { UserError } from '../core/errors.js';
import { randomKey } from '../core/random.js';
import type { tf } from '../core/tf.js';
import {
  type DataSource,
  datasetForms,
  datasetNames,
  epochOrder,
  imagesTensor,
  openDataset,
} from '../data/index.js';
import { checkImageSize } from '../flow/flow.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import {
  type PlanUse,
  planDifferences,
  plannedSolvers,
  planOptionWords,
  planPath,
  readPlan,
} from '../sampling/planner/plan-file.js';
import { namedSolvers, strategyNames } from '../sampling/solvers/published-strategies.js';
import type { Solver } from '../sampling/solvers/solver.js';
import { shellWords } from './arguments.js';
import { checkLatentsOf } from './latent-options.js';

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
  flow: LoadedModel,
  checkpoint: string,
  choice: string,
  use: PlanUse,
): Promise<Solver[]> {
  if (strategyNames.includes(choice)) return namedSolvers(flow, choice);
  const file = choice === 'auto' ? planPath(checkpoint) : choice;
  if (!existsSync(file)) {
    const options = planOptionWords({ ...use, tolerance: 1e-3 });
    const make = shellWords(['tarflow', 'plan', checkpoint, ...options]);
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

/**
 * The option `--data`, see {@link imagesForMetrics}.
 * @param otherwise what is done where no images are here
 */
export function metricDataOption(otherwise: string): Option {
  return new Option(
    '--data <name>',
    `${[...datasetNames, ...datasetForms].join(' or ')}: images for CRM and IGM (default: what the model was trained ` +
      `on, where that is here, ${otherwise})`,
  );
}

/**
 * A small set of training images for CRM and IGM, which the caller frees: of the data set asked
 * for, or of the one that the model was trained on, where that is here.
 * @throws UserError where the data set asked for is not here or does not fit the model, as latents of
 *   another scale
 */
export async function imagesForMetrics(
  flow: LoadedModel,
  asked: string | undefined,
): Promise<{ data?: string; images?: tf.Tensor4D }> {
  const name = asked ?? flow.details.dataset;
  if (name === undefined) return {};
  let data: DataSource;
  try {
    // All that the first models were trained on: plans keep the images that they were made with.
    data = await openDataset(name, 'train+validation', { image: flow.config.image });
  } catch (error) {
    if (asked !== undefined || !(error instanceof UserError)) throw error;
    return {};
  }
  // What is here has to fit.
  checkLatentsOf(flow, 'this model', `the latents of ${name}`, data.latents);
  try {
    checkImageSize(flow.config, data.image, name);
    const indices = epochOrder(data, randomKey(0), 0).subarray(0, metricImages);
    return { data: name, images: await imagesTensor(data, indices) };
  } catch (error) {
    if (asked !== undefined || !(error instanceof UserError)) throw error;
    return {};
  }
}
