/**
 * One line of a run's log: a training step, and at intervals a validation. Beside what is named here
 * it has the terms of the objective: a number each, or a short list of numbers. Where a model has
 * several objectives, each has its columns `NAME.loss`, `NAME.gradientNorm` and `NAME.TERM`.
 */
export interface StepRecord {
  /** Steps done, this one included. */
  step: number;
  /** Epochs done, this step included: step / ⌊images / batchSize⌋, which need not be a whole number. */
  epoch: number;
  /** The loss of the objective; the sum of those of several. */
  loss: number;
  /** L2 norm of the gradient, of several objectives together, before it is clipped. */
  gradientNorm: number;
  learningRate: number;
  imagesPerSecond: number;
  /** Share of the step's time spent on waiting for its batch. */
  dataShare: number;
  validation?: Validation;
  [term: string]: number | number[] | Validation | undefined;
}

/**
 * What the objective measures on held-out images, with noise drawn once and for all from the seed:
 * the loss, and those of its terms that are numbers.
 */
export interface Validation {
  loss: number;
  /**
   * The loss in bits per dimension, under a standard normal prior. (For a volume-preserving flow the
   * function `bitsPerDimension` takes the prior's measured variance, and differs.) Only of a likelihood
   * with uniform noise: with other noise the density is not that of the images.
   */
  bitsPerDimension?: number;
  [term: string]: number | undefined;
}

/** What a step of a flow adds to a record. */
export interface LikelihoodRecord extends StepRecord {
  /** ½·mean z². */
  prior: number;
  /** Mean log-determinant per dimension, in nats. */
  logDet: number;
  /** Mean square of each block's output; tends to 1. */
  meanSquares: number[];
}
