import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { executeNotebook, temporaryFolder } from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { madeNotebook } from './made-notebook.mjs';

/** @type {string} */
let folder;

// The cells name their checkpoint from the folder of the notebooks.
beforeAll(() => {
  folder = temporaryFolder(projectRoot, 'first-minutes');
  mkdirSync(path.join(folder, 'notebooks'));
  symlinkSync(path.join(projectRoot, 'results'), path.join(folder, 'results'));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

const section = /## The first minutes in a notebook\n(.*)/s.exec(
  readFileSync(path.join(projectRoot, 'docs', 'library.md'), 'utf8'),
)?.[1];
const cells = [...(section ?? '').matchAll(/```ts\n(.*?)```/gs)].map(([, cell]) => cell ?? '');

// The other kernel runs a notebook by day: `npm run nightly` sets TARFLOW_NIGHTLY.
test.each(['tarflow', ...(process.env.TARFLOW_NIGHTLY ? ['tslab-plain'] : [])])(
  'the five cells of docs/library.md run under %s',
  async (kernel) => {
    expect(cells).toHaveLength(5);
    const notebook = path.join(folder, 'notebooks', `${kernel}.ipynb`);
    writeFileSync(notebook, madeNotebook(cells));
    const { error } = await executeNotebook(projectRoot, notebook, process.env, { kernel });
    expect(error).toBeUndefined();
    if (kernel === 'tslab-plain') return;
    const shown = JSON.parse(readFileSync(notebook, 'utf8')).cells.map((/** @type {any} */ cell) =>
      cell.outputs.map((/** @type {any} */ output) => Object.keys(output.data ?? {})),
    );
    const picture = [['image/png', 'text/plain']];
    expect(shown.slice(1, 4)).toEqual([[['text/html', 'text/plain']], picture, picture]);
  },
);
