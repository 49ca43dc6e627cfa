import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
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

function module(name: string, code: string): string {
  const [file = ''] = writeExamples([{ name, code }], entryPoints(), folder);
  return file;
}

/** The compiler's errors; what an example leaves unused is none. */
const errorsIn = (file: string) =>
  typeErrors([file]).filter((error) => !/never (read|used)|are unused/.test(error));

test('the cells and the tables of TypeScript for Python people hold in strict TypeScript, and run', async () => {
  const file = module('page', cells + rows.join(''));
  expect(rows.length).toBeGreaterThan(60);
  expect(errorsIn(file)).toEqual([]);
  const said = vi.spyOn(console, 'log').mockImplementation(() => {});
  await import(file);
  const lines = said.mock.calls.map((words) => words.join(' '));
  said.mockRestore();
  expect(lines).toEqual(expect.arrayContaining(['6, 2,4, shape 2,3', '2.9166667461395264']));
});

test.each(mistakes)('a mistake on that page ends with: $message', async ({ code, message }) => {
  const file = module(`mistake-${mistakes.findIndex((one) => one.code === code)}`, cells + code);
  const said = vi.spyOn(console, 'log').mockImplementation(() => {});
  const found = [...errorsIn(file)];
  if (found.length === 0) await import(file).catch((error: Error) => found.push(error.message));
  said.mockRestore();
  expect(found.join('\n')).toContain(message);
});

test('that page has three mistakes', () => {
  expect(mistakes).toHaveLength(3);
});
