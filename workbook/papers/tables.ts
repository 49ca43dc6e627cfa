import { gsJacobi } from './gs-jacobi.js';
import type { Paper, Table } from './paper.js';
import { selectiveJacobi } from './selective-jacobi.js';
import { starflow } from './starflow.js';
import { tarflow } from './tarflow.js';

/** All papers, in the order of the workbook. */
export const papers: readonly Paper[] = [tarflow, gsJacobi, selectiveJacobi, starflow];

/**
 * The table of an id.
 * @throws Error where no paper has it
 */
export function tableOf(id: string): Table {
  const found = papers.flatMap(({ tables }) => tables).find((table) => table.id === id);
  if (!found) throw new Error(`No paper has the table '${id}'`);
  return found;
}
