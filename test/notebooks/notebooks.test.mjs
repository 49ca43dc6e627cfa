import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromScratch, listUnits, sourceFile } from '../../data-scripts/lib/course.mjs';
import {
  executeNotebook,
  listNotebooks,
  notebookName,
  temporaryFolder,
} from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { run } from '../../data-scripts/lib/run.mjs';

const notebooksFolder = path.join(projectRoot, 'notebooks');
const watched = [notebooksFolder, path.join(projectRoot, 'results')];
const environment = { ...process.env, TARFLOW_QUICK: '1' };

/**
 * `npm test` runs the cells of all notebooks, several in a process, and the shortest under plain tslab,
 * as people have it; first-minutes.test.mjs has our own kernel. `npm run nightly` runs every notebook under both.
 */
const [most, kernels] = process.env.TARFLOW_NIGHTLY
  ? [Number.POSITIVE_INFINITY, ['tslab', 'tslab-plain']]
  : [1, ['tslab-plain']];
/** How long a notebook takes in a default run, in seconds: the order is much the same in quick mode. */
const secondsOf = (/** @type {string} */ name) =>
  Object.values(cellTimes[name] ?? {}).reduce((sum, seconds) => sum + seconds, 0);
/** @type {Record<string, Record<string, number>>} */
const cellTimes = JSON.parse(
  readFileSync(path.join(projectRoot, 'results', 'cell-times-short.json'), 'utf8'),
);
/** Processes at a time, and short notebooks in each: what one leaves in memory goes with its process. */
const processes = { atATime: 2, notebooks: 3 };

describe.runIf(existsSync(notebooksFolder))('every notebook in quick mode', () => {
  /** @type {string} */
  let folder;
  /** @type {Record<string, string>} */
  let before;
  /** @type {Map<string, { seconds: number, error?: string }>} */
  const outcomes = new Map();

  // By day some units of the course, with their solutions: its own test has nbgrader grade the first, and
  // all at night.
  const units = () => listUnits(projectRoot).slice(1, 4);
  const ofCourse = process.env.TARFLOW_NIGHTLY
    ? [fromScratch(projectRoot)]
    : units().map((unit) => sourceFile(projectRoot, unit));
  const all = [...listNotebooks(notebooksFolder), ...ofCourse];
  const names = all.map(notebookName);
  /** The longest first. */
  const ordered = [...names].sort((one, other) => secondsOf(other) - secondsOf(one));

  beforeAll(async () => {
    before = fingerprints(watched);
    folder = temporaryFolder(projectRoot, 'quick');
    cpSync(notebooksFolder, folder, {
      recursive: true,
      filter: (source) => path.basename(source) !== '.ipynb_checkpoints',
    });
    const script = fileURLToPath(new URL('run-cells.mjs', import.meta.url));
    const threads = Math.max(1, Math.floor(availableParallelism() / processes.atATime));
    // The longest first, each in a process of its own, so that both processes end together.
    const left = [...ordered];
    const runs = Array.from({ length: processes.atATime }, async () => {
      while (left.length > 0) {
        const own = left.splice(0, secondsOf(left[0] ?? '') > 300 ? 1 : processes.notebooks);
        const files = own.map((name) => path.join(folder, name));
        const { output } = await run(process.execPath, [script, ...files], {
          env: { ...environment, TF_NUM_INTRAOP_THREADS: `${threads}` },
          onLine: (line) => {
            const [, json] = line.split('##notebook\t');
            if (json === undefined) return;
            const { notebook, ...outcome } = JSON.parse(json);
            outcomes.set(path.relative(folder, notebook).split(path.sep).join('/'), outcome);
          },
        });
        // A process that ended before its end tells nothing of the notebook that it was at.
        const lost = own.find((name) => !outcomes.has(name));
        if (lost) outcomes.set(lost, { seconds: 0, error: output.slice(-4000) });
      }
    });
    await Promise.all(runs);
  }, 60 * 60_000);

  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  test.each(names)('the cells of %s run to their end', (name) => {
    expect(outcomes.get(name) ?? { error: 'not reached' }).not.toHaveProperty('error');
  });

  const runs = ordered
    .filter((name) => process.env.TARFLOW_NIGHTLY || secondsOf(name) > 0)
    .slice(-most)
    .flatMap((name) => kernels.map((kernel) => ({ name, kernel })));
  test.concurrent.each(runs)(
    '$name runs to its end under the kernel $kernel',
    async ({ name, kernel }) => {
      const notebook = path.join(folder, name);
      const output = path.join(folder, `executed-${kernel}-${name.replaceAll('/', '-')}`);
      const options = { kernel, output };
      const { error } = await executeNotebook(projectRoot, notebook, environment, options);
      expect(error).toBeUndefined();
    },
  );

  test('and none of them writes notebooks/ or results/', () => {
    expect(fingerprints(watched)).toEqual(before);
  });
});

/**
 * @param {string[]} folders
 * @returns {Record<string, string>} the SHA-256 of every file in them
 */
function fingerprints(folders) {
  /** @type {Record<string, string>} */
  const result = {};
  for (const folder of folders.filter((candidate) => existsSync(candidate))) {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = path.join(entry.parentPath, entry.name);
      result[path.relative(projectRoot, file)] = createHash('sha256')
        .update(readFileSync(file))
        .digest('hex');
    }
  }
  return result;
}
