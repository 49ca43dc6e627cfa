import * as os from 'node:os';
import * as path from 'node:path';
import type { Command } from 'commander';
import {
  checkWritable,
  modeOption,
  number,
  precisionOption,
  shellWords,
  wholeNumber,
  wholeNumbers,
} from '../../src/cli/arguments.js';
import {
  addCaptionOptions,
  type CaptionOptions,
  captionsInTurn,
} from '../../src/cli/caption-options.js';
import {
  addGuidanceOptions,
  type GuidanceOptions,
  guidanceOf,
} from '../../src/cli/guidance-options.js';
import { labelsInTurn } from '../../src/cli/label-options.js';
import { imagesForMetrics, metricDataOption } from '../../src/cli/plan-choice.js';
import { startEngine } from '../../src/core/engine.js';
import { UserError } from '../../src/core/errors.js';
import { writeAtomically } from '../../src/core/files.js';
import { tf } from '../../src/core/tf.js';
import { disposeModel } from '../../src/flow/flow.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import type { ExecutionOptions } from '../../src/sampling/guidance/execution.js';
import { askedExecution } from '../../src/sampling/guidance/execution.js';
import { checkTolerance } from '../../src/sampling/planner/plan-sampling.js';
import { startProgress } from '../../src/show/progress.js';
import { titleOfCheckpoint } from '../../src/training/saved-state.js';
import { type Acceleration, measureAcceleration } from '../acceleration/acceleration.js';
import { planText, showAcceleration } from '../acceleration-table.js';
import { resultFile } from '../results-folder.js';

interface AccelerateOptions extends GuidanceOptions, CaptionOptions, ExecutionOptions {
  data?: string;
  batch: number[];
  label?: string;
  tolerance: number;
  /** One for all batches, or one per batch. */
  repeats: number[];
  seed: number;
  output?: string;
  json: boolean;
}

/** `tarflow accelerate`: the acceleration table of a checkpoint. */
export function addAccelerate(program: Command): void {
  const command = program
    .command('accelerate')
    .description('compare ways to sample from a checkpoint: time, iterations, error')
    .argument('<checkpoint>', 'a safetensors file, of ours or published')
    .addOption(metricDataOption('else its samples'))
    .option('--batch <list>', 'images sampled together, e.g. 1,8', wholeNumbers, [1])
    .option(
      '--label <label>',
      'class number or name; several with commas take turns over all samples, e.g. 0,1,2 (default: none)',
    );
  addGuidanceOptions(addCaptionOptions(command))
    .option('--tolerance <share>', 'largest error, as a share of the data range', number, 1e-3)
    .addOption(modeOption())
    .addOption(precisionOption())
    .option(
      '--repeats <list>',
      'how often each is timed, one number for all or one per batch, e.g. 64,8; the median counts',
      wholeNumbers,
      [3],
    )
    .option('--seed <n>', 'of the noise', wholeNumber, 0)
    .option(
      '--output <file>',
      'the table as JSON (default: results/acceleration/<checkpoint, or the folder of its run>.json)',
    )
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
Sequential, Jacobi, GS-Jacobi and Selective Jacobi Decoding as published, and a plan measured for this
model, batch and machine, on the same noise, taking turns. The error is the largest difference from
sequential samples as a share of the data range; the statistics are those of each pixel, its mean and
standard deviation, beside what another seed changes in them, and shown for 16 images or more, batch times
repeats. Fallbacks are segments of samples solved token by token because an iterate was not finite,
unconverged those left at the most iterations allowed.

Examples:
  $ tarflow accelerate model.safetensors --batch 1,8 --label 3 --guidance 1.5
  $ tarflow accelerate text.safetensors --text "red heart" --guidance 2
  $ tarflow accelerate model.safetensors --data fashion-mnist --tolerance 1e-3 --repeats 5 \\
      --output table.json --json`,
    )
    .action(run);
}

async function run(checkpoint: string, options: AccelerateOptions): Promise<void> {
  const { tolerance, seed } = options;
  const title = titleOfCheckpoint(checkpoint);
  const output = options.output ?? resultFile(path.join('acceleration', `${title}.json`));
  checkTolerance(tolerance);
  const rounds = roundsOf(options);
  await checkWritable(output);
  const engine = await startEngine();
  const flow = await loadCheckpoint(checkpoint);
  let states: tf.Tensor3D | undefined;
  const parts: tf.Tensor3D[] = [];
  try {
    const most = Math.max(...rounds.map(({ samples }) => samples));
    states = await captionsInTurn(flow, checkpoint, options, most);
    const uses = rounds.map(({ batch, repeats, samples }) => {
      const labels = labelsInTurn(flow, checkpoint, options.label, samples);
      const label = new Set(labels).size === 1 ? labels?.[0] : labels;
      const text = states && tf.slice(states, [0, 0, 0], [samples, -1, -1]);
      if (text) parts.push(text);
      const guidance = guidanceOf(flow, (label ?? text) !== undefined, options);
      const told = { ...(label !== undefined && { label }), ...(text && { text }) };
      return { batch, repeats, ...told, ...(guidance && { guidance }) };
    });
    const { data, images } = await imagesForMetrics(flow, options.data);
    const tables: Acceleration[] = [];
    const begun = performance.now();
    const progress = startProgress({ title: 'Comparing', total: 100 * uses.length, unit: '%' });
    try {
      for (const [index, use] of uses.entries()) {
        const table = await measureAcceleration(flow, {
          ...use,
          tolerance,
          seed,
          ...askedExecution(options),
          ...(images && { images }),
          onProgress: (share, now) => {
            progress.update(Math.round(100 * (index + share)), { batch: use.batch, now });
          },
        });
        tables.push(table);
      }
    } finally {
      progress.finish();
      images?.dispose();
    }
    const outcome = {
      checkpoint: path.basename(checkpoint),
      configuration: flow.config,
      data: data ?? null,
      ...(options.text.length > 0 && { captions: options.text }),
      seed,
      tables,
      cost: { seconds: (performance.now() - begun) / 1000, cores: os.availableParallelism() },
      versions: { engine: `${engine.engine} (${engine.version})`, node: process.version },
      command: commandOf(checkpoint, { ...options, ...(data !== undefined && { data }) }),
      date: new Date().toISOString(),
    };
    await writeAtomically(output, `${JSON.stringify(outcome, null, 2)}\n`);
    if (options.json) {
      console.log(JSON.stringify({ output, ...outcome }, null, 2));
      return;
    }
    for (const table of tables) {
      showAcceleration(table, `${title} (${flow.family.title(flow.config)})`, data);
      console.log(`planned, in the order of sampling: ${planText(table.plan)}\n`);
    }
    console.log(output);
  } finally {
    states?.dispose();
    tf.dispose(parts);
    disposeModel(flow);
  }
}

/** How many samples are timed together, how often, and how many that is in all. */
function roundsOf({ batch: batches, repeats }: Pick<AccelerateOptions, 'batch' | 'repeats'>) {
  for (const [option, values] of Object.entries({ batch: batches, repeats })) {
    const wrong = values.find((value) => value < 1);
    if (wrong === undefined) continue;
    throw new UserError(`--${option} names ${wrong}`, 'Expected whole numbers above 0, e.g. 1,8');
  }
  if (repeats.length !== 1 && repeats.length !== batches.length) {
    throw new UserError(
      `--repeats has ${repeats.length} numbers, and --batch ${batches.length}`,
      'Expected one for all, or one per batch',
    );
  }
  return batches.map((batch, i) => {
    const times = repeats[i] ?? (repeats[0] as number);
    return { batch, repeats: times, samples: batch * times };
  });
}

/** What to type to get the same table; the file's place is left to the reader. */
function commandOf(checkpoint: string, options: AccelerateOptions): string {
  const { batch, data, label, text, textEncoder, guidance, rule, temperature } = options;
  const { annealed, on, blocks } = options;
  return shellWords([
    ...['tarflow', 'accelerate', checkpoint, '--batch', batch.join(',')],
    ...['--tolerance', `${options.tolerance}`, '--repeats', options.repeats.join(',')],
    ...['--seed', `${options.seed}`],
    ...(options.mode === undefined ? [] : ['--mode', options.mode]),
    ...(options.precision === undefined ? [] : ['--precision', options.precision]),
    ...(data === undefined ? [] : ['--data', data]),
    ...(label === undefined ? [] : ['--label', label]),
    ...text.flatMap((caption) => ['--text', caption]),
    ...(textEncoder === undefined ? [] : ['--text-encoder', textEncoder]),
    ...(guidance === 0 ? [] : ['--guidance', `${guidance}`]),
    ...(rule === undefined ? [] : ['--rule', rule]),
    ...(temperature === undefined ? [] : ['--temperature', `${temperature}`]),
    ...(annealed ? ['--annealed'] : []),
    ...(on === undefined ? [] : ['--on', on]),
    ...(blocks === undefined ? [] : ['--blocks', blocks.join(',')]),
  ]);
}
