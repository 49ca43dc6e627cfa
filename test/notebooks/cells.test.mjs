import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { listNotebooks } from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { madeNotebook } from './made-notebook.mjs';

const mostLines = 40;
const folder = path.join(projectRoot, 'notebooks');

/**
 * The code cells of a notebook that are too long, in words.
 *
 * @param {string} text of its file
 */
function longCells(text) {
  /** @type {{ id: string, cell_type: string, source: string | string[] }[]} */
  const cells = JSON.parse(text).cells;
  return cells.flatMap(({ id, cell_type, source }, number) => {
    const lines = [source].flat().join('').trimEnd().split('\n').length;
    return cell_type === 'code' && lines > mostLines
      ? [`cell ${number} (${id}) has ${lines} lines`]
      : [];
  });
}

describe.runIf(existsSync(folder))(`no code cell has more than ${mostLines} lines`, () => {
  const files = existsSync(folder) ? listNotebooks(folder) : [];
  test.each(files.map((file) => [path.basename(file), file]))('in %s', (_name, file) => {
    expect(longCells(readFileSync(file, 'utf8'))).toEqual([]);
  });
});

test('the check counts lines', () => {
  const lines = (/** @type {number} */ count) => Array(count).fill('1;').join('\n');
  const made = madeNotebook([lines(mostLines), `${lines(mostLines)}\n`, lines(mostLines + 1)]);
  expect(longCells(made)).toEqual(['cell 2 (cell-2) has 41 lines']);
});
