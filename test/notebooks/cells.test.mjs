import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { listUnits, sourceFile } from '../../data-scripts/lib/course.mjs';
import { listNotebooks } from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { madeNotebook } from './made-notebook.mjs';

/** The most that a code cell may have. */
const most = { lines: 40, 'characters in a line': 120 };
const folder = path.join(projectRoot, 'notebooks');

/**
 * The code cells of a notebook.
 *
 * @param {string} text of its file
 */
function codeCells(text) {
  /** @type {{ id: string, cell_type: string, source: string | string[] }[]} */
  const cells = JSON.parse(text).cells;
  return cells.flatMap(({ id, cell_type, source }, number) =>
    cell_type === 'code' ? [{ id, number, source: [source].flat().join('') }] : [],
  );
}

/**
 * Where code cells of a notebook have more of something than they may, in words.
 *
 * @param {string} text of its file
 */
function excesses(text) {
  return codeCells(text).flatMap(({ id, number, source }) => {
    const lines = source.trimEnd().split('\n');
    const characters = Math.max(...lines.map((line) => [...line].length));
    /** @type {typeof most} */
    const counts = { lines: lines.length, 'characters in a line': characters };
    return /** @type {(keyof typeof most)[]} */ (Object.keys(most))
      .filter((what) => counts[what] > most[what])
      .map((what) => `cell ${number} (${id}) has ${counts[what]} ${what}`);
  });
}

/**
 * Code cells that open a test split without a line in the ledger, in words.
 *
 * @param {string} text of a notebook's file
 */
function unrecordedTestSplits(text) {
  return codeCells(text)
    .filter(({ source }) => /\b(loadDataset|openDataset)\([^;]*?,\s*'test'/s.test(source))
    .map(({ id }) => `cell ${id} opens a test split: take testImages, which writes it down`);
}

/**
 * Names in `{ name }` that a cell does not declare itself. tslab hands on what other cells declare as
 * properties of an object, and forgets that such a short form reads one: it type-checks, and fails when
 * it runs.
 *
 * @param {string} text of a notebook's file
 */
function foreignShorthands(text) {
  return codeCells(text).flatMap(({ id, source }) => {
    const file = ts.createSourceFile('cell.ts', source, ts.ScriptTarget.ES2022, true);
    const host = {
      ...ts.createCompilerHost({}),
      getSourceFile: (/** @type {string} */ name) => (name === 'cell.ts' ? file : undefined),
    };
    const checker = ts
      .createProgram(['cell.ts'], { noLib: true, noResolve: true }, host)
      .getTypeChecker();
    /** @type {string[]} */
    const found = [];
    const visit = (/** @type {ts.Node} */ node) => {
      if (ts.isShorthandPropertyAssignment(node)) {
        const symbol = checker.getShorthandAssignmentValueSymbol(node);
        const name = node.name.text;
        if (!symbol?.declarations?.length) found.push(`cell ${id}: write ${name}: ${name}`);
      }
      ts.forEachChild(node, visit);
    };
    visit(file);
    return found;
  });
}

describe.runIf(existsSync(folder))('the notebooks', () => {
  const units = listUnits(projectRoot).map((unit) => sourceFile(projectRoot, unit));
  const files = [...listNotebooks(folder), ...units];

  test.each(files.map((file) => [path.basename(file), file]))(
    '%s has short cells, test splits by testImages alone, and no shorthand of a foreign name',
    (_name, file) => {
      const text = readFileSync(file, 'utf8');
      const found = [excesses, unrecordedTestSplits, foreignShorthands].flatMap((of) => of(text));
      expect(found).toEqual([]);
    },
  );

  test('weigh at most 12 MB together', () => {
    const sizes = files.map((file) => statSync(file).size);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(12e6);
  });
});

describe('the check', () => {
  test('finds a test split that no one wrote down', () => {
    const opened = "const data = await loadDataset('fashion-mnist', 'test');";
    const inTurn = "const data = await loadDataset(\n  'fashion-mnist',\n  'test',\n);";
    const allowed = "const data = await testImages('fashion-mnist', {});";
    const other =
      "const data = await loadDataset('fashion-mnist', 'train');\nconst name = ['a', 'test'];";
    expect(unrecordedTestSplits(madeNotebook([opened, inTurn, allowed, other]))).toEqual([
      'cell cell-0 opens a test split: take testImages, which writes it down',
      'cell cell-1 opens a test split: take testImages, which writes it down',
    ]);
  });

  test('counts lines, and characters in the longest', () => {
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

  test('knows which names a cell declares', () => {
    const own =
      'import { a } from "m"; const b = 1; for (const c of []) f({ a, b, c }); (d) => ({ d });';
    const foreign = 'await record({ draws, cost: { seconds: seconds } });';
    expect(foreignShorthands(madeNotebook([own, foreign]))).toEqual([
      'cell cell-1: write draws: draws',
    ]);
  });
});
