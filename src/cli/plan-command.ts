import { existsSync } from 'node:fs';
import type { ExecutionOptions } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { blocksOf } from '../flow/model.js';
import type { LoadedModel } from '../models/load-checkpoint.js';
import type { Candidate } from '../sampling/planner/choice.js';
import {
  checkPlanPath,
  type Plan,
  type PlanUse,
  planDifferences,
  plannedSolvers,
  planOptionWords,
  planPath,
  readPlan,
  writePlan,
} from '../sampling/planner/plan-file.js';
import { checkTolerance, latentsToPlan, planSampling } from '../sampling/planner/plan-sampling.js';
import { sampleNoise } from '../sampling/sample.js';
import { type Solver, solverText } from '../sampling/solvers/solvers.js';
import { namedSolvers, strategyNames } from '../sampling/solvers/strategies.js';
import { tableText } from '../show/table.js';
import {
  checkpointArgument,
  checkWritable,
  count,
  modeOption,
  number,
  precisionOption,
  shellWords,
  wholeNumber,
} from './arguments.js';
import { defineCommand, type Outcome, withModel, withProgress } from './command.js';
import {
  addConditionOptions,
  addGuidanceOptions,
  type ConditionOptions,
  conditionsInTurn,
  type GuidanceOptions,
  guidanceOf,
} from './condition-options.js';
import { imagesForMetrics, metricDataOption } from './data-options.js';

interface PlanOptions extends GuidanceOptions, ConditionOptions, ExecutionOptions {
  data?: string;
  tolerance: number;
  batch: number;
  repeats: number;
  seed: number;
  output?: string;
}

/** `tarflow plan`: the fastest way to sample from a checkpoint, by measurement. */
export const plan = defineCommand({
  name: 'plan',
  description: 'measure how to sample from a checkpoint fastest, and write it down',
  options: (command) =>
    addGuidanceOptions(
      addConditionOptions(
        command
          .addArgument(checkpointArgument())
          .addOption(metricDataOption('else more is measured instead'))
          .option(
            '--tolerance <share>',
            'largest error, as a share of the data range',
            number,
            1e-3,
          )
          .option(
            '--batch <n>',
            'how many images are to be sampled together, one number',
            count,
            1,
          ),
      ),
    )
      .addOption(modeOption())
      .addOption(precisionOption())
      .option('--repeats <n>', 'how often finalists are timed; the least time counts', count, 3)
      .option('--seed <n>', 'of the noise to measure on', wholeNumber, 0)
      .option('--output <file>', 'where the plan goes (default: beside the checkpoint)'),
  help: `\
Every block is solved in several ways; the plan names the fastest one for each that stays within the
tolerance, sequential where that is fastest, and is checked on 16 further images or more. It is for
this machine, batch, label or captions, and guidance: give those that you will sample with. 'tarflow
sample --plan auto' follows it.

Examples:
  $ tarflow plan model.safetensors --data fashion-mnist --tolerance 1e-3
  $ tarflow plan text.safetensors --text "red heart" --text "crying cat" --guidance 2
  $ tarflow plan model.safetensors --batch 8 --label 3 --guidance 1.5 --output eight.plan.json
  $ tarflow sample model.safetensors --count 1 --plan auto --out image.png`,
  run,
});

async function run(checkpoint: string, options: PlanOptions): Promise<Outcome> {
  const { tolerance, batch, repeats, seed, mode, precision } = options;
  const { output = planPath(checkpoint) } = options;
  checkTolerance(tolerance);
  checkPlanPath(output);
  await checkWritable(output);
  return withModel(checkpoint, async ({ model: flow, engine, own }) => {
    const latents = latentsToPlan(batch);
    const conditions = await conditionsInTurn(flow, checkpoint, options, latents);
    own(conditions.text);
    const guidance = guidanceOf(flow, conditions, options);
    const { data, images } = await imagesForMetrics(flow, options.data);
    own(images);
    const noise = own(sampleNoise(flow, seed, 0, latents));
    const blocks: Candidate[][] = [];
    const all = blocksOf(flow).length;
    const work = (onProgress: (share: number) => void) =>
      planSampling(flow, noise, {
        ...conditions,
        mode,
        precision,
        guidance,
        batch,
        tolerance,
        repeats,
        images,
        onBlock: (block, candidates) => {
          blocks[block] = [...candidates];
          onProgress(Object.keys(blocks).length / all);
        },
      });
    const plan = await withProgress('Planning', all, work, 'blocks');
    await writePlan(output, plan);
    return {
      json: { checkpoint, output, data, plan, candidates: blocks, seed, engine },
      text: planText(plan, blocks, output),
    };
  });
}

/** The candidates of all blocks, in the order of sampling, and what came of it. */
function planText(
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
    const make = shellWords(['tarflow', 'plan', checkpoint, ...options]);
    throw choice === 'auto'
      ? new UserError(`${checkpoint} has no plan beside it (${file})`, `Make one: ${make}`)
      : new UserError(
          `There is no plan '${file}'`,
          `Expected auto, a file that tarflow plan wrote, or one of ${strategyNames().join(', ')}`,
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
