/** Rows of a table: named values. Columns appear in the order in which their names first occur. */
export type TableRows = readonly object[];

type Records = readonly Record<string, unknown>[];

/** A polars data frame, or anything else that can return its rows. */
export interface Frame {
  toRecords(): Record<string, unknown>[];
}

export interface TableOptions {
  caption?: string;
  /** How to write the values of a column; {@link formatValue} writes the others. */
  format?: Record<string, (value: unknown) => string>;
}

/** A table as lines of text, words to the left and numbers to the right. */
export function tableText(table: TableRows | Frame, options: TableOptions = {}): string {
  const { columns, texts, numeric } = tableCells(table, options);
  return plainText(columns, texts, numeric, options.caption);
}

/** The columns of a table, its values as they are written, and which columns hold numbers alone. */
export function tableCells(table: TableRows | Frame, options: TableOptions = {}) {
  const rows = rowsOf(table);
  const columns = [...new Set(rows.flatMap(Object.keys))];
  const texts = rows.map((row) =>
    columns.map((column) => (options.format?.[column] ?? formatValue)(row[column])),
  );
  const numeric = columns.map(
    (column) =>
      rows.every((row) => isAbsent(row[column]) || typeof row[column] === 'number') &&
      rows.some((row) => typeof row[column] === 'number'),
  );
  return { columns, texts, numeric };
}

/**
 * A value as a table shows it: whole numbers in groups of three digits, others with four significant
 * digits, very large and very small ones with an exponent, and an absent value as a dash.
 */
export function formatValue(value: unknown): string {
  if (isAbsent(value)) return '–';
  if (typeof value !== 'number') return String(value);
  const magnitude = Math.abs(value);
  if (Number.isInteger(value) && magnitude < 1e15) return value.toLocaleString('en-US');
  if (!Number.isFinite(value)) return String(value);
  if (magnitude < 1e-3 || magnitude >= 1e6) return value.toExponential(2);
  const digits = Math.max(0, 3 - Math.floor(Math.log10(magnitude)));
  return value.toLocaleString('en-US', {
    minimumFractionDigits: Math.min(digits, 6),
    maximumFractionDigits: Math.min(digits, 6),
  });
}

/** The rows of a table or a frame. */
export function rowsOf(table: TableRows | Frame): Records {
  // A polars frame is a proxy that hides its own methods, so the check is for an array.
  return Array.isArray(table) ? (table as Records) : (table as Frame).toRecords();
}

/** A value that a row lacks. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

function plainText(
  columns: string[],
  texts: string[][],
  numeric: boolean[],
  caption: string | undefined,
): string {
  const widths = columns.map((column, i) =>
    Math.max(column.length, ...texts.map((line) => line[i]?.length ?? 0)),
  );
  const line = (cells: string[]) =>
    cells
      .map((text, i) => {
        const width = widths[i] ?? 0;
        return numeric[i] ? text.padStart(width) : text.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '─'.repeat(width)).join('  ');
  return [
    ...(caption === undefined ? [] : [caption]),
    line(columns),
    rule,
    ...texts.map(line),
  ].join('\n');
}

/** Words in lines, with as many in each as fit; a word that is too long stands alone. */
export function wordsInLines(words: readonly string[], fits: (line: string) => boolean): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const longer = `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && fits(longer)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
