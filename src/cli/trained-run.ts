import { type Mode, type Processes, startedProcess } from '@tarflow/graph';
import { startEngine } from '../core/engine.js';
import { counted, UserError } from '../core/errors.js';
import { tf } from '../core/tf.js';
import { disposeModel } from '../flow/state-dict.js';
import { readStartingPoint } from '../models/read-starting-point.js';
import { familyOf } from '../models/registry.js';
import { untilInterrupted } from '../show/interrupt.js';
import { train } from '../training/train.js';
import type { Outcome } from './command.js';
import {
  captioned,
  openRunData,
  type RunOptions,
  runFolderOf,
  runToTrain,
} from './run-to-train.js';
import { startProcesses, withOthers } from './together.js';
import { runOutcome, trainingProgress } from './training-report.js';
import { chooseTrainingThreads } from './training-threads.js';

/** What is trained, into which folder, and how. */
export interface TrainOptions extends Omit<RunOptions, 'out'> {
  out?: string;
  replan: boolean;
  examine: boolean;
  mode?: Mode;
  processes?: number;
}

/**
 * Trains what the options ask for, until it is done or Control-C comes: in this process, in several that
 * it starts, or as one of several that mpirun or srun started.
 *
 * @throws UserError for options, data and folders that do not fit
 */
export async function trainedRun(options: TrainOptions): Promise<Outcome> {
  const { processes: count = 1 } = options;
  const started = startedProcess();
  if (options.examine && (started || count > 1)) {
    throw new UserError('--examine came for several processes', 'Examine the run in one process');
  }
  if (started) return withOthers(started, (processes) => trainedHere(options, processes));
  if (count === 1) return trainedHere(options);
  const resume = options.resume || options.replan;
  const out = runFolderOf(options.out, options, resume);
  if (options.data === undefined || resume) {
    // What is wrong is said once, before there are several who could say it.
    const asked = { ...options, out, resume };
    await openRunData(await runToTrain(asked), asked, { rank: 0, size: count });
  }
  return startProcesses(count, out);
}

/** @param processes present where this is one of several */
async function trainedHere(
  { out: place, replan, examine, mode, ...options }: TrainOptions,
  processes?: Processes,
): Promise<Outcome> {
  const alone = <T>(work: () => Promise<T>) => processes?.alone(work) ?? work();
  const isFirst = !processes || processes.rank === 0;
  const resume = options.resume || replan;
  const out = runFolderOf(place, options, resume);
  const asked = { ...options, out, resume };
  const decide = () => runToTrain(asked);
  const run = await (processes?.decided(decide) ?? decide());
  const { experiment, name, named, recorded } = run;
  const { config, settings } = experiment;
  const family = familyOf(config.kind);
  const opened = await alone(() => openRunData(run, asked, processes));
  if (!processes)
    await chooseTrainingThreads(experiment, mode ?? recorded?.mode, recorded?.threads);
  const engine = await startEngine();
  const [data, validation] = await alone(() => captioned(opened, config, named.textEncoder));
  const from = options.from === undefined ? undefined : await readStartingPoint(options.from);
  const begun =
    `${experiment.name}: ${family.title(config)} on ${named.data}, ${counted(settings.steps, 'step')} of ` +
    `${counted(settings.batchSize, 'image')}, into ${out}, ${engine.version}`;
  if (isFirst) console.error(processes ? `${begun}, ${processes.size} processes` : begun);
  const { finish, ...calls } = trainingProgress(settings.steps);
  const { model, finished, records } = await untilInterrupted((signal) => {
    if (processes) signal.addEventListener('abort', () => processes.stop());
    return train({
      ...{ family, config, settings, data, experiment: name, named, from, mode, examine },
      ...(isFirst && { validation, folder: out, ...calls }),
      resume: replan ? 'replanned' : resume,
      ...(processes && { parallel: processes }),
      signal: processes?.signal ?? signal,
    });
  }).finally(() => {
    finish();
    if (from) tf.dispose(from.state);
  });
  disposeModel(model);
  const ended = { experiment, name, out, classes: data.classes, finished, records, engine };
  return runOutcome({ ...ended, processes });
}
