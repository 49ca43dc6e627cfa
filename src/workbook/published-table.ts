import { UserError } from '../backend/errors.js';
import { type Figure, type RowResult, readRows } from '../reproduction/index.js';
import { resultToRead } from './results-folder.js';

/** A figure that `tarflow reproduce` measured, with one value a training. */
export type TableFigure = Figure & { values: number[] };

/** A table of `results/tables/`, which `tarflow reproduce` filled. */
export interface PublishedTable {
  /** The names of its rows, in their order. */
  rows: string[];
  /**
   * A row of it.
   * @throws UserError that lists the rows there are
   */
  row(name: string): RowResult;
  /**
   * A figure of a row; where it has one training, {@link TableFigure.values} is its value.
   * @throws UserError where the row or the figure is not there
   */
  figure(row: string, measure: string): TableFigure;
}

/**
 * Reads a table that `tarflow reproduce` filled from `results/tables/`.
 *
 * @param name of the table's file, for example 'design-ablation-workbook'
 * @throws UserError where there is no such table, or its file is damaged
 *
 * @example
 * ```ts
 * import { readPublishedTable } from 'tarflow/workbook';
 *
 * const table = await readPublishedTable('deep-shallow-workbook');
 * const [row = ''] = table.rows;
 * console.log(row, table.figure(row, 'FID').values);
 * ```
 */
export async function readPublishedTable(name: string): Promise<PublishedTable> {
  const file = resultToRead(`tables/${name}.json`);
  const results = await readRows(file);
  const rows = results.map((each) => each.row);
  if (rows.length === 0) {
    throw new UserError(
      `There is no table ${file}`,
      'Fill it by `tarflow reproduce`, and copy it there',
    );
  }
  const row = (wanted: string): RowResult => {
    const found = results.find((each) => each.row === wanted);
    if (found) return found;
    throw new UserError(
      `The table ${name} has no row '${wanted}'`,
      `Choose one of '${rows.join("', '")}', or fill it by \`tarflow reproduce --row '${wanted}'\``,
    );
  };
  const figure = (of: string, measure: string): TableFigure => {
    const { figures } = row(of);
    const ours = figures.find((each) => each.measure === measure)?.ours;
    if (typeof ours === 'object') return { ...ours, values: ours.values ?? [ours.value] };
    throw new UserError(
      `The row '${of}' of ${name} has no ${measure}${ours === undefined ? '' : `: ${ours}`}`,
      `It has ${figures.map((each) => each.measure).join(', ')}`,
    );
  };
  return { rows, row, figure };
}
