import { existsSync } from 'node:fs';
import { z } from 'zod';
import { readBytes, writeAtomically } from '../../src/core/files.js';
import { checkedJson } from '../../src/core/schema.js';
import { type LeftOut, recipesOf, type Scale } from './recipe.js';
import type { RowResult } from './reproduce.js';

/** What `tarflow reproduce` made of a table. */
export interface ReproducedTable {
  table: string;
  scale: Scale;
  /** Tiny models on random images, whose figures mean nothing. */
  tiny: boolean;
  results: RowResult[];
  leftOut: LeftOut[];
}

const rowSchema = z.looseObject({
  row: z.string(),
  model: z.string(),
  parameters: z.number(),
  settings: z.looseObject({ seeds: z.array(z.number()), engine: z.looseObject({}) }),
  figures: z.array(z.looseObject({ measure: z.string() })),
  seconds: z.number(),
});
const content = z.looseObject({ results: z.array(rowSchema) });

/**
 * The rows that a table's file holds; none where there is no file.
 * @throws UserError for a file that is damaged, or was written before rows said their settings
 */
export async function readRows(file: string): Promise<RowResult[]> {
  if (!existsSync(file)) return [];
  const text = new TextDecoder().decode(await readBytes(file));
  const remedy = 'Delete it, and its rows are filled in again, with what was kept of them';
  const { results } = checkedJson(content, text, file, remedy);
  return results as unknown as RowResult[];
}

/**
 * Writes a row into a table's file, in the order of its rows. The others stay as the file has them: each
 * says by itself how it was measured.
 *
 * @returns what the file holds now
 * @throws UserError as {@link readRows}
 */
export async function writeRow(
  file: string,
  made: RowResult,
  table: Omit<ReproducedTable, 'results' | 'leftOut'>,
): Promise<ReproducedTable> {
  const rows = recipesOf(table.table, { scale: table.scale });
  const known = [made, ...(await readRows(file))];
  const results = rows.flatMap(({ row }) => known.find((each) => each.row === row) ?? []);
  const leftOut = rows.filter((each): each is LeftOut => each.kind === 'left out');
  const whole = { ...table, results, leftOut };
  await writeAtomically(file, `${JSON.stringify(whole, null, 2)}\n`);
  return whole;
}
