import { display, type MimeBundle } from '../../src/show/display.js';
import { escapeXml } from '../../src/show/sharp.js';
import {
  type Frame,
  type TableOptions,
  type TableRows,
  tableCells,
  tableText,
} from '../../src/show/table.js';

/** Shows all rows of a table below the cell; in plain Node.js it prints them. */
export function showTable(table: TableRows | Frame, options: TableOptions = {}): void {
  display(tableBundle(table, options));
}

/** A table as HTML and as text. */
export function tableBundle(table: TableRows | Frame, options: TableOptions = {}): MimeBundle {
  const { columns, texts, numeric } = tableCells(table, options);
  return {
    'text/html': html(columns, texts, numeric, options.caption),
    'text/plain': tableText(table, options),
  };
}

/** An HTML table with words to the left, numbers to the right, and a caption. */
function html(
  columns: string[],
  texts: string[][],
  numeric: boolean[],
  caption: string | undefined,
): string {
  const row = (cells: string[], tag: 'th' | 'td') =>
    `<tr>${cells
      .map((text, i) => {
        const side = numeric[i] ? 'right' : 'left';
        return `<${tag} style="text-align: ${side}">${escapeXml(text)}</${tag}>`;
      })
      .join('')}</tr>`;
  // Wider than a narrow table, so that a caption does not stand in many short lines.
  const style =
    'caption-side: top; text-align: left; font-weight: bold; padding: 4px 0; ' +
    'width: max-content; max-width: 48em';
  const above =
    caption === undefined ? '' : `<caption style="${style}">${escapeXml(caption)}</caption>`;
  const body = texts.map((cells) => row(cells, 'td')).join('\n');
  return `<table>${above}<thead>${row(columns, 'th')}</thead>\n<tbody>${body}</tbody></table>`;
}
