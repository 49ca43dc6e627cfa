import * as path from 'node:path';
import type { Mode } from '@tarflow/graph';
import type { Command } from 'commander';
import type { Conditioned } from '../conditions/given.js';
import { openTextEncoder, textEncoderNames } from '../conditions/text/named-encoder.js';
import { type EngineReport, startEngine } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { tf } from '../core/tf.js';
import {
  type DataSource,
  datasetForms,
  datasetNames,
  openDataset,
  withCaptionStates,
} from '../data/index.js';
import { disposeModel } from '../flow/flow.js';
import type { ModelConfig } from '../flow/model.js';
import { readExperiment } from '../models/experiment-file.js';
import { optionTexts, withOverrides } from '../models/overrides.js';
import { readStartingConfig, readStartingPoint } from '../models/read-starting-point.js';
import { familyOf } from '../models/registry.js';
import { untilInterrupted } from '../show/interrupt.js';
import { type Progress, startProgress } from '../show/progress.js';
import { showTable } from '../show/table.js';
import { checkedPlan } from '../training/checks.js';
import { type Experiment, findExperiment, knownExperiments } from '../training/experiment.js';
import type { StepRecord } from '../training/record.js';
import type { NamedData, RunDescription } from '../training/run-description.js';
import { RunFolder } from '../training/run-folder.js';
import { checkSettings } from '../training/settings.js';
import { templateOf } from '../training/template.js';
import { type TrainingResult, type TrainingRun, train } from '../training/train.js';
import { checkWritable, counted, modeOption, shellWords } from './arguments.js';
import { exitCodes, type SetExitCode } from './exit-codes.js';
import { chooseTrainingThreads } from './training-threads.js';

interface TrainOptions {
  experiment?: string;
  out?: string;
  data?: string;
  fastDecode: boolean;
  textEncoder?: string;
  set: string[];
  from?: string;
  resume: boolean;
  replan: boolean;
  list: boolean;
  json: boolean;
  mode?: Mode;
}

/** `tarflow train`: an experiment, into a folder. */
export function addTrain(program: Command, setExitCode: SetExitCode): void {
  program
    .command('train')
    .description('train an experiment into a folder: log, checkpoint, and state to resume from')
    .option(
      '--experiment <name>',
      'what to train, of --list, or a .json file with all of it; not needed to resume',
    )
    .option('--out <folder>', 'where the run goes')
    .option('--data <name>', "other images than the experiment's; see below")
    .option('--fast-decode', 'decode JPEGs of official sets faster and not exactly', false)
    .option(
      '--text-encoder <name>',
      `what reads the captions of data that come without their states: ${textEncoderNames.join(', ')}`,
    )
    .option('--set <key=value...>', "replace the experiment's values", [])
    .option('--from <path>', 'begin with a run, a snapshot or a checkpoint; see below')
    .option('--resume', 'go on with the run in the folder', false)
    .option('--replan', 'resume with another schedule: steps, learning rate, intervals', false)
    .addOption(modeOption())
    .option('--list', 'list the experiments with their values', false)
    .option('--json', 'print JSON', false)
    .addHelpText('after', helpText)
    .action(async (options: TrainOptions) => {
      if (options.list) return list(options.json);
      const finished = await run(options);
      if (!finished) setExitCode(exitCodes.interrupted);
    });
}

const helpText = () => `
Control-C stops after the current step, saves, and says how to resume. A run that was killed goes on
from its last saved step. While a run is open, its folder is locked.

--from begins a new run of the same model with what another one learnt:
  weights   those of the run or snapshot (tarflow snapshot), not their mean; those that a checkpoint
            holds, which are the mean where its run kept one
  mean      where averageDecay is above 0: that of the run or snapshot, or else the weights
  moments   AdamW's begin at zero
  schedule  begins anew, with the warm-up and the steps of the new run
  steps     are counted on: the checkpoint says how many are behind it in all
A STARFlow or an autoencoder may go on with images of another size (--set image.height=… image.width=…).
Latents have to be of the scale and the autoencoder that it was trained on.

--resume goes on as the run's folder records it; no other option is needed. --replan does so with
another schedule: it takes --set for steps, learning rates, intervals and the like.

--data is one of
${wrapped([...datasetNames, ...datasetForms])}
Images of PATH are brought to the model's size, those of official sets as the papers do it. The splits
train and validation are read; the official validation images of a set are its split test. The model has
to have as many classes, or none (--set classes=0).

Without --mode a run that is resumed goes on in its mode; a new one is a captured graph, which XLA
compiles (for some seconds) where the model is small and the run has 2,000 steps or more.
Before a flow's run of 2,000 steps or more on a processor a few steps are timed, once for a model and
processor: with each operation divided among all threads, and with a part of the batch in each thread.
The faster way is kept in the cache folder. While other work keeps more than a fifth of the processor
busy nothing is timed, and operations are divided. TF_NUM_INTRAOP_THREADS=1 chooses the second way, a
higher number the first.

Experiments:
${knownExperiments()
  .map(({ name, description }) => `  ${name}\n      ${description}`)
  .join('\n')}

Examples:
  $ tarflow train --list
  $ tarflow train --experiment fashion-mnist-density --out runs/density
  $ tarflow train --out runs/density --resume
  $ tarflow train --out runs/density --replan --set steps=20000
  $ tarflow train --experiment fashion-mnist-density --out runs/longer \\
      --from results/checkpoints/fashion-mnist-density.safetensors
  $ tarflow train --experiment fashion-mnist-density --out runs/second --from runs/density \\
      --set averageDecay=0.999
  $ tarflow train --experiment emoji-text --data latents:latents --out runs/emoji
  $ tarflow train --experiment my-flow.json --out runs/mine
  $ tarflow train --experiment emoji-text --data emoji-composed-32 --text-encoder minilm --out runs/pixels \\
      --set patchSize=4 image.channels=3 image.height=32 image.width=32 noise=gaussian:0.05
  $ tarflow train --experiment fashion-mnist-conditional --out runs/wide \\
      --set channels=192 noise=gaussian:0.05 seed=2
  $ tarflow train --experiment emoji-1024-tokens --out runs/faces --data afhq:data/afhq \\
      --set classes=3 flip=true`;

/** @returns false where Control-C stopped the run */
async function run({
  out,
  resume,
  replan,
  json,
  mode,
  ...options
}: TrainOptions): Promise<boolean> {
  const goesOn = resume || replan;
  if (out === undefined || (options.experiment === undefined && !goesOn)) {
    throw new UserError(
      `No ${out === undefined ? '--out' : '--experiment'} came`,
      goesOn
        ? 'Example: tarflow train --out runs/density --resume'
        : 'Example: tarflow train --experiment fashion-mnist-density --out runs/density',
    );
  }
  const recorded = goesOn ? await new RunFolder(out).described() : undefined;
  const asked =
    recorded && options.experiment === undefined
      ? recordedExperiment(recorded, out)
      : await namedExperiment(options.experiment as string);
  const experiment = withOverrides(asked, options.set);
  const named = namedDataOf({ out, ...options }, experiment, recorded);
  // A run that the library began may have none.
  const name = options.experiment === undefined ? recorded?.experiment : experiment.name;
  const { config, settings } = experiment;
  const family = familyOf(config.kind);
  const opened = await checkedData(experiment, named, { out, resume: goesOn, from: options.from });
  await chooseTrainingThreads(experiment, mode ?? recorded?.mode, recorded?.threads);
  const engine = await startEngine();
  const [data, validation] = await captioned(opened, config, named.textEncoder);
  const from = options.from === undefined ? undefined : await readStartingPoint(options.from);
  console.error(
    `${experiment.name}: ${family.title(config)} on ${named.data}, ${counted(settings.steps, 'step')} of ` +
      `${counted(settings.batchSize, 'image')}, ${engine.version}`,
  );

  let progress: Progress | undefined;
  const onBegin: TrainingRun['onBegin'] = ({ step, mode: chosen }) => {
    if (chosen === 'xla') console.error('XLA compiles the first step, for up to half a minute.');
    progress = startProgress({ title: 'Training', total: settings.steps, from: step });
  };
  const onStep = (record: StepRecord): void => {
    const { loss, validation: held } = record;
    progress?.update(record.step, {
      loss,
      ...(held && { 'held out': held.bitsPerDimension ?? held.loss }),
      'images/s': Math.round(record.imagesPerSecond),
    });
  };
  const result = await untilInterrupted((signal) =>
    train({
      family,
      config,
      settings,
      data,
      validation,
      folder: out,
      resume: replan ? 'replanned' : resume,
      experiment: name,
      named,
      ...(from && { from }),
      ...(mode && { mode }),
      onBegin,
      onStep,
      signal,
    }),
  ).finally(() => {
    progress?.finish();
    if (from) tf.dispose(from.state);
  });
  disposeModel(result.model);

  const command = shellWords(['tarflow', 'train', '--out', out, '--resume']);
  const { checkpoint } = new RunFolder(out);
  if (json) showJson(result, { experiment: name, checkpoint, engine, command });
  else showOutcome(result, { checkpoint, command, steps: settings.steps, nats: !!family.flow });
  return result.finished;
}

/**
 * Opens the data of a run, and checks before anything is timed or trained what can be told without an
 * engine: `train` checks it again.
 */
async function checkedData(
  experiment: Experiment,
  { data: dataset, fastDecode = false, textEncoder }: NamedData,
  { out, resume, from }: { out: string; resume: boolean; from: string | undefined },
): Promise<[DataSource, DataSource]> {
  const { config, settings } = experiment;
  const family = familyOf(config.kind);
  family.check(config);
  checkSettings(settings);
  if (textEncoder !== undefined && !(config as Conditioned).text) {
    throw new UserError(
      '--text-encoder came for a model that reads no captions',
      'Leave it out, or set text.entries and text.width in a file of the experiment',
    );
  }
  await checkWritable(path.join(out, 'run.json'));
  if (!resume) await new RunFolder(out).present(false);
  if (from === undefined && !resume) checkAllTrained(experiment);
  // The states of captions that an encoder is to read come later.
  const without = <C extends ModelConfig>(whole: C): C =>
    textEncoder === undefined ? whole : { ...whole, text: undefined };
  const begun = from === undefined ? undefined : await readStartingConfig(from);
  const [data, validation] = await Promise.all([
    openDataset(dataset, 'train', { image: config.image, fastDecode }),
    openDataset(dataset, 'validation', { image: config.image, fastDecode }),
  ]);
  await checkedPlan({
    ...{ family, config: without(config), settings, data, validation },
    ...(begun && { from: { ...begun, config: without(begun.config) } }),
  });
  return [data, validation];
}

/** Where a part of a model is not trained, as an autoencoder's encoder, it has to come from elsewhere. */
function checkAllTrained({ name, config }: Experiment): void {
  const { shapes, tasks } = templateOf(familyOf(config.kind), config);
  const trained = new Set(tasks.flatMap(({ leaves }) => leaves));
  const others = Object.keys(shapes).filter((leaf) => !trained.has(leaf));
  if (others.length === 0) return;
  throw new UserError(
    `${name} leaves a part of its model as it is (${others[0]} and ${others.length - 1} more), and ` +
      'nothing came that has learnt it',
    'Add --from with the run or checkpoint that it goes on from',
  );
}

/** Data to train on and held-out data, with the states of their captions where an encoder is named. */
async function captioned(
  [data, validation]: [DataSource, DataSource],
  config: ModelConfig,
  name: string | undefined,
): Promise<[DataSource, DataSource]> {
  const { text }: Conditioned = config;
  if (name === undefined || !text) return [data, validation];
  const encoder = await openTextEncoder(name);
  try {
    const { entries } = text;
    const withStates = async (source: DataSource): Promise<DataSource> => {
      const progress = startProgress({
        title: `Captions (${source.split})`,
        total: 100,
        unit: '%',
      });
      return withCaptionStates(source, {
        ...{ entries, width: encoder.width },
        encoder: { name: encoder.name, weights: encoder.weights },
        async encode(captions) {
          const states = await encoder.encode(captions, { entries });
          return states.data<'float32'>().finally(() => states.dispose());
        },
        onProgress: (share) => progress.update(Math.floor(100 * share)),
      }).finally(() => progress.finish());
    };
    return [await withStates(data), await withStates(validation)];
  } finally {
    encoder.dispose();
  }
}

/** An experiment by its name, or from a file. */
async function namedExperiment(asked: string): Promise<Experiment> {
  return asked.endsWith('.json') ? readExperiment(asked) : findExperiment(asked);
}

/** What a run's folder says of its experiment. */
function recordedExperiment(
  { experiment, data, config, settings }: RunDescription,
  folder: string,
): Experiment {
  const name = experiment ?? path.basename(path.resolve(folder));
  return { name, description: '', dataset: data, config, settings };
}

/** How the data of a run are opened: as was asked, as its folder records it, or as the experiment says. */
function namedDataOf(
  {
    data,
    fastDecode,
    textEncoder,
    out,
  }: Pick<TrainOptions, 'data' | 'fastDecode' | 'textEncoder' | 'out'>,
  { dataset }: Experiment,
  recorded: RunDescription | undefined,
): NamedData {
  const asked = { ...(fastDecode && { fastDecode }), ...(textEncoder && { textEncoder }) };
  if (data !== undefined) return { data, ...asked };
  if (recorded?.named) return { ...recorded.named, ...asked };
  if (recorded?.data !== dataset || datasetNames.includes(dataset))
    return { data: dataset, ...asked };
  // A run that does not say where its data lie, of an experiment that does.
  const own = knownExperiments().find(({ name }) => name === recorded.experiment);
  if (own && !datasetNames.includes(own.dataset)) return { data: own.dataset, ...asked };
  throw new UserError(
    `The run in ${out} was trained on '${dataset}', of which it does not say where it lies`,
    `Name it again: --data with one of ${datasetForms.join(', ')}`,
  );
}

/** What a run ended with: the numbers of its last step, and of its last validation. */
function outcomeOf({ records }: Pick<TrainingResult, 'records'>) {
  return {
    steps: records.at(-1)?.step ?? 0,
    loss: records.at(-1)?.loss,
    validation: records.flatMap((record) => record.validation ?? []).at(-1),
    dataShare: shareForData(records),
  };
}

function showJson(
  result: TrainingResult,
  about: {
    experiment: string | undefined;
    checkpoint: string;
    engine: EngineReport;
    command: string;
  },
): void {
  const { finished } = result;
  const { experiment, checkpoint, engine, command } = about;
  const ending = { checkpoint, engine, ...(!finished && { resume: command }) };
  const outcome = { experiment, finished, ...outcomeOf(result), ...ending };
  console.log(JSON.stringify(outcome, null, 2));
}

function showOutcome(
  result: TrainingResult,
  about: { checkpoint: string; command: string; steps: number; nats: boolean },
): void {
  const { steps, validation, dataShare } = outcomeOf(result);
  if (!result.finished) {
    console.log(`Stopped and saved after step ${steps} of ${about.steps}. To go on:`);
    console.log(`  ${about.command}`);
    return;
  }
  console.log(`Trained ${counted(steps, 'step')}; the model is ${about.checkpoint}`);
  if (validation) console.log(validationText(validation, about.nats));
  console.log(`${(100 * dataShare).toFixed(1)} % of the time went into waiting for batches`);
}

/** Share of all steps' time spent on waiting for their batches. */
function shareForData(records: readonly StepRecord[]): number {
  const times = records.map(({ imagesPerSecond }) => 1 / imagesPerSecond);
  const all = times.reduce((sum, time) => sum + time, 0);
  const data = records.reduce((sum, { dataShare }, i) => sum + dataShare * (times[i] as number), 0);
  return records.length > 0 ? data / all : 0;
}

/** @param nats true where the loss is one of likelihood; else its terms stand beside it */
function validationText(
  { loss, bitsPerDimension, ...terms }: NonNullable<StepRecord['validation']>,
  nats: boolean,
): string {
  if (!nats) {
    const named = Object.entries(terms).map(([name, value]) => `${name} ${value?.toFixed(4)}`);
    return `held-out loss ${loss.toFixed(4)} (${named.join(', ')})`;
  }
  const text = `held-out loss ${loss.toFixed(4)} nats per dimension`;
  return bitsPerDimension === undefined
    ? text
    : `${text}, ${bitsPerDimension.toFixed(4)} bits per dimension`;
}

function list(json: boolean): void {
  if (json) {
    console.log(JSON.stringify(knownExperiments(), null, 2));
    return;
  }
  showTable(knownExperiments().map(summary));
  for (const experiment of knownExperiments()) {
    console.log(`\nValues of ${experiment.name} (replace them with --set key=value):`);
    console.log(wrapped(optionTexts(experiment)));
  }
}

/** Words in indented lines of at most 80 columns. */
function wrapped(words: readonly string[]): string {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= 80) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(`  ${word}`);
    }
  }
  return lines.join('\n');
}

function summary({ name, description, dataset, config }: Experiment): Record<string, string> {
  return {
    experiment: name,
    model: familyOf(config.kind).title(config),
    data: dataset,
    what: description,
  };
}
