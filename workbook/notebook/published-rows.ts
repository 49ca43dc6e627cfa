import { type PaperScale, type PublishedFigure, placeText, tableOf } from '../papers/index.js';
import { showTable } from './tables.js';

/**
 * What a paper trained for a row of its table, as far as it is known.
 * @throws Error where it is not
 */
export function publishedScale(table: string, row: string): PaperScale {
  const scale = tableOf(table).rows.find(({ name }) => name === row)?.paper;
  if (!scale) {
    throw new Error(
      `${table}, ${row}: the paper's scale is not known. Add it to workbook/papers, or take another row.`,
    );
  }
  return scale;
}

/** A line of a published table: the name of a model, and figures by the names of columns. */
export type PublishedRow = Record<string, string | number | undefined>;

/**
 * Figures of a paper's table as rows to show, a column for each of several figures of a row.
 *
 * @param columns the name of a column for a figure, or undefined to leave it out
 * @throws Error where no paper has the table
 */
export function publishedRows(
  table: string,
  columns: (figure: PublishedFigure) => string | undefined,
): PublishedRow[] {
  return tableOf(table).rows.map(({ name, setting, published }) => ({
    'published model': name,
    ...(setting !== undefined && { setting }),
    ...Object.fromEntries(
      published.flatMap((figure): [string, number][] => {
        const column = columns(figure);
        return column === undefined ? [] : [[column, figure.value]];
      }),
    ),
  }));
}

/**
 * Shows figures of a paper's table as printed there, and says where they stand: theirs, not ours.
 *
 * @param columns as of {@link publishedRows}
 * @param note what a reader has to know besides
 * @throws Error where no paper has the table
 */
export function showPublished(
  table: string,
  columns: (figure: PublishedFigure) => string | undefined,
  note?: string,
): void {
  const { title, rows } = tableOf(table);
  const places = rows.flatMap(({ published }) => published.map(({ source }) => placeText(source)));
  const caption = `Published, not ours: ${title} (${[...new Set(places)].join('; ')})`;
  const shown = publishedRows(table, columns);
  const asPrinted = (value: unknown) => (value === undefined ? '–' : String(value));
  const names = [...new Set(shown.flatMap(Object.keys))];
  showTable(shown, {
    caption: note === undefined ? caption : `${caption}; ${note}`,
    format: Object.fromEntries(names.map((name) => [name, asPrinted])),
  });
}
