import { counted, UserError } from '../core/errors.js';
import { type DataSource, type FolderSurvey, openDataset, surveyFolder } from '../data/index.js';
import type { Experiment } from '../training/experiment.js';
import { longRun } from '../training/program.js';
import { type TrainingSettings, usualSettings } from '../training/settings.js';
import { secondsPerStep } from '../training/step-time.js';
import type { TarFlowConfig } from './tarflow/config.js';
import { tarflow } from './tarflow/index.js';

/** Models to choose from, and for how many pictures each is not too large. */
const sizes = [
  { pictures: 0, channels: 64, blocks: 4, layersPerBlock: 2, headWidth: 32 },
  { pictures: 500, channels: 96, blocks: 4, layersPerBlock: 3, headWidth: 32 },
  { pictures: 2_000, channels: 128, blocks: 6, layersPerBlock: 4, headWidth: 64 },
  { pictures: 10_000, channels: 256, blocks: 8, layersPerBlock: 4, headWidth: 64 },
];

/** A larger model is taken where the time is enough for so many steps of it. */
const enoughSteps = 2000;

/** A small flow that sees each picture more often learns them by heart. */
const mostEpochs = 400;

/** Of the class table: with the published 0.01 samples of a short training are of any class. */
const classDeviation = 0.2;

/** The share of the time that steps get: the rest goes into compiling, validation and saving. */
const shareOfSteps = 0.85;

export interface ChoiceOptions {
  /** How long the training may take. Default 30. */
  minutes?: number | undefined;
  /** Seconds of a step on this machine. Default: some steps are timed. */
  timeOf?: (config: TarFlowConfig, settings: TrainingSettings) => Promise<number>;
}

/** What {@link chooseExperiment} chose, and why. */
export interface ChosenExperiment {
  experiment: Experiment<TarFlowConfig>;
  /** The choice in a line. */
  because: string;
  /** What the pictures are like, where they lie in a folder and were looked at. */
  survey?: FolderSurvey | undefined;
}

/**
 * Looks at pictures, and chooses a model and settings for them by {@link chooseExperiment}. An engine has to
 * run.
 *
 * @param dataset as `openDataset` takes it, for example `folder:PATH`
 * @throws UserError as `surveyFolder`, `openDataset` and {@link chooseExperiment} do
 */
export async function experimentFor(
  dataset: string,
  options: ChoiceOptions = {},
): Promise<ChosenExperiment> {
  const survey = await surveyOf(dataset);
  const data = await openDataset(dataset, 'train', survey && { image: survey.image });
  return { ...(await chooseExperiment(data, dataset, options)), survey };
}

/** What the pictures of `folder:PATH` are like; undefined for another data set. */
export async function surveyOf(dataset: string): Promise<FolderSurvey | undefined> {
  const [, folder] = /^folder:(.+)$/s.exec(dataset) ?? [];
  return folder === undefined ? undefined : surveyFolder(folder);
}

/**
 * Chooses a TarFlow and settings for pictures:
 *
 * - patches: 8 × 8 of them where the side allows, of 2 to 4 pixels;
 * - the batch: the power of two up to 64 that is at most a quarter of the pictures;
 * - the model: the largest that is not too large for so many pictures and makes 2,000 steps in the time;
 * - steps: as many as fit in the time by a measured step, at most 400 for each picture;
 * - noise: Gaussian, σ 0.05, as the paper has it up to 64 × 64 pixels (TarFlow, section 4.1);
 * - labels are dropped with probability 0.1, so that samples may be guided, and their table begins wide.
 *
 * Starts nothing: an engine has to run, unless `timeOf` needs none.
 *
 * @param data what is trained on
 * @param dataset how it is opened again, see `openDataset`
 * @throws UserError for data that are no pictures, and for no time
 */
export async function chooseExperiment(
  data: Pick<DataSource, 'name' | 'length' | 'image' | 'classes'>,
  dataset: string,
  { minutes = 30, timeOf = measured }: ChoiceOptions = {},
): Promise<ChosenExperiment> {
  const { name, length, image, classes } = data;
  if (!(minutes > 0))
    throw new UserError(`The time is ${counted(minutes, 'minute')}`, 'Expected more than 0');
  const side = Math.min(image.height, image.width);
  if (image.channels > 3) {
    throw new UserError(
      `${name} has ${image.channels} channels, and a model is chosen only for pictures`,
      'Train an experiment for latents (tarflow train --experiment NAME)',
    );
  }
  const patchSize = side % 4 === 0 && side > 16 ? 4 : side % 2 === 0 ? 2 : 1;
  const batchSize = Math.max(Math.min(8, length), 2 ** Math.floor(Math.log2(length / 4)));
  const seconds = 60 * minutes * shareOfSteps;
  const steps = minutes < 5 ? 100 : longRun;
  const settings: TrainingSettings = {
    ...usualSettings,
    batchSize: Math.min(64, batchSize),
    steps,
    dropLabel: classes.length > 1 ? 0.1 : 0,
  };
  const configOf = ({ pictures: _, ...size }: (typeof sizes)[number]): TarFlowConfig => ({
    kind: 'tarflow',
    image,
    patchSize,
    ...size,
    // One class tells nothing.
    ...(classes.length > 1 ? { classes: classes.length, classDeviation } : { classes: 0 }),
    volumePreserving: false,
  });
  let config = configOf(sizes[0]!);
  let step = await timeOf(config, settings);
  for (const size of sizes.slice(1)) {
    const larger = configOf(size);
    const guess = (step * costOf(larger)) / costOf(config);
    if (length < size.pictures || seconds / guess < enoughSteps) break;
    const found = await timeOf(larger, settings);
    if (seconds / found < enoughSteps) break;
    [config, step] = [larger, found];
  }
  const most = Math.ceil((mostEpochs * length) / settings.batchSize);
  const fitting = Math.max(20, Math.floor(seconds / step));
  const wanted = Math.min(most, fitting);
  // To two digits, downwards.
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(wanted)) - 1);
  const chosen = Math.floor(wanted / unit) * unit;
  const every = Math.max(1, Math.round(chosen / 10));
  return {
    experiment: {
      name,
      description: `Chosen for ${counted(length, 'picture')} and ${counted(minutes, 'minute')}`,
      dataset,
      config,
      settings: {
        ...settings,
        steps: chosen,
        warmupSteps: every,
        validateEvery: every,
        saveEvery: every,
      },
    },
    because:
      `${tarflow.title(config)} for ${counted(length, 'picture')}, ${counted(chosen, 'step')} of ${settings.batchSize} at ` +
      `${step.toPrecision(2)} s: ${inMinutes(chosen * step)} of ${minutes}` +
      (most < fitting ? ` (${mostEpochs} times each picture; more would be learnt by heart)` : ''),
  };
}

/** Multiplications of a token, but for a factor. */
function costOf({ channels, blocks, layersPerBlock }: TarFlowConfig): number {
  return channels ** 2 * blocks * layersPerBlock;
}

function inMinutes(seconds: number): string {
  const minutes = seconds / 60;
  return minutes < 1 ? 'less than a minute' : counted(Math.round(minutes), 'minute');
}

/** Seconds of a step in this process. */
export function measured(config: TarFlowConfig, settings: TrainingSettings): Promise<number> {
  return secondsPerStep({ family: tarflow, config, settings });
}
