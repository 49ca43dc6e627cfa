import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { listUnits, sourceFile } from '../../data-scripts/lib/course.mjs';
import { checkNotebooks, listNotebooks } from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { run } from '../../data-scripts/lib/run.mjs';

/** @param {string[]} programArguments a JavaScript program and its arguments */
async function expectSuccess(...programArguments) {
  const { status, output } = await run(process.execPath, programArguments, { cwd: projectRoot });
  expect(status, output).toBe(0);
}

describe('the whole project', () => {
  const compiler = path.join('node_modules', 'typescript', 'bin', 'tsc');

  test('sources, tests and scripts type-check', async () => {
    const project = path.join('data-scripts', 'tsconfig.json');
    // What has not changed since it was checked is not checked again.
    const known = path.join('node_modules', '.cache', 'tarflow', 'checked.tsbuildinfo');
    await expectSuccess(compiler, '-p', project, '--incremental', '--tsBuildInfoFile', known);
  });

  test('Biome finds nothing to lint or format', async () => {
    const biome = path.join('node_modules', '@biomejs', 'biome', 'bin', 'biome');
    await expectSuccess(biome, 'check', '--error-on-warnings');
  });

  const folder = path.join(projectRoot, 'notebooks');
  test.runIf(existsSync(folder))('notebooks type-check with the strict settings', async () => {
    expect(await checkNotebooks(projectRoot, listNotebooks(folder))).toBeUndefined();
    // Students read `x[i]` as a number.
    const units = listUnits(projectRoot).map((unit) => sourceFile(projectRoot, unit));
    const plain = { noUncheckedIndexedAccess: false };
    expect(await checkNotebooks(projectRoot, units, plain)).toBeUndefined();
  });
});
