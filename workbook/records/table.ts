import { UserError } from '../../src/core/errors.js';
import {
  convergedBelow,
  type LossConvergence,
  lossConvergence,
} from '../measures/loss-convergence.js';
import { type Figure, type RecordOf, type RowResult, readRecord } from './record.js';
import { resultToRead } from './results-folder.js';
import { findCommittedRun, readCommittedRun } from './training-run.js';

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
  /**
   * How much the held-out loss still changed over the last fifth of each training of a row, in the order
   * of its seeds: as the table has it, or else by the logs in `results/training/`. Null where a log does
   * not tell, as {@link lossConvergence} says.
   * @throws UserError where the row or the log of one of its trainings is not there
   */
  convergence(row: string): Promise<(LossConvergence | null)[]>;
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
 * console.log(row, table.figure(row, 'FID').values, await table.convergence(row));
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
  return { rows, row, figure, convergence: async (of) => convergenceOf(row(of)) };
}

/**
 * {@link CommittedTable.convergence} in a few words, for example '0.40, 0.52 % (1 of 2 below 0.5 %)'; a
 * dash stands for a training whose log does not tell.
 */
export function convergenceSummary(trainings: readonly (LossConvergence | null)[]): string {
  const shares = trainings.map((each) => (each ? (100 * each.share).toFixed(2) : '–')).join(', ');
  const converged = trainings.filter((each) => each?.converged).length;
  return `${shares} % (${converged} of ${trainings.length} below ${100 * convergedBelow} %)`;
}

async function convergenceOf({
  figures,
  model,
  settings,
}: RowResult): Promise<(LossConvergence | null)[]> {
  const taken = figures.flatMap(({ ours }) => (typeof ours === 'string' ? [] : [ours]));
  const stated = taken.find(({ convergence }) => convergence)?.convergence;
  if (stated) return stated;
  // A training that was followed has its held-out losses among its points.
  const points = taken.find((figure) => figure.points)?.points;
  if (points) {
    return points.map((followed) => {
      const records = followed.map(({ step, loss }) => ({ step, validation: { loss } }));
      return lossConvergence(records) ?? null;
    });
  }
  const experiment = model.slice(0, model.lastIndexOf(' ('));
  if (settings.seeds.length === 0) {
    throw new UserError(`${model} was given as weights`, 'Its training is not known here');
  }
  const found: (LossConvergence | null)[] = [];
  for (const seed of settings.seeds) {
    const name = `${experiment}-seed-${seed}`;
    const run = findCommittedRun(name);
    if (run === undefined) {
      throw new UserError(
        `There is no log of ${name} in results/training`,
        'Fill the row anew by `tarflow reproduce`, and commit its trainings there (data-scripts/commit-run.mjs)',
      );
    }
    const { records } = await readCommittedRun(run);
    found.push(lossConvergence(records) ?? null);
  }
  return found;
}
