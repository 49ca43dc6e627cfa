import * as os from 'node:os';
import * as path from 'node:path';
import {
  checkWritable,
  flagOf,
  modeOption,
  number,
  precisionOption,
  shellWords,
  wholeNumber,
  wholeNumbers,
} from '../../src/cli/arguments.js';
import { defineCommand, type Outcome, stopwatch, withModel } from '../../src/cli/command.js';
import {
  addConditionOptions,
  addGuidanceOptions,
  type ConditionOptions,
  conditionsInTurn,
  type GuidanceOptions,
  guidanceOf,
} from '../../src/cli/condition-options.js';
import { imagesForMetrics, metricDataOption } from '../../src/cli/data-options.js';
import type { ExecutionOptions } from '../../src/core/engine.js';
import { UserError } from '../../src/core/errors.js';
import { tf } from '../../src/core/tf.js';
import { checkTolerance } from '../../src/sampling/planner/plan-sampling.js';
import { startProgress } from '../../src/show/progress.js';
import { titleOfCheckpoint } from '../../src/training/checkpoint.js';
import { planText, showAcceleration } from '../acceleration/acceleration-table.js';
import { measureAcceleration } from '../acceleration/measure.js';
import { type Acceleration, writeRecord } from '../records/record.js';

interface AccelerateOptions extends GuidanceOptions, ConditionOptions, ExecutionOptions {
  data?: string;
  batch: number[];
  tolerance: number;
  /** One for all batches, or one per batch. */
  repeats: number[];
  seed: number;
  out?: string;
  json: boolean;
}

/** `tarflow accelerate`: the acceleration table of a checkpoint. */
export const accelerate = defineCommand({
  name: 'accelerate',
  description: 'compare ways to sample from a checkpoint: time, iterations, error',
  options: (command) =>
    addGuidanceOptions(
      addConditionOptions(
        command
          .argument('<checkpoint>', 'a safetensors file, of ours or published')
          .addOption(metricDataOption('else its samples'))
          .option('--batch <list>', 'images sampled together, e.g. 1,8', wholeNumbers, [1]),
      ),
    )
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
        '--out <file>',
        'the table as JSON (default: scratch/acceleration/<checkpoint, or the folder of its run>.json)',
      ),
  help: `\
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
      --out table.json --json`,
  run,
});

async function run(checkpoint: string, options: AccelerateOptions): Promise<Outcome> {
  const { tolerance, seed } = options;
  const title = titleOfCheckpoint(checkpoint);
  const out = options.out ?? path.join('scratch', 'acceleration', `${title}.json`);
  checkTolerance(tolerance);
  const rounds = roundsOf(options);
  await checkWritable(out);
  return withModel(checkpoint, async ({ model: flow, engine, own }) => {
    const most = Math.max(...rounds.map(({ samples }) => samples));
    const conditions = await conditionsInTurn(flow, checkpoint, options, most);
    own(conditions.text);
    const guidance = guidanceOf(flow, conditions, options);
    const { data, images } = await imagesForMetrics(flow, options.data);
    own(images);
    const tables: Acceleration[] = [];
    const elapsed = stopwatch();
    const progress = startProgress({ title: 'Comparing', total: 100 * rounds.length, unit: '%' });
    try {
      for (const [index, { batch, repeats, samples }] of rounds.entries()) {
        const labels = conditions.label?.slice(0, samples);
        const use = {
          batch,
          repeats,
          label: new Set(labels).size === 1 ? labels?.[0] : labels,
          text: own(conditions.text && tf.slice(conditions.text, 0, samples)),
          guidance,
          images,
          tolerance,
          seed,
          mode: options.mode,
          precision: options.precision,
        };
        const onProgress = (share: number, now: string) =>
          progress.update(Math.round(100 * (index + share)), { batch, now });
        tables.push(await measureAcceleration(flow, { ...use, onProgress }));
      }
    } finally {
      progress.finish();
    }
    const outcome = {
      checkpoint: path.basename(checkpoint),
      configuration: flow.config,
      data: data ?? null,
      captions: options.text.length > 0 ? options.text : undefined,
      seed,
      tables,
      cost: { seconds: elapsed(), cores: os.availableParallelism() },
      versions: { engine: `${engine.engine} (${engine.version})`, node: process.version },
      command: commandOf(checkpoint, { ...options, data }),
      date: new Date().toISOString(),
    };
    await writeRecord<'acceleration'>(out, outcome);
    if (!options.json) {
      for (const table of tables) {
        showAcceleration(table, `${title} (${flow.family.title(flow.config)})`, data);
        console.log(`planned, in the order of sampling: ${planText(table.plan)}\n`);
      }
    }
    return { json: { out, ...outcome }, text: out };
  });
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
    const times = repeats[i] ?? repeats[0] ?? 1;
    return { batch, repeats: times, samples: batch * times };
  });
}

/** The options that make a table, in the order in which its command has them; the file's place is left out. */
const telling = [
  ...['batch', 'tolerance', 'repeats', 'seed', 'mode', 'precision', 'data', 'label', 'text'],
  ...['textEncoder', 'guidance', 'rule', 'temperature', 'annealed', 'on', 'blocks'],
] as (keyof AccelerateOptions)[];

/** What to type to get the same table. */
function commandOf(checkpoint: string, options: AccelerateOptions): string {
  const words = telling.flatMap((name) => {
    const value = options[name];
    const flag = flagOf(name);
    if (value === undefined || value === false || (name === 'guidance' && value === 0)) return [];
    if (name === 'text') return options.text.flatMap((caption) => [flag, caption]);
    return value === true ? [flag] : [flag, String(value)];
  });
  return shellWords(['tarflow', 'accelerate', checkpoint, ...words]);
}
