// npm run course [-- --only 01,02] [-- --kernel tslab] [-- --release]: executes the units with their
// solutions, writes the students' versions, and has nbgrader grade right, empty, gamed and wrong answers;
// results/course.json says what came. With --kernel tslab the units are only executed, under plain tslab;
// with --release only the students' versions are written.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  judgeUnit,
  listUnits,
  sourceFile,
  studentsFile,
  studentsVersions,
  unitKey,
} from './lib/course.mjs';
import { executeNotebook, temporaryFolder } from './lib/notebooks.mjs';
import { formatSeconds } from './lib/progress.mjs';
import { ArgumentError, runMain } from './lib/setup-error.mjs';
import { newContext, runSteps } from './lib/steps.mjs';
import { setUp } from './steps/all.mjs';
import { build } from './steps/build.mjs';
import { nbgrader } from './steps/nbgrader.mjs';

/** Names that users give, and those under which set-up registers the kernels. */
const kernels = { tarflow: 'tslab', tslab: 'tslab-plain' };

/**
 * What is recorded of a unit.
 *
 * @typedef {object} UnitResult
 * @property {string} [unit] the key of what it asks
 * @property {string} [commit]
 * @property {number} [minutes] of computing, with its solutions
 * @property {number} [points] that are given automatically
 * @property {number} [wrongAnswers] that were told as they should
 * @property {boolean} [pass]
 * @property {boolean} [tslab] it also runs under plain tslab
 */

await runMain(async () => {
  const context = newContext();
  const { root, progress } = context;
  const { units, kernel, release } = readArguments(root);
  await setUp(context);
  await runSteps([nbgrader, build], context);
  if (!release) return await runUnits(context, units, kernel);
  await writeStudentsVersions(context, units);
  progress.note(`The students' versions of ${units.join(', ')} are written.`);
  return 0;
});

/**
 * @param {import('./lib/steps.mjs').Context} context
 * @param {readonly string[]} units
 * @param {keyof typeof kernels} kernel
 */
async function runUnits(context, units, kernel) {
  const { root, progress } = context;
  const commit = currentCommit(root);
  const results = readResults(root);
  let status = 0;
  for (const unit of units) {
    progress.start(unit);
    const result = await (kernel === 'tslab'
      ? underTslab(context, unit)
      : wholeUnit(context, unit, commit));
    if (result.faults.length === 0) progress.finish();
    else progress.fail();
    for (const fault of result.faults) progress.note(`  ${fault}`);
    if (result.faults.length > 0) status = 1;
    const key = unitKey(root, unit);
    const before = results[unit]?.unit === key ? results[unit] : {};
    results[unit] = { ...before, unit: key, ...result.recorded };
  }
  const known = listUnits(root).filter((unit) => results[unit]);
  const text = JSON.stringify(
    Object.fromEntries(known.map((unit) => [unit, results[unit]])),
    null,
    2,
  );
  writeFileSync(resultFile(root), `${text}\n`);
  return status;
}

/** @typedef {{ recorded: UnitResult, faults: string[] }} Outcome */

/**
 * Executes a unit in place, and judges it.
 *
 * @param {import('./lib/steps.mjs').Context} context
 * @param {string} unit
 * @param {string} commit
 * @returns {Promise<Outcome>}
 */
async function wholeUnit(context, unit, commit) {
  const { root, env, progress } = context;
  const { seconds, error } = await executeNotebook(root, sourceFile(root, unit), env);
  if (error !== undefined) return { recorded: { commit, pass: false }, faults: [error] };
  progress.note(`  executed in ${formatSeconds(seconds)}`);
  await writeStudentsVersions(context, [unit]);
  const { points, wrongAnswers, faults } = await judgeUnit(context, unit);
  const minutes = Math.round(seconds / 6) / 10;
  return { recorded: { commit, minutes, points, wrongAnswers, pass: faults.length === 0 }, faults };
}

/**
 * Executes a unit under plain tslab, and keeps nothing of it.
 *
 * @param {import('./lib/steps.mjs').Context} context
 * @param {string} unit
 * @returns {Promise<Outcome>}
 */
async function underTslab({ root, env }, unit) {
  const folder = temporaryFolder(root, 'tslab');
  try {
    const options = { output: path.join(folder, `${unit}.ipynb`), kernel: kernels.tslab };
    const { error } = await executeNotebook(root, sourceFile(root, unit), env, options);
    return { recorded: { tslab: error === undefined }, faults: error === undefined ? [] : [error] };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {import('./lib/steps.mjs').Context} context
 * @param {readonly string[]} units
 */
async function writeStudentsVersions(context, units) {
  for (const [unit, text] of await studentsVersions(context, units)) {
    writeFileSync(studentsFile(context.root, unit), text);
  }
}

/** @param {string} root */
function resultFile(root) {
  return path.join(root, 'results', 'course.json');
}

/**
 * @param {string} root
 * @returns {Record<string, UnitResult>}
 */
function readResults(root) {
  return existsSync(resultFile(root)) ? JSON.parse(readFileSync(resultFile(root), 'utf8')) : {};
}

/**
 * The commit of the checkout; it says where there is more than that.
 *
 * @param {string} root
 */
function currentCommit(root) {
  const git = (/** @type {string[]} */ ...rest) =>
    execFileSync('git', rest, { cwd: root, encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--', 'notebooks/course', 'workbook', 'src');
  return git('rev-parse', 'HEAD') + (changed ? ' and changes' : '');
}

/**
 * @param {string} root
 * @returns {{ units: string[], kernel: keyof typeof kernels, release: boolean }}
 */
function readArguments(root) {
  const all = listUnits(root);
  const usage = 'Usage: npm run course -- [--only 01,02] [--kernel tarflow|tslab] [--release]';
  /** @type {{ only?: string, kernel: string, release: boolean }} */
  let values;
  try {
    values = parseArgs({
      options: {
        only: { type: 'string' },
        kernel: { type: 'string', default: 'tarflow' },
        release: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new ArgumentError(/** @type {Error} */ (error).message.replace(/\.$/, ''), usage);
  }
  const { only, kernel, release } = values;
  if (kernel !== 'tarflow' && kernel !== 'tslab') {
    throw new ArgumentError(`--kernel got '${kernel}', expected tarflow or tslab`, usage);
  }
  const beginnings = only?.split(',') ?? [''];
  const unknown = beginnings.find((part) => !all.some((unit) => unit.startsWith(part)));
  if (unknown !== undefined || all.length === 0) {
    throw new ArgumentError(
      `No unit begins with '${unknown ?? ''}'`,
      `There are ${all.join(', ')}`,
    );
  }
  const units = all.filter((unit) => beginnings.some((part) => unit.startsWith(part)));
  return { units, kernel, release };
}
