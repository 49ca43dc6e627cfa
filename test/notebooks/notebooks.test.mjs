import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  executeNotebook,
  listNotebooks,
  temporaryFolder,
} from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';

const notebooksFolder = path.join(projectRoot, 'notebooks');

/**
 * People open the notebooks with a tslab of their own. `npm test` runs the shortest under it too, and
 * `npm run nightly` every one.
 */
const allUnderPlainTslab = process.env.TARFLOW_PLAIN_TSLAB === '1';
const shortest = '08-acceleration.ipynb';

const watched = [notebooksFolder, path.join(projectRoot, 'results')];

describe.runIf(existsSync(notebooksFolder))('every notebook in quick mode', () => {
  /** @type {string} */
  let folder;
  /** @type {Record<string, string>} */
  let before;

  beforeAll(() => {
    before = fingerprints(watched);
    folder = temporaryFolder(projectRoot, 'quick');
    cpSync(notebooksFolder, folder, {
      recursive: true,
      filter: (source) => path.basename(source) !== '.ipynb_checkpoints',
    });
  });

  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  const names = existsSync(notebooksFolder)
    ? listNotebooks(notebooksFolder).map((notebook) => path.basename(notebook))
    : [];
  const plain = names.filter((name) => allUnderPlainTslab || name === shortest);
  const runs = [
    // Most of those that take long come late: begun first, none runs on alone at the end.
    ...(allUnderPlainTslab ? [] : [...names].reverse().map((name) => ({ name, kernel: 'tslab' }))),
    ...plain.map((name) => ({ name, kernel: 'tslab-plain' })),
  ];
  test.concurrent.each(runs)(
    '$name runs to its end under the kernel $kernel',
    async ({ name, kernel }) => {
      const environment = { ...process.env, TARFLOW_QUICK: '1' };
      const notebook = path.join(folder, name);
      const output = path.join(folder, `executed-${kernel}-${name}`);
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
