import { UserError } from '../../src/core/errors.js';
import { type Figure, type RecordOf, type RowResult, readRecord } from './record.js';
import { resultToRead } from './results-folder.js';

/** What `tarflow reproduce` made of a table. */
export type ReproducedTable = RecordOf<'table'>;

/** A figure that `tarflow reproduce` measured, with one value per training. */
export type TableFigure = Figure & { values: number[] };

/** A table of `results/tables/`, which `tarflow reproduce` filled. */
export interface CommittedTable {
  /** The names of its rows, in their order. */
  rows: string[];
  /**
   * A row of it.
   * @throws UserError that lists the rows there are
   */
  row(name: string): RowResult;
  /**
   * A figure of a row; of one training, `values` has its value alone.
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
 * import { readCommittedTable } from 'tarflow/workbook';
 *
 * const table = await readCommittedTable('deep-shallow-workbook');
 * const [row = ''] = table.rows;
 * console.log(row, table.figure(row, 'FID').values);
 * ```
 */
export async function readCommittedTable(name: string): Promise<CommittedTable> {
  const file = resultToRead(`tables/${name}.json`);
  const { results } = (await readRecord('table', file)) ?? { results: [] };
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
