import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporaryFolder } from '../../../data-scripts/lib/notebooks.mjs';
import { projectRoot, venvProgram } from '../../../data-scripts/lib/places.mjs';
import { run } from '../../../data-scripts/lib/run.mjs';
import { madeNotebook } from '../../../test/notebooks/made-notebook.mjs';

/** @type {string} */
let folder;

beforeAll(() => {
  folder = temporaryFolder(projectRoot, 'clients');
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

test('papermill, nbconvert and nbclient stop at the cell that throws, and keep its error', async () => {
  const notebook = path.join(folder, 'failing.ipynb');
  writeFileSync(
    notebook,
    madeNotebook([
      "console.log('before'); 1",
      "throw new RangeError('here');",
      "console.log('after');",
    ]),
  );
  const script = path.join(import.meta.dirname, 'clients.py');
  const { status, output } = await run(venvProgram(projectRoot, 'python'), [script, notebook], {
    cwd: folder,
    env: { ...process.env, TARFLOW_KERNEL_DATA: folder },
  });
  expect(status, output).toBe(0);
  const found = JSON.parse(output.trim().split('\n').at(-1) ?? '');
  const expected = {
    error: 'RangeError: here',
    counts: [1, 2, null],
    kinds: ['stream', 'execute_result', 'error'],
  };
  expect(found).toEqual({ papermill: expected, nbconvert: expected, nbclient: expected });
});
