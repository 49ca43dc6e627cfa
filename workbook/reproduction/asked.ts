import type { MeasureName, PaperSampling } from '../papers/index.js';

/** A number that a row asks for. */
export interface Asked {
  measure: MeasureName;
  /** Which of several numbers of that measure: a method, a block. */
  of?: string;
  /** What the paper reports; absent where only we measure it. */
  published?: number;
}

/** How a row's samples are drawn. */
export interface RecipeSampling extends PaperSampling {
  /** True for samples of a conditional model without labels. */
  unlabelled?: true;
  /** True for labels of training images, drawn at random; default: all classes alike. */
  labelledAsTrained?: true;
}
