import { randomKey } from '../../src/core/random.js';
import type { ModelConfig } from '../../src/flow/model.js';
import { ability } from '../../src/flow/model.js';
import { familyOf } from '../../src/models/registry.js';
import { shapesOf } from '../../src/nn/specs.js';
import type { Experiment } from '../../src/training/experiment.js';
import type { KnownTraining, PlannedRow, Recipe } from './recipe.js';

/** What a model takes, by arithmetic; nothing is allocated for it. */
export interface ModelCost {
  parameters: number;
  /** Multiplications and additions of a forward pass of one image. */
  passOperations: number;
}

/**
 * What a model takes. Counted are products with matrices of weights, once a token, and those of
 * attention over all pairs of tokens, as they are computed; what is elementwise is not.
 */
export function modelCost(config: ModelConfig): ModelCost {
  const family = familyOf(config.kind);
  const leaves = Object.entries(shapesOf(family.specs(config, randomKey(0)).parameters)).map(
    ([name, shape]) => ({
      size: shape.reduce((size, side) => size * side, 1),
      // Tables of positions and classes are added, and not multiplied with.
      isFactor: shape.length >= 2 && !/embed/.test(name),
      // Width of a layer of attention.
      attends: name.endsWith('attention.qkv.weight') ? (shape[1] ?? 0) : 0,
    }),
  );
  const sizeOf = (some: typeof leaves) => some.reduce((sum, { size }) => sum + size, 0);
  const weights = sizeOf(leaves.filter(({ isFactor }) => isFactor));
  const attended = leaves.reduce((sum, { attends }) => sum + attends, 0);
  const ofTokens = (tokens: number) => 2 * tokens * weights + 4 * tokens ** 2 * attended;
  return {
    parameters: sizeOf(leaves),
    passOperations: family.operations?.(config) ?? ofTokens(ability(family, 'flow').rows(config)),
  };
}

/** Operations of a whole training: a step is three forward passes. */
export function trainingOperations({ config, settings }: Experiment): number {
  return 3 * modelCost(config).passOperations * settings.batchSize * settings.steps;
}

/** What a row is to take. */
export interface CostPlan {
  /** Trainings; 0 where weights are given. */
  trainings: number;
  /** Samples of all distances. */
  samples: number;
  /** Training images, where the data were looked at. */
  images?: KnownTraining['images'] | undefined;
}

/** What is known of the cost of a row before anything is read, and why it is not run here. */
export interface RowCost {
  row: string;
  leftOut?: string | undefined;
  parameters?: number;
  training?: TrainingCost | undefined;
  /** What the samples of its distances take; 0 where it has none. */
  sampling?: { sampleOperations: number; guided: boolean; samples: number; operations: number };
}

type TrainingCost = ReturnType<typeof trainingCost>;

/**
 * What is known of the cost of a row, by arithmetic: nothing is read, and nothing allocated. Without a
 * recipe nothing is known of its model; without trainings its weights are given.
 */
export function rowCost({ row, recipe, leftOut }: PlannedRow, plan: CostPlan): RowCost {
  if (!recipe) return { row, leftOut };
  const { samples, trainings, images = recipe.training.images } = plan;
  const experiment = recipe.experiment(images.count);
  const { parameters, passOperations } = modelCost(experiment.config);
  const guided = (recipe.sampling.guidance ?? 0) > 0;
  // A sample is a forward pass, and a second one where it is guided.
  const sampleOperations = passOperations * (guided ? 2 : 1);
  const known = { ...recipe.training, images };
  return {
    row,
    leftOut,
    parameters,
    training: trainings > 0 ? trainingCost(experiment, known, trainings, recipe.untold) : undefined,
    sampling: { sampleOperations, guided, samples, operations: samples * sampleOperations },
  };
}

/** What the trainings of a row take; undefined is what follows from nothing that is known. */
function trainingCost(
  experiment: Experiment,
  known: KnownTraining,
  trainings: number,
  untold: Recipe['untold'],
) {
  const { images, batchSize, epochs } = known;
  const { parameters, passOperations } = modelCost(experiment.config);
  const epochOperations = 3 * passOperations * images.count;
  const steps = known.steps ?? (epochs && batchSize && experiment.settings.steps);
  // Where batches are not known, an epoch is all images.
  const ofEpochs = epochs && trainings * epochOperations * epochs;
  return {
    ...known,
    steps,
    trainings,
    stepOperations: batchSize && 3 * passOperations * batchSize,
    epochOperations,
    /** Of all trainings. */
    operations: steps ? trainings * trainingOperations(experiment) : ofEpochs,
    /** Bytes of parameters, gradients and both moments. */
    stateBytes: 16 * parameters,
    /** What the paper does not say, in place of which weights are given. */
    untold,
  };
}

/** What is known of the cost of a row, in words, at a rate of operations a second. */
export function costText(
  { row, leftOut, parameters, training, sampling }: RowCost,
  rate: number,
): string {
  const texts: (string | false | undefined)[] = [leftOut && `not run here: ${leftOut}`];
  if (parameters !== undefined) {
    texts.push(
      `${counted(Number((parameters / 1e6).toPrecision(3)))} million parameters`,
      ...(training ? trainingTexts(training, rate) : ['weights are given']),
      sampling && samplingText(sampling, rate),
      `at 0.6 of the ${(rate / 1e9).toFixed(0)} GFLOP/s of float32 products here`,
    );
  }
  return `${row}: ${texts.filter((text) => text).join('; ')}`;
}

const list = new Intl.ListFormat('en-GB');

function trainingTexts(training: TrainingCost, rate: number): (string | false)[] {
  const { images, trainings, batchSize, epochs, steps, operations, untold } = training;
  const { stepOperations, epochOperations, stateBytes } = training;
  const about = (amount: number) => `${power(amount)} operations (about ${timeText(amount, rate)})`;
  const length = [epochs && `${counted(epochs)} epochs`, steps && `${counted(steps)} steps`];
  const whole = trainings > 1 ? `${trainings} trainings` : 'training';
  const isLong = operations !== undefined;
  return [
    `${counted(images.count)} training images (${images.source})`,
    stepOperations !== undefined &&
      `a step of ${batchSize} images: ${power(stepOperations)} operations`,
    `an epoch: ${isLong ? `${power(epochOperations)} operations` : about(epochOperations)}`,
    isLong && `${whole} of ${length.filter((part) => part).join(', ')}: ${about(operations)}`,
    untold.length > 0 && `the paper does not say ${list.format(untold)}`,
    `${(stateBytes / 2 ** 30).toPrecision(2)} GiB of weights and optimiser`,
  ];
}

function samplingText(sampling: NonNullable<RowCost['sampling']>, rate: number): string {
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
  const seconds = operations / rate / 0.6;
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} hours`;
  if (seconds < 730 * 86400) return `${Math.round(seconds / 86400)} days`;
  return `${counted(Math.round(seconds / 86400 / 365.25))} years`;
}
