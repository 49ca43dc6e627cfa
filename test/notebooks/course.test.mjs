import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  judgeUnit,
  listUnits,
  readNotebook,
  sourceFile,
  studentsFile,
  studentsVersions,
  unitKey,
} from '../../data-scripts/lib/course.mjs';
import { executeNotebook, temporaryFolder } from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { newContext } from '../../data-scripts/lib/steps.mjs';

const context = newContext();
const units = listUnits(projectRoot);
const nightly = Boolean(process.env.TARFLOW_NIGHTLY);

/** The most that a unit may have; pixels of the page. */
const most = { cells: 25, words: 1200, width: 700 };

/** @typedef {import('../../data-scripts/lib/course.mjs').Cell} Cell */

/** @param {Cell} cell */
const textOf = ({ source }) => [source].flat().join('');

/**
 * What is wrong with a unit's form, in words.
 *
 * @param {ReturnType<typeof readNotebook>} notebook
 */
function faultsOfForm({ cells }) {
  const texts = cells.filter((cell) => cell.cell_type === 'markdown').map(textOf);
  const words = texts.join(' ').split(/\s+/).length;
  const pictures = cells.flatMap(({ id, outputs = [] }) =>
    outputs
      .filter(({ data }) => data?.['image/png'])
      .map(({ metadata }) => ({ id, ...metadata?.['image/png'] })),
  );
  const withImports = cells.filter((cell) => /^import /m.test(textOf(cell)));
  const code = cells.filter((cell) => cell.cell_type === 'code').map(textOf);
  return [
    cells.length > most.cells && `${cells.length} cells`,
    words > most.words && `${words} words`,
    ...cells.map(({ id, metadata: { jupyter, nbgrader } }) => {
      const tells = nbgrader?.grade && !nbgrader.solution && !jupyter?.source_hidden;
      return tells && `${id} shows its hints: fold it`;
    }),
    withImports.length !== 1 && `${withImports.length} cells with imports, expected one`,
    !texts.some((text) => text.includes('<details>')) && 'no answer that is folded away',
    /recordClaim/.test(code.join('\n')) && 'it records a claim',
    ...pictures.map(({ id, width }) => !(width <= most.width) && `${id} is ${width} wide`),
    ...pictures.map(({ id, alt }) => !alt && `${id} shows a picture without alternative text`),
    ...cells.map(({ id, metadata: { nbgrader } }) => {
      return nbgrader && nbgrader.grade_id !== id && `${id} is ${nbgrader.grade_id} to nbgrader`;
    }),
    ...cells.map(({ id, outputs }) => {
      return JSON.stringify(outputs ?? []).includes('💡') && `${id} gives a hint on its own code`;
    }),
    ...strayNeeds(cells),
  ].filter((fault) => fault);
}

/**
 * Checks that run only with the cell of a blank that they do not ask for: one that does not compile would cost the
 * points of both.
 *
 * @param {readonly Cell[]} cells
 */
function strayNeeds(cells) {
  const code = cells.filter(({ cell_type }) => cell_type === 'code');
  const text = code.map((cell) => `${textOf(cell)}\n`).join('');
  let end = 0;
  const ends = code.map((cell) => (end += textOf(cell).length + 1));
  const cellAt = (/** @type {number} */ place) => ends.findIndex((each) => place < each);
  const file = ts.createSourceFile('unit.ts', text, ts.ScriptTarget.Latest, true);
  const options = { noLib: true, noResolve: true };
  const getSourceFile = (/** @type {string} */ name) => (name === 'unit.ts' ? file : undefined);
  const host = { ...ts.createCompilerHost(options), getSourceFile };
  const checker = ts.createProgram(['unit.ts'], options, host).getTypeChecker();
  const needs = code.map(() => /** @type {Set<number>} */ (new Set()));
  /** @param {ts.Node} node */
  const visit = (node) => {
    const declared = ts.isIdentifier(node) && checker.getSymbolAtLocation(node)?.declarations?.[0];
    if (declared) needs[cellAt(node.getStart())]?.add(cellAt(declared.getStart()));
    ts.forEachChild(node, visit);
  };
  visit(file);
  /** @type {(index: number, found?: Set<number>) => Set<number>} */
  const allNeeds = (index, found = new Set()) => {
    for (const each of needs[index] ?? []) if (!found.has(each)) allNeeds(each, found.add(each));
    return found;
  };
  const told = (/** @type {number} */ index) => code[index]?.metadata.nbgrader;
  return code.flatMap(({ id }, index) => {
    if (!told(index)?.grade || told(index)?.solution) return [];
    const stray = [...allNeeds(index)].filter(
      (i) => told(i)?.solution && id !== `check-${code[i]?.id}`,
    );
    return stray.map((i) => `${id} needs the cell ${code[i]?.id}`);
  });
}

describe('the course', () => {
  /** @type {Map<string, string>} */
  let generated;
  /** @type {Record<string, { unit: string, commit: string, pass: boolean, minutes: number, tslab: boolean }>} */
  let results;

  beforeAll(async () => {
    generated = await studentsVersions(context, units);
    results = JSON.parse(readFileSync(path.join(projectRoot, 'results', 'course.json'), 'utf8'));
  }, 5 * 60_000);

  test.each(units)('%s keeps to the form of a unit', (unit) => {
    expect(faultsOfForm(readNotebook(sourceFile(projectRoot, unit)))).toEqual([]);
  });

  test.each(units)("the students' version of %s is what nbgrader makes of its source", (unit) => {
    expect(readFileSync(studentsFile(projectRoot, unit), 'utf8')).toBe(generated.get(unit));
    expect(generated.get(unit)).not.toMatch(/BEGIN (SOLUTION|HIDDEN TESTS)/);
  });

  test.each(units)('%s has passed npm run course as it is now, under both kernels', (unit) => {
    const expected = { unit: unitKey(projectRoot, unit), pass: true, tslab: true };
    expect(results[unit]).toMatchObject(expected);
    expect(results[unit]?.minutes).toBeLessThanOrEqual(10);
    // Of a clean checkout: nothing but the commit stands there.
    expect(results[unit]?.commit).toMatch(/^[0-9a-f]{40}$/);
  });

  // By day two units, and the first wrong answer to each blank; at night all.
  test.concurrent.each(nightly ? units : units.slice(0, 2))(
    'nbgrader gives right answers all points in %s, and others none and a helpful message',
    async (unit) => {
      const { points, faults } = await judgeUnit(context, unit, nightly ? Infinity : 1);
      expect(faults).toEqual([]);
      expect(points).toBeGreaterThan(0);
    },
  );

  test.runIf(nightly).each(units)('%s runs under plain tslab', async (unit) => {
    const folder = temporaryFolder(projectRoot, 'tslab');
    const options = { output: path.join(folder, `${unit}.ipynb`), kernel: 'tslab-plain' };
    const source = sourceFile(projectRoot, unit);
    const { error } = await executeNotebook(projectRoot, source, process.env, options);
    rmSync(folder, { recursive: true });
    expect(error).toBeUndefined();
  });
});
