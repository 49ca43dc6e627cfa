import * as fs from 'node:fs';
import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { UserError } from '../../src/core/errors.js';
import { packageRoot } from '../../src/core/package-root.js';
import { type DataSource, loadDataset } from '../../src/data/index.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { type Classifier, disposeClassifier } from '../../src/models/classifier/family.js';
import { loadClassifier } from '../../src/models/load-checkpoint.js';
import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import { tarflow } from '../../src/models/tarflow/index.js';
import { untilInterrupted } from '../../src/show/interrupt.js';
import { type Progress, startProgress } from '../../src/show/progress.js';
import type { Experiment } from '../../src/training/experiment.js';
import type { StepRecord } from '../../src/training/record.js';
import { train } from '../../src/training/train.js';
import { type LiveTraining, liveTraining } from '../charts/training-curves.js';
import { saveClassifier, trainClassifier } from '../measures/train-classifier.js';
import { inQuickMode, resultFile, resultToRead, training } from '../records/results-folder.js';
import { commitRun } from '../records/training-run.js';

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

/**
 * The small classifier of Fashion-MNIST by whose features the notebooks measure samples: two
 * convolutions and 64 features, trained on the 55,000 images of the training split in about two
 * minutes; its 8 epochs were chosen on the validation split, among 3, 8 and 12. It is read from
 * `results/checkpoints/`. If the file is missing, or under TARFLOW_TRAIN=1, it is trained again and kept
 * there.
 *
 * @returns a classifier that the caller frees with `disposeClassifier`
 */
export async function fashionClassifier(): Promise<Classifier> {
  const name = 'checkpoints/fashion-mnist-classifier.safetensors';
  const kept = resultToRead(name);
  if (existsSync(kept) && !training()) return loadClassifier(kept);
  const data = await loadDataset('fashion-mnist', 'train');
  let progress: Progress | undefined;
  const classifier = await trainClassifier(data, {
    epochs: 8,
    onProgress: ({ step, steps, loss }) => {
      progress ??= startProgress({ title: 'Training the classifier', total: steps });
      progress.update(step, { loss });
    },
  });
  progress?.finish();
  if (inQuickMode()) return classifier;
  const file = resultFile(name);
  await saveClassifier(classifier, file);
  disposeClassifier(classifier);
  // Rounded to half precision, as everyone else will load it.
  return loadClassifier(file);
}
