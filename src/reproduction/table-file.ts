import { existsSync } from 'node:fs';
import { z } from 'zod';
import { readBytes, writeAtomically } from '../backend/files.js';
import { checkedJson } from '../backend/schema.js';
import { type LeftOut, recipesOf, type Scale } from './recipe.js';
import type { RowResult } from './reproduce.js';

/** What `tarflow reproduce` made of a table. */
export interface ReproducedTable {
  table: string;
  scale: Scale;
  /** Tiny models on random images, whose figures mean nothing. */
  tiny: boolean;
  engine: unknown;
  results: RowResult[];
  leftOut: LeftOut[];
}

const content = z.looseObject({ results: z.array(z.looseObject({ row: z.string() })) });

/**
 * Writes a table, in the order of its rows. Rows that were not made now stay as the file has them.
 *
 * @returns what the file holds now
 * @throws UserError for a file that is damaged
 */
export async function writeTable(file: string, made: ReproducedTable): Promise<ReproducedTable> {
  const rows = recipesOf(made.table, { scale: made.scale });
  const now = new Set(made.results.map(({ row }) => row));
  const kept = existsSync(file) ? (await readRows(file)).filter(({ row }) => !now.has(row)) : [];
  const results = rows.flatMap(
    ({ row }) => [...made.results, ...kept].find((each) => each.row === row) ?? [],
  );
  const leftOut = rows.filter((each): each is LeftOut => each.kind === 'left out');
  const whole = { ...made, results, leftOut };
  await writeAtomically(file, `${JSON.stringify(whole, null, 2)}\n`);
  return whole;
}

async function readRows(file: string): Promise<RowResult[]> {
  const text = new TextDecoder().decode(await readBytes(file));
  const remedy = 'Delete it, and its rows are filled in again';
  const { results } = checkedJson(content, text, file, remedy);
  return results as unknown as RowResult[];
}
