import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../data-scripts/lib/notebooks.mjs';
import { run } from '../../data-scripts/lib/run.mjs';
import { entryPoints, root } from '../api/report.js';

const entries = entryPoints();

/** @type {string} */
let folder;

// Only in a folder of the project does a program find the package `tarflow`.
beforeAll(() => {
  folder = temporaryFolder(root, 'entry-points');
});

afterAll(() => {
  fs.rmSync(folder, { recursive: true });
});

test('Node.js and the compiler of notebooks are told the same entry points', () => {
  const manifest = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
  const [first, ...others] = Object.entries(manifest.exports).filter(
    ([, target]) => typeof target === 'object',
  );
  expect(first).toEqual(['.', { types: `./${manifest.types}`, default: `./${manifest.main}` }]);
  const built = others.map(([key, { default: file }]) => ({
    key,
    stem: file.replace(/\.js$/, ''),
  }));
  expect(others).toEqual(
    built.map(({ key, stem }) => [key, { types: `${stem}.d.ts`, default: `${stem}.js` }]),
  );
  const types = built.map(({ key, stem }) => [key.slice(2), [`${stem.slice(2)}.d.ts`]]);
  expect(manifest.typesVersions).toEqual({ '*': Object.fromEntries(types) });
  for (const { source } of entries)
    expect(fs.existsSync(path.join(root, source)), source).toBe(true);
});

/** Imports every entry point; each second line is wrong if the compiler knows the types. */
const wrongLines = entries
  .map(({ name }, i) => `import * as room${i} from '${name}';\nroom${i} satisfies number;`)
  .join('\n');

describe('the built package gives every entry point', () => {
  test('to a program, once: two entry points share what both export', async () => {
    const file = path.join(folder, 'program.cjs');
    fs.writeFileSync(
      file,
      `const rooms = ${JSON.stringify(entries.map(({ name }) => name))}.map((name) => require(name));
       const shared = rooms.slice(1).map((room) =>
         Object.keys(room).filter((name) => room[name] === rooms[0][name]).length);
       console.log(JSON.stringify([rooms.map((room) => Object.keys(room).length > 0), shared]));`,
    );
    const { status, output } = await run(process.execPath, [file], { cwd: folder });
    expect(status, output).toBe(0);
    const [found, shared] = JSON.parse(output);
    expect(found).toEqual(entries.map(() => true));
    for (const count of shared) expect(count).toBeGreaterThan(0);
  });

  test('to the compiler of the notebook kernel, with types', async () => {
    const file = path.join(folder, 'kernel.cjs');
    const converter = path.join(root, 'node_modules', 'tslab', 'dist', 'converter.js');
    fs.writeFileSync(
      file,
      `const converter = require(${JSON.stringify(converter)}).createConverter();
       const { diagnostics } = converter.convert('', ${JSON.stringify(wrongLines)});
       console.log(JSON.stringify(diagnostics.map(({ messageText }) => messageText)));
       converter.close();`,
    );
    const { status, output } = await run(process.execPath, [file], { cwd: folder });
    expect(status, output).toBe(0);
    // An import that is not found is another error, and one without types none.
    const expected = /Type 'typeof import\(".*"\)' does not satisfy the expected type 'number'/;
    expect(JSON.parse(output)).toEqual(entries.map(() => expect.stringMatching(expected)));
  });
});
