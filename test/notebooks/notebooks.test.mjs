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
  test.each(names)('%s runs to its end', async (name) => {
    const { error } = await executeNotebook(projectRoot, path.join(folder, name), {
      ...process.env,
      TARFLOW_QUICK: '1',
    });
    expect(error).toBeUndefined();
  });

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
