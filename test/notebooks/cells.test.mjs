import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { listNotebooks } from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { madeNotebook } from './made-notebook.mjs';

/** The most that a code cell may have. */
const most = { lines: 40, 'characters in a line': 120 };
const folder = path.join(projectRoot, 'notebooks');

/**
 * Where code cells of a notebook have more of something than they may, in words.
 *
 * @param {string} text of its file
 */
function excesses(text) {
  /** @type {{ id: string, cell_type: string, source: string | string[] }[]} */
  const cells = JSON.parse(text).cells;
  return cells.flatMap(({ id, cell_type, source }, number) => {
    if (cell_type !== 'code') return [];
    const lines = [source].flat().join('').trimEnd().split('\n');
    const characters = Math.max(...lines.map((line) => [...line].length));
    /** @type {typeof most} */
    const counts = { lines: lines.length, 'characters in a line': characters };
    return /** @type {(keyof typeof most)[]} */ (Object.keys(most))
      .filter((what) => counts[what] > most[what])
      .map((what) => `cell ${number} (${id}) has ${counts[what]} ${what}`);
  });
}

const limits = Object.entries(most).map(([what, count]) => `${count} ${what}`);
describe.runIf(existsSync(folder))(`no code cell has more than ${limits.join(' or ')}`, () => {
  const files = existsSync(folder) ? listNotebooks(folder) : [];
  test.each(files.map((file) => [path.basename(file), file]))('in %s', (_name, file) => {
    expect(excesses(readFileSync(file, 'utf8'))).toEqual([]);
  });
});

test('the check counts lines, and characters in the longest', () => {
  const lines = (/** @type {number} */ count) => Array(count).fill('1;').join('\n');
  const line = (/** @type {number} */ length) => `1;\n//${'–'.repeat(length - 2)}\n2;`;
  const short = [lines(most.lines), `${lines(most.lines)}\n`, line(most['characters in a line'])];
  expect(excesses(madeNotebook(short))).toEqual([]);
  const long = [lines(most.lines + 1), '1;', line(most['characters in a line'] + 1)];
  expect(excesses(madeNotebook(long))).toEqual([
    'cell 0 (cell-0) has 41 lines',
    'cell 2 (cell-2) has 121 characters in a line',
  ]);
});
