import type { MeasureName } from '../measures.js';
import type { PublishedFigure, Row, Source, Table, Verdict } from '../paper.js';
import type { Agreement } from '../tolerances.js';

/** One number that a notebook measures, as far as it is known before it is measured. */
export interface MeasuredFigure {
  /** For example 'bits per dimension, test split'. Unique within its measurement. */
  name: string;
  /** For example 'bits/dim', 'nats', 's', 'images/s'; '' for a plain number. */
  unit: string;
  agreement: Agreement;
  /** What a paper reports for the same quantity: for orientation, of another model or data set. */
  published?: { value: number; source: string };
}

/** What a notebook measures for a claim: the unchanging part of a file of `results/claims/`. */
export interface Measurement {
  /** Names the file, and begins with the number of the notebook. */
  id: string;
  title: string;
  /** One sentence. */
  claim: string;
  /** What came out, where no claim of a paper says it with a verdict. */
  found?: Verdict;
  figures: readonly MeasuredFigure[];
  /** What a reader types to measure it again. */
  command: string;
}

/** The command that runs a notebook. */
export function workbookCommand(notebook: string, options = ''): string {
  return `npm run workbook --${options} --only ${notebook}`;
}

/** A figure of a measurement. */
export function figure(
  name: string,
  unit: string,
  agreement: Agreement,
  published?: MeasuredFigure['published'],
): MeasuredFigure {
  return { name, unit, agreement, ...(published && { published }) };
}

/**
 * A figure of a paper's table, to stand beside ours.
 *
 * @param of which of several figures of that measure
 * @throws Error where the table has none, or several
 */
export function besidePublished(
  table: Table,
  row: string,
  measure: MeasureName,
  of?: string,
): { value: number; source: string } {
  const found = table.rows.find(({ name }) => name === row);
  const figures = (found?.published ?? []).filter(
    (one) => one.measure === measure && one.of === of,
  );
  const [published] = figures;
  if (!found || !published || figures.length > 1) {
    throw new Error(`${table.id}, ${row}: ${figures.length} figures '${measure}' of ${of}`);
  }
  return { value: published.value, source: sourceText(found, published) };
}

/**
 * A published speed-up of a method, to stand beside one of ours. Each is over another sequential
 * loop, so its source says whose.
 * @throws Error as {@link besidePublished}
 */
export function publishedSpeedup(
  table: Table,
  row: string,
  method: string,
): { value: number; source: string } {
  const { value, source } = besidePublished(table, row, 'speed-up', method);
  return { value, source: `${source}, over the authors’ own sequential loop` };
}

/** A work and a place in it, and how it came here where it was not read there. */
export function placeText({ work, place, known }: Source): string {
  const how = { read: '', quoted: ' (quoted)', remembered: ' (quoted from memory)' };
  return `${work}, ${place}${how[known]}`;
}

/** Where a published figure stands and what it is of, in one line. */
export function sourceText({ name, setting }: Row, { of, source }: PublishedFigure): string {
  return [placeText(source), name, of, setting].filter((part) => part !== undefined).join(', ');
}
