import * as path from 'node:path';
import type { DataFrame } from 'nodejs-polars';
import { UserError } from '../../src/core/errors.js';
import { readRecord } from './record.js';
import { resultToRead } from './results-folder.js';
import { readCommittedTable } from './table.js';
import { readCommittedRun } from './training-run.js';

/**
 * A table that `tarflow reproduce` filled, as a data frame with a line for each training: `row`, `seed`,
 * and a column for each measure. Figures that were not measured are null.
 *
 * @param name of the table's file in `results/tables`, for example 'sizes-workbook'
 * @throws UserError where there is no such table
 *
 * @example
 * ```ts
 * import { trainingsFrame } from 'tarflow/workbook';
 *
 * const frame = await trainingsFrame('deep-shallow-workbook');
 * console.log(frame.columns); // [ 'row', 'seed', 'held-out loss', 'FID' ]
 * ```
 */
export async function trainingsFrame(name: string): Promise<DataFrame> {
  const table = await readCommittedTable(name);
  const rows = table.rows.map((row) => table.row(row));
  const measures = [
    ...new Set(rows.flatMap(({ figures }) => figures.map(({ measure }) => measure))),
  ];
  return frameOf(
    rows.flatMap(({ row, settings, figures }) =>
      settings.seeds.map((seed, i) => ({
        row,
        seed,
        ...Object.fromEntries(
          measures.map((measure) => {
            const ours = figures.find((figure) => figure.measure === measure)?.ours;
            const values = typeof ours === 'object' ? (ours.values ?? [ours.value]) : [];
            return [measure, values[i] ?? null];
          }),
        ),
      })),
    ),
  );
}

/** The points of trainings that were followed: `row`, `seed`, `step`, `loss` and `distance`. */
export async function pointsFrame(name: string): Promise<DataFrame> {
  const table = await readCommittedTable(name);
  return frameOf(
    table.rows.flatMap((name) => {
      const { row, settings, figures } = table.row(name);
      const points = figures.flatMap(({ ours }) =>
        typeof ours === 'object' ? (ours.points ?? []) : [],
      );
      return points.flatMap((training, i) =>
        training.map((point) => ({ row, seed: settings.seeds[i] ?? i, ...point })),
      );
    }),
  );
}

/**
 * The validations of committed trainings: `run`, `step`, `share` of the training, `loss`, and `bits` per
 * dimension where they were measured.
 *
 * @param names of the runs in `results/training`
 * @throws UserError where one is not there
 */
export async function validationsFrame(names: readonly string[]): Promise<DataFrame> {
  const runs = await Promise.all(names.map((name) => readCommittedRun(name)));
  return frameOf(
    runs.flatMap(({ records, steps }, i) =>
      records.flatMap(({ step, validation }) =>
        validation
          ? [
              {
                run: names[i],
                step,
                share: step / steps,
                loss: validation.loss,
                bits: validation.bitsPerDimension ?? null,
              },
            ]
          : [],
      ),
    ),
  );
}

/** What `tarflow blocks` measured: a line for each block, from both starts, with CRM and IGM. */
export async function blocksFrame(): Promise<DataFrame> {
  const study = await readRecord('blocks', resultToRead(path.join('acceleration', 'blocks.json')));
  if (!study) throw new UserError('Blocks were not measured yet', 'Run `npx tarflow blocks`');
  return frameOf(
    study.rows.map(({ latent, zeros, zerosLessLatent, igm, factors, ...row }) => ({
      ...row,
      iterations: latent.mean,
      'their error': latent.error,
      most: latent.most,
      'from zeros': zeros.mean,
      'from zeros less latent': zerosLessLatent.mean,
      'error of that': zerosLessLatent.error,
      'IGM says': igm.says,
      'early factor': factors.early,
      'late factor': factors.late,
    })),
  );
}

/** Rows as a data frame. Polars is loaded where it is used: the packed library does not bring it. */
async function frameOf(rows: Record<string, unknown>[]): Promise<DataFrame> {
  const { default: pl } = await import('nodejs-polars');
  return pl.readRecords(rows);
}
