import { anomalies } from './anomalies.js';
import { compression } from './compression.js';
import { deepAndShallow } from './deep-and-shallow.js';
import { design } from './design.js';
import { editing } from './editing.js';
import { foundations } from './foundations.js';
import { guidance } from './guidance.js';
import { latentsAndText } from './latents-and-text.js';
import { likelihood } from './likelihood.js';
import type { Measurement } from './measurement.js';
import { noise } from './noise.js';
import { peers } from './peers.js';
import { quality } from './quality.js';
import { sampling } from './sampling.js';

/** All notebooks, in their order, with what they measure. */
export const notebooks = [
  foundations,
  noise,
  guidance,
  sampling,
  quality,
  likelihood,
  latentsAndText,
  deepAndShallow,
  design,
  peers,
  anomalies,
  compression,
  editing,
] as const;

type Declared = (typeof notebooks)[number]['measurements'][number];

/** The name of a measurement, and of its file in `results/claims/`. */
export type MeasurementId = Declared['id'];

/** The name of a figure of a measurement: a misspelt one does not compile. */
export type FigureName<Id extends MeasurementId> = Extract<
  Declared,
  { id: Id }
>['figures'][number]['name'];

/** All that the notebooks measure, in their order. */
export const measurements: readonly (Measurement & { id: MeasurementId })[] = notebooks.flatMap(
  (notebook): readonly Declared[] => notebook.measurements,
);

/** What a reader types to measure something again. */
export function commandOf({ id, command }: Measurement): string {
  const own = notebooks.find(({ measurements }) => measurements.some((one) => one.id === id));
  const [begins = ''] = /^reports\/\d\d/.exec(own?.notebook ?? '') ?? [];
  return command ?? `npm run workbook -- --only ${begins}`;
}
