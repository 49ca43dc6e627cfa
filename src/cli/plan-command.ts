import type { ExecutionOptions } from '../core/engine.js';
import { blocksOf } from '../flow/model.js';
import type { Candidate } from '../sampling/planner/choice.js';
import { checkPlanPath, planPath, writePlan } from '../sampling/planner/plan-file.js';
import { checkTolerance, latentsToPlan, planSampling } from '../sampling/planner/plan-sampling.js';
import { sampleNoise } from '../sampling/sample.js';
import {
  checkpointArgument,
  checkWritable,
  count,
  modeOption,
  number,
  precisionOption,
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
import { planText } from './plans.js';

interface PlanOptions extends GuidanceOptions, ConditionOptions, ExecutionOptions {
  data?: string;
  tolerance: number;
  batch: number;
  repeats: number;
  seed: number;
  out?: string;
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
      .option('--out <file>', 'where the plan goes (default: beside the checkpoint)'),
  help: `\
Every block is solved in several ways; the plan names the fastest one for each that stays within the
tolerance, sequential where that is fastest, and is checked on 16 further images or more. It is for
this machine, batch, label or captions, and guidance: give those that you will sample with. 'tarflow
sample --plan auto' follows it.

Examples:
  $ tarflow plan model.safetensors --data fashion-mnist --tolerance 1e-3
  $ tarflow plan text.safetensors --text "red heart" --text "crying cat" --guidance 2
  $ tarflow plan model.safetensors --batch 8 --label 3 --guidance 1.5 --out eight.plan.json
  $ tarflow sample model.safetensors --count 1 --plan auto --out image.png`,
  run,
});

async function run(checkpoint: string, options: PlanOptions): Promise<Outcome> {
  const { tolerance, batch, repeats, seed, mode, precision } = options;
  const { out = planPath(checkpoint) } = options;
  checkTolerance(tolerance);
  checkPlanPath(out);
  await checkWritable(out);
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
    await writePlan(out, plan);
    return {
      json: { checkpoint, out, data, plan, candidates: blocks, seed, engine },
      text: planText(plan, blocks, out),
    };
  });
}
