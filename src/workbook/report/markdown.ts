import type { OurReference, PublishedReference, Sentence } from '../../papers/index.js';
import { tableOf } from '../../papers/index.js';
import { readClaim } from '../claims.js';
import { formatValue } from '../table.js';
import { twoDigits } from '../words.js';

/** A table in Markdown: a row is an object whose keys are the columns. */
export function markdownTable(rows: readonly Record<string, string>[]): string {
  const columns = [...new Set(rows.flatMap(Object.keys))];
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [
    line(columns),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map((column) => row[column] ?? ''))),
  ].join('\n');
}

/**
 * A sentence with the figures that its references name.
 *
 * @throws Error for a figure that is not recorded
 */
export async function oursText(sentence: Sentence<OurReference>): Promise<string> {
  const parts = sentence.map((part) => (typeof part === 'string' ? part : ourFigure(part)));
  return (await Promise.all(parts)).join('');
}

/**
 * A sentence with the published figures that its references name.
 *
 * @throws Error for a figure that no paper's table has
 */
export function publishedText(sentence: Sentence<PublishedReference>): string {
  return sentence.map((part) => (typeof part === 'string' ? part : publishedFigure(part))).join('');
}

/** A figure of `results/claims/`, as its reference wants it written. */
export async function ourFigure(reference: OurReference): Promise<string> {
  const { measurement, figure, decimals, percent } = reference;
  const claim = await readClaim(measurement);
  const { value, error } = claim?.figures.find(({ name }) => name === figure) ?? {};
  if (value === undefined) throw new Error(`${measurement} has no figure '${figure}'`);
  if (reference.error && error === undefined) {
    throw new Error(`${measurement} has no standard error of '${figure}'`);
  }
  const scale = percent ? 100 : 1;
  const digits = percent ? (decimals ?? 0) : decimals;
  const text = digits === undefined ? formatValue(value) : (scale * value).toFixed(digits);
  const about = reference.error && error !== undefined ? errorText(scale * error, digits) : '';
  return `${text}${about}${percent ? ' %' : ''}`;
}

/** ' ± 0.03', with as many decimals as the figure, and more where that would be zero. */
function errorText(error: number, digits: number | undefined): string {
  const rounded = digits === undefined ? '0' : error.toFixed(digits);
  return ` ± ${Number(rounded) === 0 ? twoDigits(error) : rounded}`;
}

function publishedFigure({ table, row, measure, of }: PublishedReference): string {
  const figures = tableOf(table).rows.find(({ name }) => name === row)?.published ?? [];
  const found = figures.find((figure) => figure.measure === measure && figure.of === of);
  if (!found) throw new Error(`${table}, ${row}: no figure '${measure}' of ${of}`);
  return `${found.value}${found.source.known === 'remembered' ? ' (from memory)' : ''}`;
}
