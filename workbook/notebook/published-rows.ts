import { type PublishedFigure, placeText, tableOf } from '../papers/index.js';
import { showTable } from './tables.js';

/**
 * Shows figures of a paper's table as printed there, and says where they stand: theirs, not ours.
 *
 * @param columns the name of a column for a figure, or undefined to leave it out
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
  const shown = rows.map(({ name, setting, published }) => ({
    'published model': name,
    ...(setting !== undefined && { setting }),
    ...Object.fromEntries(
      published.flatMap((figure): [string, number][] => {
        const column = columns(figure);
        return column === undefined ? [] : [[column, figure.value]];
      }),
    ),
  }));
  const asPrinted = (value: unknown) => (value === undefined ? '–' : String(value));
  const names = [...new Set(shown.flatMap(Object.keys))];
  showTable(shown, {
    caption: note === undefined ? caption : `${caption}; ${note}`,
    format: Object.fromEntries(names.map((name) => [name, asPrinted])),
  });
}
