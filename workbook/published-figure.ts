import { besidePublished } from './papers/measurements/measurement.js';
import type { MeasureName } from './papers/measures.js';
import type { PaperScale } from './papers/paper.js';
import { tableOf } from './papers/tables.js';

/**
 * A figure that a paper reports, from its table in `src/papers`: for orientation, of another model or
 * other data, and never ours.
 *
 * @param table the id of the table
 * @param row the name of the row in it
 * @param of which of several figures of that measure
 * @returns the value, and where it stands
 * @throws Error where there is no such figure, or several
 */
export function publishedFigure(
  table: string,
  row: string,
  measure: MeasureName,
  of?: string,
): { value: number; source: string } {
  return besidePublished(tableOf(table), row, measure, of);
}

/**
 * What a paper trained for a row of its table, as far as it is known.
 * @throws Error where it is not
 */
export function publishedScale(table: string, row: string): PaperScale {
  const scale = tableOf(table).rows.find(({ name }) => name === row)?.paper;
  if (!scale) {
    throw new Error(
      `${table}, ${row}: the paper's scale is not known. Add it to src/papers, or take another row.`,
    );
  }
  return scale;
}
