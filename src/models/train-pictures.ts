import { startEngine } from '../core/engine.js';
import { checkGiven, UserError } from '../core/errors.js';
import type { Tree } from '../core/tree.js';
import { datasetFromAnywhere, openDataset } from '../data/index.js';
import type { ModelConfig } from '../flow/model.js';
import { RunFolder } from '../training/run-folder.js';
import { checkSettings, type TrainingSettings } from '../training/settings.js';
import { type TrainingResult, type TrainingRun, train as trainRun } from '../training/train.js';
import { type ChoiceOptions, experimentFor, measured } from './choose-experiment.js';
import type { LoadedModel } from './load-checkpoint.js';
import type { TarFlowConfig } from './tarflow/config.js';
import { type TarFlow, tarflow } from './tarflow/index.js';

/** How a model of pictures is trained; all of it has a default. */
export interface PicturesOptions
  extends Pick<TrainingRun, 'folder' | 'mode' | 'onBegin' | 'onStep' | 'signal'> {
  /**
   * True to go on with the run in the folder, with the model and the settings that it records; nothing is
   * chosen then. Default false.
   */
  resume?: boolean;
  /** How long it may take. Default 30. */
  minutes?: number;
  /** What of the model that is chosen is to be otherwise. */
  config?: Partial<Omit<TarFlowConfig, 'kind'>>;
  /** What of the settings that are chosen is to be otherwise. */
  settings?: Partial<TrainingSettings>;
}

/** What a training of pictures gives: the model knows the names of their classes. */
export interface TrainedPictures extends Omit<TrainingResult, 'model'> {
  model: LoadedModel<TarFlow>;
}

/**
 * Trains a model of pictures, which is chosen for them as `tarflow train --data` does it; or a run of which
 * everything is said, as `train` of `tarflow/training`. Starts the engine for pictures if none runs. A warning
 * says what pictures in a folder lose, such as colour or transparency. `onStep` looks on, and `signal` stops
 * the run: with a folder it then goes on by `train(pictures, { folder, resume: true })`.
 *
 * @param pictures a folder of pictures, or a data set as `openDataset` takes it
 * @returns a model that the caller frees with `disposeModel`
 * @throws UserError for a folder without pictures, and as a run does
 *
 * @example
 * ```ts
 * import { sample, saveImageGrid, train } from 'tarflow';
 *
 * // Pictures of your own: train('mypics', { minutes: 30, folder: 'runs/mypics' })
 * const { model } = await train('fashion-mnist', {
 *   minutes: 1,
 *   settings: { steps: 2 },
 *   onStep: ({ step, loss }) => console.log(step, loss),
 * });
 * const images = await sample(model, { count: 4, label: 'Bag', denoise: { sigma: 0.05 } });
 * await saveImageGrid(images, 'bags.png');
 * ```
 */
export async function train(pictures: string, options?: PicturesOptions): Promise<TrainedPictures>;
export async function train<C extends ModelConfig, P extends Tree>(
  run: TrainingRun<C, P>,
): Promise<TrainingResult<C, P>>;
export async function train(
  what: string | TrainingRun,
  options: PicturesOptions = {},
): Promise<TrainedPictures | TrainingResult> {
  if (typeof what !== 'string') {
    checkGiven('What is to be trained', what, 'family', 'config', 'data');
    return trainRun(what);
  }
  const { minutes, config, settings, ...run } = options;
  // What does not fit is told before pictures are looked at and steps timed.
  checkSettings(settings);
  if (run.folder !== undefined && !run.resume) await new RunFolder(run.folder).checkFree();
  await startEngine();
  const dataset = datasetFromAnywhere(what);
  const timeOf: ChoiceOptions['timeOf'] = (each, ofEach) => {
    tarflow.check({ ...each, ...config });
    return measured(each, ofEach);
  };
  const { experiment, survey } = run.resume
    ? { experiment: await recordedExperiment(run.folder), survey: undefined }
    : await experimentFor(dataset, { minutes, timeOf });
  const chosen = { ...experiment.config, ...config };
  const { image } = chosen;
  const losses = survey?.losses(image) ?? [];
  if (losses.length > 0) {
    process.emitWarning(`${what}: ${losses.join('; ')}.`, { type: 'TarflowWarning' });
  }
  const result = await trainRun({
    ...run,
    family: tarflow,
    config: chosen,
    settings: { ...experiment.settings, ...settings },
    data: await openDataset(dataset, 'train', { image }),
    validation: await openDataset(dataset, 'validation', { image }),
    ...(experiment.name !== undefined && { experiment: experiment.name }),
    named: { data: dataset },
  });
  return { ...result, model: { ...result.model, details: result.details } };
}

/** What the run in a folder trains. */
async function recordedExperiment(folder: string | undefined) {
  if (folder === undefined) {
    throw new UserError(
      'No folder came with resume',
      'Give the folder of the run that is to go on',
    );
  }
  const { experiment: name, config, settings } = await new RunFolder(folder).described();
  if (config.kind !== tarflow.kind) {
    throw new UserError(
      `The run in ${folder} is of a model of kind '${config.kind}'`,
      'Go on with it by `train` with its family and resume, or by `tarflow train --out FOLDER --resume`',
    );
  }
  return { name, config: config as TarFlowConfig, settings };
}
