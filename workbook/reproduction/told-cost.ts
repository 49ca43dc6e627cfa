import type { Experiment } from '../../src/training/experiment.js';
import type { PlannedRow, Recipe, ToldTraining } from './recipe.js';
import { modelCost, rowCost } from './row-cost.js';

/** What can be told of the cost of a row before anything is read. Operations are of all that is said. */
export interface ToldCost {
  row: string;
  /** Why it is not run here. */
  leftOut?: string;
  /** Absent where nothing is known of a model. */
  parameters?: number;
  /** Absent where weights are given. */
  training?: TrainingCost;
  sampling?: SamplingCost;
}

/** What the trainings of a row take. */
export interface TrainingCost extends ToldTraining {
  /** How many trainings its figures take. */
  trainings: number;
  /** Of a step; absent where the size of its batches is not told. */
  stepOperations?: number;
  /** Of all training images once; absent where their number is not known. */
  epochOperations?: number;
  millionImagesOperations: number;
  /** Of all its trainings; absent where it is not told how long they are. */
  operations?: number;
  /** Bytes of parameters, gradients and both moments. */
  stateBytes: number;
  /** What the paper does not say, in place of which weights are given. */
  untold: readonly string[];
}

/** What the samples of a row take. */
export interface SamplingCost {
  /** Of a sample: a forward pass, and a second one where it is guided. */
  sampleOperations: number;
  guided: boolean;
  /** How many its distances take; 0 where it has none. */
  samples: number;
  operations: number;
}

/** What a row is to take. */
export interface CostPlan {
  /** Trainings; 0 where weights are given. */
  trainings: number;
  /** Samples of all distances. */
  samples: number;
  /** Training images, where the data were looked at. */
  images?: ToldTraining['images'];
  /** Changes the experiment, for example to a smaller one. */
  change?: ((experiment: Experiment) => Experiment) | undefined;
}

/** What can be told of the cost of a row, by arithmetic: nothing is read, and nothing allocated. */
export function toldCost({ row, recipe, leftOut }: PlannedRow, plan: CostPlan): ToldCost {
  const named = { row, ...(leftOut !== undefined && { leftOut }) };
  if (!recipe) return named;
  const told = { ...recipe.told, ...(plan.images && { images: plan.images }) };
  const published = recipe.experiment(told.images?.count ?? 1);
  const experiment = plan.change?.(published) ?? published;
  const { parameters, passOperations } = modelCost(experiment.config);
  const guided = (recipe.sampling.guidance ?? 0) > 0;
  const sampleOperations = passOperations * (guided ? 2 : 1);
  const { samples } = plan;
  return {
    ...named,
    parameters,
    ...(plan.trainings > 0 && { training: trainingCost(recipe, experiment, told, plan) }),
    sampling: { sampleOperations, guided, samples, operations: samples * sampleOperations },
  };
}

function trainingCost(
  recipe: Recipe,
  experiment: Experiment,
  known: ToldTraining,
  { trainings, change }: CostPlan,
): TrainingCost {
  const { settings } = experiment;
  const { images } = known;
  const told: ToldTraining = change
    ? { ...(images && { images }), batchSize: settings.batchSize, steps: settings.steps }
    : known;
  const steps = told.steps ?? (told.epochs && images && told.batchSize && settings.steps);
  const imageOperations = 3 * modelCost(experiment.config).passOperations;
  const whole = rowCost(experiment, { trainings, samples: 0, guided: false });
  // Where batches are not told, an epoch is all images.
  const ofImages =
    told.epochs && images && trainings * imageOperations * images.count * told.epochs;
  const operations = steps ? whole.trainingOperations : ofImages;
  return {
    ...told,
    ...(steps && { steps }),
    trainings,
    ...(told.batchSize && { stepOperations: imageOperations * told.batchSize }),
    ...(images && { epochOperations: imageOperations * images.count }),
    millionImagesOperations: 1e6 * imageOperations,
    ...(operations && { operations }),
    stateBytes: whole.stateBytes,
    untold: change ? [] : recipe.untold,
  };
}

/** What can be told of the cost of a row, in words, at a rate of operations a second. */
export function costText(
  { row, leftOut, parameters, training, sampling }: ToldCost,
  rate: number,
): string {
  const parts = [
    ...(leftOut === undefined ? [] : [`not run here: ${leftOut}`]),
    ...(parameters === undefined
      ? []
      : [`${counted(Number((parameters / 1e6).toPrecision(3)))} million parameters`]),
    ...(training ? trainingTexts(training, rate) : []),
    ...(parameters !== undefined && !training ? ['weights are given'] : []),
    ...(sampling ? [samplingText(sampling, rate)] : []),
    ...(parameters === undefined
      ? []
      : [`at 0.6 of the ${(rate / 1e9).toFixed(0)} GFLOP/s of float32 products here`]),
  ];
  return `${row}: ${parts.join('; ')}`;
}

/** For example 'a, b and c'. */
function listText(parts: readonly string[]): string {
  if (parts.length < 2) return parts.join('');
  return `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

function trainingTexts(training: TrainingCost, rate: number): string[] {
  const { images, trainings, batchSize, epochs, steps, operations, untold } = training;
  const { stepOperations, epochOperations, millionImagesOperations, stateBytes } = training;
  const about = (amount: number) => `${power(amount)} operations (about ${timeText(amount, rate)})`;
  const length = [
    ...(epochs === undefined ? [] : [`${counted(epochs)} epochs`]),
    ...(steps === undefined ? [] : [`${counted(steps)} steps`]),
  ].join(', ');
  const plural = trainings > 1 ? `${trainings} trainings` : 'training';
  return [
    images
      ? `${counted(images.count)} training images (${images.source})`
      : 'how many training images is not known without the data',
    ...(stepOperations === undefined
      ? []
      : [`a step of ${batchSize} images: ${power(stepOperations)} operations`]),
    ...(epochOperations === undefined
      ? [`a million images: ${about(millionImagesOperations)}`]
      : operations === undefined
        ? [`an epoch: ${about(epochOperations)}`]
        : [`an epoch: ${power(epochOperations)} operations`]),
    ...(operations === undefined ? [] : [`${plural} of ${length}: ${about(operations)}`]),
    ...(untold.length === 0 ? [] : [`the paper does not say ${listText(untold)}`]),
    `${(stateBytes / 2 ** 30).toPrecision(2)} GiB of weights and optimiser`,
  ];
}

function samplingText(sampling: SamplingCost, rate: number): string {
  const { sampleOperations, guided, samples, operations } = sampling;
  const each = `a sample ${power(sampleOperations)} operations${guided ? ' (guided)' : ''}`;
  if (samples === 0) return each;
  return (
    `${each}, ${counted(samples)} samples ${power(operations)} ` +
    `(more than ${timeText(operations, rate)}, since all weights are read for every token)`
  );
}

const counted = (number: number): string => number.toLocaleString('en');
const power = (operations: number): string => operations.toExponential(1);

function timeText(operations: number, rate: number): string {
  return durationText(operations / rate / 0.6);
}

function durationText(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} hours`;
  if (seconds < 730 * 86400) return `${Math.round(seconds / 86400)} days`;
  return `${counted(Math.round(seconds / 86400 / 365.25))} years`;
}
