import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { executeNotebook, temporaryFolder } from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { Progress } from '../../data-scripts/lib/progress.mjs';
import { runWorkbook } from '../../data-scripts/lib/workbook.mjs';
import { madeNotebook } from './made-notebook.mjs';

const claim = 'deep-and-shallow';
const name = 'reports/08-deep-and-shallow.ipynb';
const flow = 'FD, deep near noise';
const even = 'FD, even';
/** What is committed; the made-up notebooks give it back, or something else. */
const committed = JSON.parse(
  readFileSync(path.join(projectRoot, 'results', 'claims', `${claim}.json`), 'utf8'),
).figures;

/** @type {string} */
let folder;
/** @type {string[]} */
let shown;

beforeEach(() => {
  folder = temporaryFolder(projectRoot, 'workbook');
  shown = [];
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/**
 * Runs a made-up notebook in the place of a report as `npm run workbook` does.
 *
 * @param {string[]} cells
 * @param {boolean} [judge]
 */
async function run(cells, judge = true) {
  const notebook = path.join(folder, 'notebooks', name);
  mkdirSync(path.dirname(notebook), { recursive: true });
  writeFileSync(notebook, madeNotebook(cells));
  const stream = { isTTY: false, write: (/** @type {string} */ text) => shown.push(text) };
  const reproduction = path.join(folder, 'reproduction');
  const context = {
    root: projectRoot,
    cache: '',
    // Whatever this test itself runs under.
    env: { ...process.env, TARFLOW_QUICK: '' },
    progress: new Progress(/** @type {any} */ (stream)),
  };
  const status = await runWorkbook(context, {
    notebooks: [notebook],
    executed: path.join(reproduction, 'notebooks'),
    results: path.join(reproduction, 'results'),
    report: path.join(reproduction, 'report.txt'),
    short: false,
    judge,
  });
  /** @param {string[]} names */
  const text = (...names) => {
    const file = path.join(reproduction, ...names);
    return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
  };
  return { status, notebook, text };
}

/**
 * @param {Record<string, number>} figures
 * @param {string} [imports] with types, or, sooner there, without
 */
const recording = (figures, imports = untyped) => [
  `${imports}\nawait startEngine();`,
  `await recordClaim('${claim}', ${JSON.stringify(figures)}, { configuration: {}, seed: 1, cost: {} });`,
  "import * as fs from 'node:fs';\nfs.mkdirSync(resultFile('pictures'));\nfs.writeFileSync(resultFile('pictures/05.png'), '');",
];

const typed = `import { startEngine } from 'tarflow';
import { recordClaim, resultFile, resultsTable } from 'tarflow/workbook';`;
const untyped = `const { startEngine } = require('tarflow');
const { recordClaim, resultFile, resultsTable } = require('tarflow/workbook');`;

/** What git sees that is changed in the checkout. */
const changes = () =>
  execFileSync('git', ['status', '--porcelain', '--', 'notebooks', 'results'], {
    cwd: projectRoot,
    encoding: 'utf8',
  });

test('a run leaves the checkout as it is, and reports what it computed and what it read', async () => {
  const before = changes();
  const { status, notebook, text } = await run(recording({ [flow]: committed[flow] }, typed));
  expect(shown.join('')).toContain('cell 1 of 3, time left unknown');
  expect(status).toBe(0);
  expect(changes()).toBe(before);
  expect(JSON.parse(readFileSync(notebook, 'utf8')).cells[0].execution_count).toBeNull();
  expect(JSON.parse(`${text('notebooks', name)}`).cells).toHaveLength(3);
  expect(text('results', 'pictures', '05.png')).toBe('');
  expect(text('results', 'claims', `${claim}.json`)).toContain(`${committed[flow]}`);

  const report = `${text('report.txt')}`;
  expect(shown.join('')).toContain(report);
  const outcome = (/** @type {string} */ figure) =>
    report.split('\n').find((line) => line.startsWith(claim) && line.includes(`  ${figure}  `));
  expect(outcome(flow)).toMatch(/computed +within$/);
  expect(outcome(even)).toMatch(/read +–$/);
  expect(report).toContain('1 of 1 figures');
  const times = JSON.parse(`${text('results', 'cell-times.json')}`)[name];
  expect(Object.keys(times)).toEqual(['cell-0', 'cell-1', 'cell-2']);
});

test('a changed notebook that is run by hand writes to scratch/ and leaves the evidence alone', async () => {
  const before = changes();
  const own = recording({ [flow]: 0.5 });
  own.push(`const rows = await resultsTable(['${claim}']);
console.log(rows.map(({ ours }) => ours), resultFile('pictures'));`);
  own[2] = own[2]?.replace("'pictures')", "'pictures'), { recursive: true }") ?? '';
  const notebook = path.join(folder, 'notebooks', name);
  mkdirSync(path.dirname(notebook), { recursive: true });
  writeFileSync(notebook, madeNotebook(own));
  const env = { ...process.env, TARFLOW_QUICK: '', TARFLOW_RESULTS: '' };
  const output = path.join(folder, 'executed.ipynb');
  const { error } = await executeNotebook(projectRoot, notebook, env, { output });
  expect(error).toBeUndefined();
  expect(changes()).toBe(before);
  const text = JSON.stringify(JSON.parse(readFileSync(output, 'utf8')).cells[3].outputs);
  // Its own figure, and none of the committed ones beside it.
  expect(text).toContain('[ 0.5 ]');
  expect(text).toContain(path.join(projectRoot, 'scratch', 'pictures'));
});

test('a figure outside its tolerance is named and sets the status', async () => {
  const figures = { [flow]: committed[flow] + 1, [even]: committed[even] };
  const { status, text } = await run(recording(figures));
  expect(status).toBe(1);
  expect(text('report.txt')).toContain(`✗ ${claim}: '${flow}' is outside its tolerance`);
  expect(text('report.txt')).toContain('1 of 2 figures');
});

test('what an earlier run recorded does not count; a run in place reports, and does not judge', async () => {
  const claims = path.join(folder, 'reproduction', 'results', 'claims');
  mkdirSync(claims, { recursive: true });
  const stale = path.join(claims, `${claim}.json`);
  writeFileSync(stale, readFileSync(path.join(projectRoot, 'results', 'claims', `${claim}.json`)));
  const { status, text } = await run(["console.log('records nothing');"], false);
  expect(status).toBe(0);
  expect(existsSync(stale)).toBe(false);
  expect(text('report.txt')).toContain(`✗ ${claim}: '${flow}' was not recorded`);
});

test('a cell that throws ends the run, with its message', async () => {
  const { status, text } = await run(["throw new Error('deliberate');"]);
  expect(status).toBe(1);
  expect(shown.join('')).toMatch(/08-deep-and-shallow\.ipynb stopped after .*deliberate/s);
  expect(text('notebooks', name)).toBeUndefined();
  expect(text('report.txt')).toBeUndefined();
});
