import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';

const root = path.join(__dirname, '..');

test('the example of the README runs and says what it says', () => {
  const page = fs.readFileSync(path.join(root, 'README.md'), 'utf8');
  const [, example = ''] = /^```ts\n(.*?)^```/ms.exec(page) ?? [];
  // Below the workspace, so that the package is found by its name.
  const folder = path.join(root, '..', '..', '.nbcheck');
  fs.mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `readme-${process.pid}.ts`);
  // What Node.js 23 removed; the page says so.
  const before = "const util = require('node:util'); util.isNullOrUndefined ??= (v) => v == null;";
  fs.writeFileSync(file, example);
  try {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--require', 'tsx/cjs', '--eval', `${before} require(${JSON.stringify(file)});`],
      { cwd: root, encoding: 'utf8' },
    );
    expect(status, stderr).toBe(0);
    const [, printed = ''] = /console\.log\(Array.*\/\/ (.*)$/m.exec(example) ?? [];
    expect(stdout.trim().split('\n').at(-1)).toBe(printed);
  } finally {
    fs.rmSync(file);
  }
});
