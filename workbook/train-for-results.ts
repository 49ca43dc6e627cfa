import * as fs from 'node:fs';
import * as path from 'node:path';
import { UserError } from '../src/core/errors.js';
import { packageRoot } from '../src/core/package-root.js';
import type { DataSource } from '../src/data/index.js';
import { disposeModel } from '../src/flow/flow.js';
import type { TarFlowConfig } from '../src/models/tarflow/config.js';
import { tarflow } from '../src/models/tarflow/index.js';
import { untilInterrupted } from '../src/show/interrupt.js';
import type { Experiment } from '../src/training/experiment.js';
import type { StepRecord } from '../src/training/record.js';
import { train } from '../src/training/train.js';
import { commitRun } from './committed-run.js';
import { type LiveTraining, liveTraining } from './live-training.js';

/**
 * Trains a TarFlow by an experiment, shows the run while it goes on, and puts it into `results/` as
 * `commitRun` does. A run that was stopped goes on where it was.
 *
 * @param name of the checkpoint and the log in `results/`
 * @param data what to train on, and what to follow the run on
 * @param folder of the run; default: `runs/<name>` of the project
 * @throws UserError where it is interrupted, with the run saved; and as `train` does
 */
export async function trainForResults(
  name: string,
  experiment: Pick<Experiment<TarFlowConfig>, 'name' | 'config' | 'settings'>,
  data: { train: DataSource; validation: DataSource },
  folder: string = path.join(packageRoot(), 'runs', name),
): Promise<void> {
  const { config, settings } = experiment;
  let live: LiveTraining<StepRecord> | undefined;
  let ended: string | undefined = 'failed';
  const { model, finished } = await untilInterrupted((signal) =>
    train({
      family: tarflow,
      config,
      settings,
      experiment: experiment.name,
      data: data.train,
      validation: data.validation,
      folder,
      resume: fs.existsSync(path.join(folder, 'run.json')),
      onBegin: ({ step: from }) => {
        live = liveTraining({ title: `Training ${name}`, steps: settings.steps, from });
      },
      onStep: (record) => live?.onStep(record),
      signal,
    }),
  )
    .then((result) => {
      ended = result.finished ? undefined : 'stopped and saved';
      return result;
    })
    .finally(() => live?.finish(ended));
  disposeModel(model);
  if (!finished) {
    throw new UserError(
      `The training of ${name} was stopped`,
      'Run the cell again, and it goes on where it was',
    );
  }
  await commitRun(folder, name);
}
