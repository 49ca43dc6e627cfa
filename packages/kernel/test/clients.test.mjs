import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { kernelName, prepare, runPython } from './drive.mjs';

/** @type {ReturnType<typeof prepare>} */
let place;

beforeAll(() => {
  place = prepare('clients');
});

afterAll(() => place.remove());

// papermill runs on nbclient, and notebooks are executed by nbconvert elsewhere: alone they run at night.
const clients = ['papermill', ...(process.env.TARFLOW_NIGHTLY ? ['nbconvert', 'nbclient'] : [])];

test(`${clients.join(', ')}: stop at the cell that throws, and keep its error`, async () => {
  const { folder } = place;
  const notebook = path.join(folder, 'failing.ipynb');
  const sources = [
    "console.log('before'); 1",
    "throw new RangeError('here');",
    "console.log('after');",
  ];
  const content = {
    cells: sources.map((source, index) => ({
      id: `cell-${index}`,
      cell_type: 'code',
      metadata: {},
      execution_count: null,
      outputs: [],
      source,
    })),
    metadata: {
      kernelspec: { display_name: 'TypeScript', language: 'typescript', name: kernelName },
    },
    nbformat: 4,
    nbformat_minor: 5,
  };
  writeFileSync(notebook, JSON.stringify(content));
  const { status, output, log } = await runPython('clients.py', [notebook, ...clients], place);
  expect(status, log).toBe(0);
  const found = JSON.parse(output.trim().split('\n').at(-1) ?? '');
  const expected = {
    error: 'RangeError: here',
    counts: [1, 2, null],
    kinds: ['stream', 'execute_result', 'error'],
  };
  expect(found).toEqual(Object.fromEntries(clients.map((client) => [client, expected])));
});
