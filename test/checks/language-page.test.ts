import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import {
  fromScratch,
  listUnits,
  readNotebook,
  sourceFile,
} from '../../data-scripts/lib/course.mjs';
import { entryPoints, root } from '../api/report.js';
import { typeErrors, writeExamples } from './examples.js';

// Only in a folder of the project do modules find the packages that they import.
fs.mkdirSync(path.join(root, '.nbcheck'), { recursive: true });
const folder = fs.mkdtempSync(path.join(root, '.nbcheck', 'language-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const page = fs.readFileSync(path.join(root, 'docs', 'typescript-for-python-people.md'), 'utf8');
const cells = [...page.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code = '']) => code).join('');

/** The code in the second column of the tables, each in a scope of its own. */
const rows = [...page.matchAll(/^\| `.*? \| (`.*`) \|$/gm)]
  .flatMap(([, column = '']) => [...column.matchAll(/`([^`]+)`/g)])
  .map(([, code = '']) => `{\n${code.replaceAll('\\|', '|')};\n}\n`);

const mistakes = [...page.matchAll(/^```ts wrong\n(.*?)^```\n\n```text\n(.*?)\n```/gms)].map(
  ([, code = '', message = '']) => ({ code, message }),
);

const [right = '', ...wrong] = writeExamples(
  [cells + rows.join(''), ...mistakes.map(({ code }) => cells + code)].map((code) => ({
    name: 'page',
    code,
  })),
  entryPoints(),
  folder,
);

/** The compiler's errors; what an example leaves unused is none. */
const errors = typeErrors([right, ...wrong]).filter(
  (error) => !/never (read|used)|are unused/.test(error),
);
const errorsIn = (file: string) =>
  errors.filter((error) => error.startsWith(`${path.basename(file)}: `));

test('the cells and the tables of TypeScript for Python people hold in strict TypeScript, and run', async () => {
  expect(rows.length).toBeGreaterThan(60);
  expect(errorsIn(right)).toEqual([]);
  const said = vi.spyOn(console, 'log').mockImplementation(() => {});
  await import(right);
  const lines = said.mock.calls.map((words) => words.join(' '));
  said.mockRestore();
  expect(lines).toEqual(expect.arrayContaining(['6, 2,4, shape 2,3', '2.9166667461395264']));
});

test.each(mistakes.map(({ message }, i) => ({ message, file: wrong[i] ?? '' })))(
  'a mistake on that page ends with: $message',
  async ({ message, file }) => {
    const said = vi.spyOn(console, 'log').mockImplementation(() => {});
    const found = [...errorsIn(file)];
    if (found.length === 0) await import(file).catch((error: Error) => found.push(error.message));
    said.mockRestore();
    expect(found.join('\n')).toContain(message);
  },
);

test('that page has three mistakes', () => {
  expect(mistakes).toHaveLength(3);
});

/** The section on freeing tells of these; PyTorch has nothing of the kind. */
const freeing = ['tidy', 'keep'];
const section = /^## Freeing tensors.*?(?=^## )/ms.exec(page)?.[0] ?? '';

/** Operations that some code uses, without `tf.`; types begin with a capital. */
const operationsIn = (code: string) =>
  [...code.matchAll(/\btf\.((?:\w+\.)?[a-z]\w*)/g)].map(([, name = '']) => name);

test('every operation of the course is on that page, beside what PyTorch calls it', () => {
  const notebooks = [fromScratch(root), ...listUnits(root).map((unit) => sourceFile(root, unit))];
  const code = notebooks
    .flatMap((file) => readNotebook(file).cells)
    .filter(({ cell_type }) => cell_type === 'code')
    .map(({ source }) => [source].flat().join(''));
  const used = new Set(operationsIn(code.join('\n')));
  const told = new Set([
    ...operationsIn(rows.join('')),
    ...operationsIn(section).filter((name) => freeing.includes(name)),
  ]);
  expect(used.size).toBeGreaterThan(50);
  expect([...used].filter((name) => !told.has(name))).toEqual([]);
});
