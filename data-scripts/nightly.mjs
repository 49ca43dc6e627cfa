// npm run nightly [-- [--node 22,24] [tests …]]: the unit and golden tests on every supported
// version of Node.js, one after the other, then every notebook under each kernel. Words are handed to
// vitest, which runs the test files whose paths have one of them: words with `notebooks` in them once,
// others on each version; what no word asks for is left out. TARFLOW_NIGHTLY has the tests run that
// are too long for `npm test`.
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fetchNode, supportedNode } from './lib/node-versions.mjs';
import { formatSeconds } from './lib/progress.mjs';
import { run } from './lib/run.mjs';
import { runMain, SetupError } from './lib/setup-error.mjs';
import { newContext, runSteps } from './lib/steps.mjs';
import { setUp } from './steps/all.mjs';
import { build } from './steps/build.mjs';
import { nbgrader } from './steps/nbgrader.mjs';

/** These look at sources or drive other programs; no version of Node.js changes what they find. */
const leftOut = ['test/checks/**', 'test/browser/**', 'test/data-scripts/**'];

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
    const { status } = await run(program, [vitest, 'run', ...vitestArguments], {
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
  }

  for (const major of asked && ofLibrary.length === 0 ? [] : majors) {
    const { program, version } = await fetchNode(major, context);
    const excluded = leftOut.flatMap((glob) => ['--exclude', glob]);
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
