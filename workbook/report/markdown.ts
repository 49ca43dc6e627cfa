import { mean, standardErrorOfMean } from '../../src/evaluation/statistics.js';
import { formatValue } from '../../src/show/table.js';
import { recordedEvidence } from '../claims/evidence.js';
import type { OurReference, Sentence } from '../claims/paper-claim.js';
import { twoDigits } from '../notebook/numbers-in-text.js';
import { type PublishedReference, publishedFigure } from '../papers/index.js';
import { readClaim } from '../records/claim.js';
import { readCommittedTable } from '../records/table.js';

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
  return sentence.map((part) => (typeof part === 'string' ? part : publishedValue(part))).join('');
}

/** A figure of `results/claims/`, as its reference wants it written. */
async function ourFigure(reference: OurReference): Promise<string> {
  const { figure, decimals, percent } = reference;
  const { value, error } = await recordedFigure(reference);
  if (value === undefined || (reference.error && error === undefined)) {
    const what = value === undefined ? 'figure' : 'standard error of';
    throw new Error(`${JSON.stringify(reference.measurement)} has no ${what} '${figure}'`);
  }
  const scale = percent ? 100 : 1;
  const shown = reference.error && error !== undefined ? scale * error : undefined;
  const text = withError(scale * value, shown, percent ? (decimals ?? 0) : decimals);
  return percent ? `${text} %` : text;
}

async function recordedFigure({ measurement, figure, measure = 'FID' }: OurReference) {
  if (typeof measurement === 'string') {
    const claim = await readClaim(measurement);
    return { value: claim?.figures[figure], error: claim?.errors[figure] };
  }
  if ('computed' in measurement) {
    return { value: measurement.computed(await recordedEvidence()), error: undefined };
  }
  const { values } = (await readCommittedTable(`${measurement.table}-workbook`)).figure(
    figure,
    measure,
  );
  return { value: mean(values), error: standardErrorOfMean(values) };
}

/** '77 ± 1', both with some decimals, and with more where the error would be zero. */
function withError(value: number, error: number | undefined, decimals: number | undefined): string {
  if (decimals === undefined) {
    return `${formatValue(value)}${error === undefined ? '' : ` ± ${twoDigits(error)}`}`;
  }
  if (error === undefined) return value.toFixed(decimals);
  const needed = error > 0 ? Math.max(0, Math.ceil(-Math.log10(2 * error))) : 0;
  const digits = Math.max(decimals, needed);
  return `${value.toFixed(digits)} ± ${error.toFixed(digits)}`;
}

function publishedValue({ table, row, measure, of }: PublishedReference): string {
  const { value, known } = publishedFigure(table, row, measure, of);
  return `${value}${known === 'remembered' ? ' (from memory)' : ''}`;
}
