import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import { type Acceleration, type AccelerationRow, readRecord } from './record.js';
import { resultsFolder } from './results-folder.js';

/** A table of `results/acceleration/`. */
export interface RecordedTable {
  model: string;
  table: Acceleration;
}

/**
 * What `tarflow accelerate` measured over the loop that XLA compiles: a table for each flow and batch, of
 * the files `MODEL-xla.json`.
 */
export async function readAccelerations(): Promise<RecordedTable[]> {
  const folder = path.join(resultsFolder(), 'acceleration');
  const files = (await readdir(folder)).filter((file) => file.endsWith('-xla.json')).sort();
  const records = files.map(async (file) => {
    const record = await readRecord('acceleration', path.join(folder, file));
    return (record?.tables ?? []).map((table) => ({
      model: path.basename(file, '-xla.json'),
      table,
    }));
  });
  return (await Promise.all(records)).flat();
}

/**
 * The row of a strategy.
 * @throws RangeError where the table has none
 */
export function strategyRow(
  { rows }: Pick<Acceleration, 'rows'>,
  strategy: string,
): AccelerationRow {
  const row = rows.find((each) => each.strategy === strategy);
  if (row) return row;
  const names = rows.map((each) => `'${each.strategy}'`).join(', ');
  throw new RangeError(`The table has no row '${strategy}'. Expected one of ${names}.`);
}
