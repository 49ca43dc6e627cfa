import type { MeasureName } from '../papers/index.js';

/** A number that a row of a table asks for. */
export interface Asked {
  measure: MeasureName;
  /** Which of several numbers of that measure: a method, a block. */
  of?: string | undefined;
  /** What the paper reports; absent where only we measure it. */
  published?: number | undefined;
}

/** What is measured of one model. */
const measuresOfModel = [
  'bits per dimension',
  'held-out loss',
  'FID',
  'time of a batch',
  'speed-up',
  'iterations of a block',
  'share of CRM',
] as const satisfies readonly MeasureName[];
export type MeasureOfModel = (typeof measuresOfModel)[number];

export function isOfModel(measure: MeasureName): measure is MeasureOfModel {
  return measuresOfModel.some((name) => name === measure);
}

/** Whether a measure is of a series of trainings, and not of one model. */
export function isOfSeries(measure: MeasureName): boolean {
  return measure === 'best σ' || measure === 'correlation of loss and FID';
}

/** Whether samples are compared with real images for a measure. */
export function comparesSamples(measure: MeasureName): boolean {
  return measure === 'FID' || isOfSeries(measure);
}

/** Whether sampling is timed for a measure. */
export function isTime(measure: MeasureName): boolean {
  return measure === 'time of a batch' || measure === 'speed-up';
}

/** Methods of the acceleration tables, by the papers' names. */
const methods: readonly string[] = ['sequential', 'GS-Jacobi', 'Jacobi in all blocks', 'SeJD'];

/** Whether a number is measured here. */
export function isMeasured({ measure, of }: Asked): boolean {
  if (isOfSeries(measure)) return true;
  if (!isOfModel(measure)) return false;
  if (measure === 'FID' && of === undefined) return true;
  return !(isTime(measure) || measure === 'FID') || (of !== undefined && methods.includes(of));
}

/** The method of sampling that a number is of; none where it is of none. */
export function methodOf({ measure, of }: Asked): string[] {
  if (measure === 'iterations of a block') return ['SeJD'];
  return of !== undefined && methods.includes(of) ? [of] : [];
}

/** What a figure is called in files. */
export function askedName({ measure, of }: Asked): string {
  return of === undefined ? measure : `${measure}, ${of}`;
}
