import type { Command } from 'commander';
import { startEngine } from '../core/engine.js';
import type { tf } from '../core/tf.js';
import { blocksOf, disposeModel } from '../flow/flow.js';
import { loadCheckpoint } from '../models/load-checkpoint.js';
import type { ExecutionOptions } from '../sampling/guidance/execution.js';
import { askedExecution } from '../sampling/guidance/execution.js';
import { checkPlanPath, planPath, writePlan } from '../sampling/planner/plan-file.js';
import {
  type Candidate,
  checkTolerance,
  latentsToPlan,
  planSampling,
} from '../sampling/planner/plan-sampling.js';
import { sampleNoise } from '../sampling/sample.js';
import { type Solver, solverText } from '../sampling/solvers/solver.js';
import { startProgress } from '../show/progress.js';
import { showTable } from '../show/table.js';
import {
  checkWritable,
  count,
  modeOption,
  number,
  precisionOption,
  wholeNumber,
} from './arguments.js';
import { addCaptionOptions, type CaptionOptions, captionsInTurn } from './caption-options.js';
import { addGuidanceOptions, type GuidanceOptions, guidanceOf } from './guidance-options.js';
import { labelsInTurn } from './label-options.js';
import { imagesForMetrics, metricDataOption } from './plan-choice.js';

interface PlanCommandOptions extends GuidanceOptions, CaptionOptions, ExecutionOptions {
  data?: string;
  tolerance: number;
  batch: number;
  label?: string;
  repeats: number;
  seed: number;
  output?: string;
  json: boolean;
}

/** `tarflow plan`: the fastest way to sample from a checkpoint, by measurement. */
export function addPlan(program: Command): void {
  const command = program
    .command('plan')
    .description('measure how to sample from a checkpoint fastest, and write it down')
    .argument('<checkpoint>', 'a safetensors file, of ours or published')
    .addOption(metricDataOption('else more is measured instead'))
    .option('--tolerance <share>', 'largest error, as a share of the data range', number, 1e-3)
    .option('--batch <n>', 'how many images are to be sampled together, one number', count, 1)
    .option(
      '--label <label>',
      'class number or name; several with commas take turns, e.g. 0,1,2 (default: none)',
    );
  addGuidanceOptions(addCaptionOptions(command))
    .addOption(modeOption())
    .addOption(precisionOption())
    .option('--repeats <n>', 'how often finalists are timed; the least time counts', count, 3)
    .option('--seed <n>', 'of the noise to measure on', wholeNumber, 0)
    .option('--output <file>', 'where the plan goes (default: beside the checkpoint)')
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
Every block is solved in several ways; the plan names the fastest one for each that stays within the
tolerance, sequential where that is fastest, and is checked on 16 further images or more. It is for
this machine, batch, label or captions, and guidance: give those that you will sample with. 'tarflow
sample --plan auto' follows it.

Examples:
  $ tarflow plan model.safetensors --data fashion-mnist --tolerance 1e-3
  $ tarflow plan text.safetensors --text "red heart" --text "crying cat" --guidance 2
  $ tarflow plan model.safetensors --batch 8 --label 3 --guidance 1.5 --output eight.plan.json
  $ tarflow sample model.safetensors --count 1 --plan auto --out image.png`,
    )
    .action(run);
}

async function run(checkpoint: string, options: PlanCommandOptions): Promise<void> {
  const { tolerance, batch, repeats, seed, output = planPath(checkpoint) } = options;
  checkTolerance(tolerance);
  checkPlanPath(output);
  await checkWritable(output);
  const engine = await startEngine();
  const flow = await loadCheckpoint(checkpoint);
  const blocks: Candidate[][] = [];
  let text: tf.Tensor3D | undefined;
  try {
    const latents = latentsToPlan(batch);
    const label = labelsInTurn(flow, checkpoint, options.label, latents);
    text = await captionsInTurn(flow, checkpoint, options, latents);
    const guidance = guidanceOf(flow, (label ?? text) !== undefined, options);
    const { data, images } = await imagesForMetrics(flow, options.data);
    const noise = sampleNoise(flow, seed, 0, latents);
    const progress = startProgress({
      title: 'Planning',
      total: blocksOf(flow).length,
      unit: 'blocks',
    });
    let done = 0;
    const plan = await planSampling(flow, noise, {
      ...{ label, text },
      batch,
      tolerance,
      repeats,
      ...askedExecution(options),
      ...(guidance && { guidance }),
      ...(images && { images }),
      onBlock: (block, candidates) => {
        blocks[block] = [...candidates];
        progress.update(++done);
      },
    }).finally(() => {
      progress.finish();
      noise.dispose();
      images?.dispose();
    });
    await writePlan(output, plan);
    if (options.json) {
      const outcome = { checkpoint, output, data, plan, candidates: blocks, seed, engine };
      console.log(JSON.stringify(outcome, null, 2));
      return;
    }
    // In the order of sampling.
    for (const [block, candidates] of [...blocks.entries()].reverse()) {
      showTable(candidateRows(candidates, plan.solvers[block] as Solver), {
        caption: `Block ${block}`,
      });
    }
    const { planned, sequential } = plan;
    const parallel = plan.solvers.filter(({ kind }) => kind !== 'sequential').length;
    const times = sequential.milliseconds / planned.milliseconds;
    console.log(
      parallel === 0
        ? `\nSequential sampling is fastest, ${milliseconds(sequential.milliseconds)}: ${output}`
        : `\n${parallel} of ${blocks.length} blocks in parallel: ` +
            `${milliseconds(planned.milliseconds)} instead of ` +
            `${milliseconds(sequential.milliseconds)}, ${times.toFixed(2)} times as fast, largest ` +
            `error ${planned.error.toExponential(1)} of the data range: ${output}`,
    );
  } finally {
    text?.dispose();
    disposeModel(flow);
  }
}

function candidateRows(
  candidates: readonly Candidate[],
  chosen: Solver,
): Record<string, string | number>[] {
  const text = JSON.stringify(chosen);
  return candidates.map(({ solver, iterations, milliseconds, error }) => ({
    solver: solverText(solver),
    iterations,
    ms: milliseconds,
    error,
    chosen: JSON.stringify(solver) === text ? '*' : '',
  }));
}

function milliseconds(value: number): string {
  return value < 1000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(2)} s`;
}
