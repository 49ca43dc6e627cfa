import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { entryPoints, root } from '../api/report.js';
import { examplesOf, moduleExample, programOf, typeErrors, writeExamples } from './examples.js';

// Only in a folder of the project do modules find the packages that they import.
fs.mkdirSync(path.join(root, '.nbcheck'), { recursive: true });
const folder = fs.mkdtempSync(path.join(root, '.nbcheck', 'examples-'));
const here = process.cwd();

afterAll(() => {
  process.chdir(here);
  fs.rmSync(folder, { recursive: true });
});

/** A module in a folder of its own below the temporary one. */
function made(name: string, text: string): string {
  const file = path.join(folder, `${name}.ts`);
  fs.writeFileSync(file, text);
  return file;
}

const entries = entryPoints();
/** Those of the package; that of the workbook is not in it. */
const packed = entries.filter(({ name }) => name !== 'tarflow/workbook');
const program = programOf(packed.map(({ source }) => path.join(root, source)));
const { values, examples: ofRoot } = examplesOf(path.join(root, 'src', 'index.ts'), program);
const all = packed.flatMap(({ source }) => examplesOf(path.join(root, source), program).examples);
const examples = [...new Map(all.map((example) => [example.code, example])).values()];
const heads = entries.map(({ name, source }) => ({
  name: `module-${name.replace('/', '-')}`,
  code: moduleExample(path.join(root, source)) ?? '',
}));
const files = [
  ...writeExamples(examples, packed, folder),
  ...writeExamples(heads, entries, folder),
];

test('the root entry point has an example for every value, which uses it', () => {
  expect(values).toContain('sample');
  const without = values.filter(
    (value) => !ofRoot.some(({ name, code }) => name === value && code.includes(value)),
  );
  expect(without).toEqual([]);
  expect(heads.filter(({ code }) => code === '')).toEqual([]);
});

describe('the entry points of the package, and the head of every one,', () => {
  test('have examples that the strict compiler takes', () => {
    expect(typeErrors(files)).toEqual([]);
  });

  test.each([...examples, ...heads].map(({ name }, i) => [name, files[i] ?? '']))(
    'have an example of %s that runs',
    (_, file) => expectToRun(file),
  );
});

/** Runs an example in an empty place of its own: what it writes vanishes with the folder. */
async function expectToRun(file: string): Promise<void> {
  const place = `${file}.place`;
  fs.mkdirSync(place);
  process.chdir(place);
  const said = vi.spyOn(console, 'log').mockImplementation(() => {});
  try {
    await import(file);
    expect(said.mock.calls.length + fs.readdirSync(place).length).toBeGreaterThan(0);
  } finally {
    said.mockRestore();
    process.chdir(here);
  }
}

describe('the checks find', () => {
  test('values without an example, through re-exports, and no types', () => {
    made(
      'inner',
      '/** One.\n * @example\n * ```ts\n * f();\n * ```\n */\nexport const f = () => 1;',
    );
    const outer = made(
      'outer',
      "export { f as renamed } from './inner.js';\nexport type T = number;\nexport const g = 2;",
    );
    expect(examplesOf(outer)).toEqual({
      values: ['renamed', 'g'],
      examples: [{ name: 'renamed', code: 'f();' }],
    });
  });

  test('an example that is no block of code', () => {
    const module = made('plain', '/**\n * One.\n * @example f()\n */\nexport const f = () => 1;');
    expect(() => examplesOf(module)).toThrow('no block of ts code: f()');
  });

  test('an import that is no entry point, and a wrong type', () => {
    const example = (code: string) => [{ name: 'x', code }];
    const wrong = example("import { f } from 'tarflow/attic';");
    expect(() => writeExamples(wrong, entries, folder)).toThrow('imports tarflow/attic');
    const code = "import { datasetNames } from 'tarflow';\nconst n: number = datasetNames;\nn + 1;";
    const mistyped = writeExamples(example(code), entries, folder);
    expect(typeErrors(mistyped)).toEqual([
      expect.stringContaining("not assignable to type 'number'"),
    ]);
  });
});
