import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { readCellTimes, saveCellTimes, TimeLeft } from './cell-times.mjs';
import { executeNotebook, notebookName } from './notebooks.mjs';
import { formatSeconds } from './progress.mjs';

/**
 * @typedef {object} Run
 * @property {readonly string[]} notebooks their files, in the order in which they run
 * @property {string} results where they write figures, tables and pictures
 * @property {string} executed the folder of the executed notebooks
 * @property {string} report the file of the report
 * @property {boolean} short the largest samples are drawn smaller, and their figures read
 * @property {boolean} judge a figure that is outside its tolerance or missing is a failure
 */

/**
 * Executes notebooks and reports which of the committed figures came out again.
 *
 * @param {import('./steps.mjs').Context} context whose dist/ is built
 * @param {Run} run
 * @returns {Promise<number>} the exit status: 1 when a cell threw or a figure failed
 */
export async function runWorkbook(context, run) {
  const { notebooks, results, executed, report, short, judge } = run;
  const { root, env, progress } = context;
  /** @type {typeof import('../../workbook/report/reproduction.js')} */
  const { claimFiles, failures, recordedClaims, reproduction, reproductionText } = createRequire(
    path.join(root, 'package.json'),
  )('./dist/workbook/report/reproduction.js');
  const committedResults = path.join(root, 'results');
  const names = notebooks.map((notebook) => notebookName(notebook).replace(/\.ipynb$/, ''));
  const committed = await recordedClaims(names);
  // Only what this run records may count.
  if (results !== committedResults) {
    for (const file of claimFiles(results, names)) rmSync(file, { force: true });
  }
  const times = readCellTimes([committedResults, results], short);
  const cells = notebooks.flatMap((notebook) =>
    codeCells(notebook).map((cell) => ({ notebook: notebookName(notebook), cell })),
  );
  const left = new TimeLeft(times, cells);
  const variables = {
    ...env,
    TARFLOW_RESULTS: results,
    TARFLOW_SHORT: short ? '1' : '',
  };
  for (const notebook of notebooks) {
    const name = notebookName(notebook);
    const output = path.join(executed, name);
    mkdirSync(path.dirname(output), { recursive: true });
    const follow = follower(progress, name, left);
    progress.start(path.relative(root, notebook));
    const { seconds, error } = await executeNotebook(root, notebook, variables, {
      output,
      onCell: follow.onCell,
    }).finally(follow.stop);
    if (error !== undefined) {
      progress.fail();
      progress.note(
        `\n${path.relative(root, notebook)} stopped after ${formatSeconds(seconds)}; no file was written.`,
      );
      progress.note(error);
      return 1;
    }
    progress.finish();
    saveCellTimes(results, name, follow.seconds, short);
  }

  const figures = reproduction(names, committed, await recordedClaims(names, results));
  if (figures.length === 0) return 0;
  const text = reproductionText(figures);
  mkdirSync(path.dirname(report), { recursive: true });
  writeFileSync(report, text);
  progress.note(`\n${text}`);
  if (short) progress.note('Figures of large samples were read: -- --all computes them as well.');
  return judge && failures(figures).length > 0 ? 1 : 0;
}

/**
 * Shows a notebook's cells as they come, and times them.
 *
 * @param {import('./progress.mjs').Progress} progress
 * @param {string} notebook its file name
 * @param {TimeLeft} left
 */
function follower(progress, notebook, left) {
  /** @type {Record<string, number>} */
  const seconds = {};
  let part = { number: 0, count: 0, begun: 0 };
  const show = () => {
    const { number, count, begun } = part;
    if (number === 0) return;
    const running = (performance.now() - begun) / 1000;
    progress.part(number, count, `cell ${number} of ${count}, ${left.text(running)}`);
  };
  const clock = setInterval(show, 1000);
  /** @param {import('./notebooks.mjs').CellEvent} event */
  const onCell = ({ event, cell, number, count }) => {
    if (event === 'begin') {
      part = { number, count, begun: performance.now() };
      show();
      return;
    }
    const taken = (performance.now() - part.begun) / 1000;
    seconds[cell] = taken;
    left.done(notebook, cell, taken);
  };
  return { seconds, onCell, stop: () => clearInterval(clock) };
}

/**
 * The ids of a notebook's code cells that are executed.
 *
 * @param {string} notebook
 * @returns {string[]}
 */
function codeCells(notebook) {
  /** @type {{ cells: { id: string, cell_type: string, source: string | string[] }[] }} */
  const { cells } = JSON.parse(readFileSync(notebook, 'utf8'));
  return cells
    .filter(({ cell_type, source }) => cell_type === 'code' && [source].flat().join('').trim())
    .map(({ id }) => id);
}
