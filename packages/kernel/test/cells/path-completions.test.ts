import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pathCompletions } from '../../src/cells/path-completions.js';

let folder: string;

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'tarflow-paths-'));
  const write = (name: string, text = '') => {
    const file = path.join(folder, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  };
  for (const name of [
    'one.ts',
    'one.d.ts',
    'data.json',
    'notes.md',
    'deep/two.tsx',
    '.hidden.ts',
  ]) {
    write(name);
  }
  write(
    'node_modules/@scope/pack/package.json',
    '{"exports": {".": "./a.js", "./door": "./b.js"}}',
  );
  write('node_modules/plain/package.json', '{}');
});

afterAll(() => {
  fs.rmSync(folder, { recursive: true });
});

test.each([
  ["import { a } from './", ['./data.json', './deep/', './one']],
  ["import './deep/", ['./deep/two']],
  ["await import('pla", ['plain']],
  ['const x = require("@sc', ['@scope']],
  ["export * from '@scope/", ['@scope/pack']],
  ["import d from '@scope/pack/", ['@scope/pack/door']],
  ["import * as fs from 'node:fs/", ['node:fs/promises']],
  ["import x from '.", ['../', './']],
])('%s', (code, candidates) => {
  const found = pathCompletions(code, code.length, folder);
  expect(found?.candidates).toEqual(candidates);
  const start = code.search(/['"]/) + 1;
  expect(found).toMatchObject({ start, end: code.length });
});

test('elsewhere there are none', () => {
  for (const code of ["const s = './", "import x from './one'; x."]) {
    expect(pathCompletions(code, code.length, folder)).toBeUndefined();
  }
});
