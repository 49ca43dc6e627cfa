import type { Mode } from '@tarflow/graph';
import { textEncoderNames } from '../conditions/text/named-encoder.js';
import { startEngine } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { tf } from '../core/tf.js';
import { datasetForms, datasetNames } from '../data/index.js';
import { disposeModel } from '../flow/state-dict.js';
import { optionTexts } from '../models/experiments.js';
import { readStartingPoint } from '../models/read-starting-point.js';
import { familyOf } from '../models/registry.js';
import { untilInterrupted } from '../show/interrupt.js';
import { type Progress, startProgress } from '../show/progress.js';
import { tableText, wordsInLines } from '../show/table.js';
import { knownExperiments } from '../training/experiment.js';
import type { StepRecord } from '../training/record.js';
import { RunFolder } from '../training/run-folder.js';
import { type TrainingRun, train as trainRun } from '../training/train.js';
import { counted, modeOption, shellWords } from './arguments.js';
import { defineCommand, exitCodes, type Outcome } from './command.js';
import { captioned, openRunData, type RunOptions, runToTrain } from './run-to-train.js';
import { chooseTrainingThreads } from './training-threads.js';

interface TrainOptions extends Omit<RunOptions, 'out'> {
  out?: string;
  replan: boolean;
  list: boolean;
  mode?: Mode;
}

/** `tarflow train`: an experiment, into a folder. */
export const train = defineCommand({
  name: 'train',
  description: 'train an experiment into a folder: log, checkpoint, and state to resume from',
  options: (command) =>
    command
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
      .option('--list', 'list the experiments with their values', false),
  help: () => `\
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
      --set classes=3 flip=true`,
  run: async (options: TrainOptions) => (options.list ? list() : run(options)),
});

async function run({ out, replan, mode, ...options }: TrainOptions): Promise<Outcome> {
  const resume = options.resume || replan;
  if (out === undefined || (options.experiment === undefined && !resume)) {
    throw new UserError(
      `No ${out === undefined ? '--out' : '--experiment'} came`,
      resume
        ? 'Example: tarflow train --out runs/density --resume'
        : 'Example: tarflow train --experiment fashion-mnist-density --out runs/density',
    );
  }
  const asked = { ...options, out, resume };
  const { experiment, name, named, recorded } = await runToTrain(asked);
  const { config, settings } = experiment;
  const family = familyOf(config.kind);
  const opened = await openRunData(experiment, named, asked);
  await chooseTrainingThreads(experiment, mode ?? recorded?.mode, recorded?.threads);
  const engine = await startEngine();
  const [data, validation] = await captioned(opened, config, named.textEncoder);
  const from = options.from === undefined ? undefined : await readStartingPoint(options.from);
  console.error(
    `${experiment.name}: ${family.title(config)} on ${named.data}, ${counted(settings.steps, 'step')} of ` +
      `${counted(settings.batchSize, 'image')}, ${engine.version}`,
  );
  const { finish, ...calls } = trainingProgress(settings.steps);
  const { model, finished, records } = await untilInterrupted((signal) =>
    trainRun({
      family,
      config,
      settings,
      data,
      validation,
      folder: out,
      resume: replan ? 'replanned' : resume,
      experiment: name,
      named,
      from,
      mode,
      ...calls,
      signal,
    }),
  ).finally(() => {
    finish();
    if (from) tf.dispose(from.state);
  });
  disposeModel(model);
  const command = shellWords(['tarflow', 'train', '--out', out, '--resume']);
  const { checkpoint } = new RunFolder(out);
  const steps = records.at(-1)?.step ?? 0;
  const held = records.flatMap((record) => record.validation ?? []).at(-1);
  const dataShare = shareForData(records);
  return {
    exitCode: finished ? exitCodes.done : exitCodes.interrupted,
    json: {
      experiment: name,
      finished,
      steps,
      loss: records.at(-1)?.loss,
      validation: held,
      dataShare,
      checkpoint,
      engine,
      resume: finished ? undefined : command,
    },
    text: finished
      ? [
          `Trained ${counted(steps, 'step')}; the model is ${checkpoint}`,
          ...(held ? [validationText(held, family.flow !== undefined)] : []),
          `${(100 * dataShare).toFixed(1)} % of the time went into waiting for batches`,
        ].join('\n')
      : `Stopped and saved after step ${steps} of ${settings.steps}. To go on:\n  ${command}`,
  };
}

/** A progress bar, which begins where the run does. */
function trainingProgress(total: number) {
  let progress: Progress | undefined;
  const calls: Pick<TrainingRun, 'onBegin' | 'onStep'> = {
    onBegin({ step, mode }) {
      if (mode === 'xla') console.error('XLA compiles the first step, for up to half a minute.');
      progress = startProgress({ title: 'Training', total, from: step });
    },
    onStep({ step, loss, validation: held, imagesPerSecond }) {
      progress?.update(step, {
        loss,
        ...(held && { 'held out': held.bitsPerDimension ?? held.loss }),
        'images/s': Math.round(imagesPerSecond),
      });
    },
  };
  return { ...calls, finish: () => progress?.finish() };
}

/** Share of all steps' time spent on waiting for their batches. */
function shareForData(records: readonly StepRecord[]): number {
  const sum = (share: (record: StepRecord) => number) =>
    records.reduce((total, record) => total + share(record) / record.imagesPerSecond, 0);
  return records.length > 0 ? sum(({ dataShare }) => dataShare) / sum(() => 1) : 0;
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

function list(): Outcome {
  const experiments = knownExperiments();
  const rows = experiments.map(({ name, description, dataset, config }) => ({
    experiment: name,
    model: familyOf(config.kind).title(config),
    data: dataset,
    what: description,
  }));
  const values = experiments.map(
    (experiment) =>
      `\nValues of ${experiment.name} (replace them with --set key=value):\n` +
      wrapped(optionTexts(experiment)),
  );
  return { json: experiments, text: [tableText(rows), ...values].join('\n') };
}

/** Words in indented lines of at most 80 columns. */
function wrapped(words: readonly string[]): string {
  const lines = wordsInLines(words, (line) => line.length <= 78);
  return lines.map((line) => `  ${line}`).join('\n');
}
