// npm run nightly [-- [--node 22,24] [tests …]]: the unit and golden tests on every supported
// version of Node.js, one after the other, then every notebook under each kernel. Words are handed to
// vitest, which runs the test files whose paths have one of them: words with `notebooks` in them once,
// others on each version; what no word asks for is left out. TARFLOW_NIGHTLY has the tests run that
// are too long for `npm test`; results/nightly.json has what these came to, with the commit and date of each.
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { readJson } from './lib/files.mjs';
import { fetchNode, supportedNode } from './lib/node-versions.mjs';
import { formatSeconds } from './lib/progress.mjs';
import { run } from './lib/run.mjs';
import { runMain, SetupError } from './lib/setup-error.mjs';
import { newContext, runSteps } from './lib/steps.mjs';
import { setUp } from './steps/all.mjs';
import { build } from './steps/build.mjs';
import { nbgrader } from './steps/nbgrader.mjs';

/** Tests that took so many seconds are the night's own. */
const long = 60;

/** These look at sources or drive other programs, so one version of Node.js is enough for them. */
const runOnce = ['test/checks/**', 'test/browser/**', 'test/data-scripts/**'];

await runMain(async () => {
  const { majors, filters } = readArguments();
  const asked = filters.length > 0;
  const ofNotebooks = filters.filter((filter) => filter.includes('notebooks'));
  const ofLibrary = filters.filter((filter) => !filter.includes('notebooks'));
  const context = newContext();
  const { root, env, progress } = context;
  await setUp(context, { optional: true });
  await runSteps([nbgrader, build], context);

  /** @type {{ title: string, status: number, seconds: number }[]} */
  const outcomes = [];
  /**
   * @param {string} title
   * @param {string} program a version of Node.js
   * @param {readonly string[]} vitestArguments
   */
  async function runTests(title, program, vitestArguments) {
    progress.note(`\n${title}`);
    const started = performance.now();
    const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const report = path.join(root, 'runs', 'nightly-report.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const { status } = await run(program, [vitest, 'run', ...reporters, ...vitestArguments], {
      cwd: root,
      // Programs that a test starts by name find the same version.
      env: {
        ...env,
        TARFLOW_NIGHTLY: '1',
        PATH: `${path.dirname(program)}${path.delimiter}${env.PATH}`,
      },
      shown: true,
    });
    outcomes.push({ title, status, seconds: (performance.now() - started) / 1000 });
    recordLongTests(root, report, title);
  }

  for (const major of asked && ofLibrary.length === 0 ? [] : majors) {
    const { program, version } = await fetchNode(major, context);
    const others = major === majors[0] ? [] : runOnce;
    const excluded = others.flatMap((glob) => ['--exclude', glob]);
    const ofProjects = ['--project', '!notebooks', ...excluded, ...ofLibrary];
    await runTests(`Node.js ${version}`, program, ofProjects);
  }
  if (!asked || ofNotebooks.length > 0) {
    const all = ['notebooks', 'course'].map((name) => `test/notebooks/${name}.test.mjs`);
    const files = asked ? ofNotebooks : all;
    await runTests('Notebooks', process.execPath, ['--project', 'notebooks', ...files]);
  }
  for (const { title, status, seconds } of outcomes) {
    progress.note(`${status === 0 ? '✓' : '✗'} ${title.padEnd(16)} ${formatSeconds(seconds)}`);
  }
  return outcomes.every(({ status }) => status === 0) ? 0 : 1;
});

/**
 * Puts into results/nightly.json what became of the long tests of a report.
 *
 * @param {string} root
 * @param {string} report of vitest, which is removed
 * @param {string} on what they ran
 */
function recordLongTests(root, report, on) {
  const file = path.join(root, 'results', 'nightly.json');
  const describe = ['describe', '--always', '--dirty', '--abbrev=8'];
  const commit = execFileSync('git', describe, { cwd: root, encoding: 'utf8' }).trim();
  const date = new Date().toISOString().slice(0, 10);
  const all = readJson(file) ?? {};
  /** @type {{ testResults: { assertionResults: { fullName: string, status: string, duration?: number }[] }[] }} */
  const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults);
  for (const { fullName, status, duration = 0 } of tests) {
    const seconds = Math.round(duration / 1000);
    if (seconds < long && status !== 'failed' && !(fullName in all)) continue;
    all[fullName] = { status, seconds, on, commit, date };
  }
  rmSync(report);
  writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`);
}

function readArguments() {
  const usage = `Usage: npm run nightly [-- [--node ${supportedNode.join(',')}] [tests …]]`;
  try {
    const { values, positionals } = parseArgs({
      options: { node: { type: 'string' } },
      allowPositionals: true,
    });
    const majors = values.node?.split(',').map(Number) ?? supportedNode;
    const unknown = majors.find((major) => !supportedNode.includes(major));
    if (unknown !== undefined) {
      throw new Error(`--node got '${values.node}', expected some of ${supportedNode.join(', ')}.`);
    }
    return { majors, filters: positionals };
  } catch (error) {
    throw new SetupError(/** @type {Error} */ (error).message.replace(/\.$/, ''), usage);
  }
}
