import { gsJacobi } from './gs-jacobi.js';
import type { MeasuredFigure } from './measurements/measurement.js';
import type { MeasureName, Paper, PublishedFigure, Row, Source, Table } from './paper-table.js';
import { selectiveJacobi } from './selective-jacobi.js';
import { starflow } from './starflow.js';
import { tarflow } from './tarflow.js';

export * from './agreement.js';
export * from './measurements/index.js';
export * from './measurements/measurement.js';
export * from './paper-table.js';
export * from './training-sets.js';

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

/**
 * A figure that a paper reports, for orientation: of another model or other data, and never ours.
 * Speed-ups are each over another sequential loop, so their source says whose.
 *
 * @param table the id of the table
 * @param row the name of the row in it
 * @param of which of several figures of that measure
 * @returns the value, where it stands, and how it came here
 * @throws Error where the table has no such figure, or several
 */
export function publishedFigure(
  table: string,
  row: string,
  measure: MeasureName,
  of?: string,
): { value: number; source: string; known: Source['known'] } {
  const found = tableOf(table).rows.find(({ name }) => name === row);
  const figures = found?.published.filter((one) => one.measure === measure && one.of === of) ?? [];
  const [figure] = figures;
  if (!found || !figure || figures.length > 1) {
    throw new Error(`${table}, ${row}: ${figures.length} figures '${measure}' of ${of}`);
  }
  const source = sourceText(found, figure);
  const over = measure === 'speed-up' ? ', over the authors’ own sequential loop' : '';
  return { value: figure.value, source: `${source}${over}`, known: figure.source.known };
}

/** What a paper reports for the same quantity as a figure of ours; undefined where none does. */
export function publishedOf({ published }: MeasuredFigure) {
  if (!published) return undefined;
  const { table, row, measure, of } = published;
  return publishedFigure(table, row, measure, of);
}

/** A work and a place in it, and how it came here where it was not read there. */
export function placeText({ work, place, known }: Source): string {
  const how = { read: '', quoted: ' (quoted)', remembered: ' (quoted from memory)' };
  return `${work}, ${place}${how[known]}`;
}

/** Where a published figure stands and what it is of, in one line. */
function sourceText({ name, setting }: Row, { of, source }: PublishedFigure): string {
  return [placeText(source), name, of, setting].filter((part) => part !== undefined).join(', ');
}
