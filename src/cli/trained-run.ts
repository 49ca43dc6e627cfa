import type { Mode } from '@tarflow/graph';
import { startEngine } from '../core/engine.js';
import { tf } from '../core/tf.js';
import { disposeModel } from '../flow/state-dict.js';
import { readStartingPoint } from '../models/read-starting-point.js';
import { familyOf } from '../models/registry.js';
import { untilInterrupted } from '../show/interrupt.js';
import { train } from '../training/train.js';
import { counted } from './arguments.js';
import type { Outcome } from './command.js';
import {
  captioned,
  openRunData,
  type RunOptions,
  runFolderOf,
  runToTrain,
} from './run-to-train.js';
import { runOutcome, trainingProgress } from './training-report.js';
import { chooseTrainingThreads } from './training-threads.js';

/** What is trained, into which folder, and how. */
export interface TrainOptions extends Omit<RunOptions, 'out'> {
  out?: string;
  replan: boolean;
  mode?: Mode;
}

/**
 * Trains what the options ask for, until it is done or Control-C comes.
 * @throws UserError for options, data and folders that do not fit
 */
export async function trainedRun({
  out: place,
  replan,
  mode,
  ...options
}: TrainOptions): Promise<Outcome> {
  const resume = options.resume || replan;
  const out = runFolderOf(place, options, resume);
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
      `${counted(settings.batchSize, 'image')}, into ${out}, ${engine.version}`,
  );
  const { finish, ...calls } = trainingProgress(settings.steps);
  const { model, finished, records } = await untilInterrupted((signal) =>
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
  return runOutcome({ experiment, name, out, classes: data.classes, finished, records, engine });
}
