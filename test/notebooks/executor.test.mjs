import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  checkNotebooks,
  executeNotebook,
  temporaryFolder,
} from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { madeNotebook } from './made-notebook.mjs';

/** @type {string} */
let folder;

beforeEach(() => {
  folder = temporaryFolder(projectRoot, 'executor');
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/**
 * @param {string} name
 * @param {string[]} cells
 * @returns {string} the path of a notebook that has them
 */
function named(name, ...cells) {
  const file = path.join(folder, name);
  writeFileSync(file, madeNotebook(cells));
  return file;
}

const writeNotebook = (/** @type {string[]} */ ...cells) => named('probe.ipynb', ...cells);

describe('executing a notebook', () => {
  test('keeps what its cells print', async () => {
    const notebook = writeNotebook(
      "import * as tarflow from 'tarflow';\nimport { forward } from 'tarflow/flow';",
      'const same: boolean = tarflow.forward === forward;\nconsole.log(same, process.env.PROBE);',
    );
    const { error } = await executeNotebook(projectRoot, notebook, {
      ...process.env,
      PROBE: 'passed on',
    });
    expect(error).toBeUndefined();
    expect(readFileSync(notebook, 'utf8')).toContain('true passed on');
  });

  test.each([
    [1, undefined],
    [5, "Kernel didn't respond in 90 seconds"],
  ])('starts a kernel again that does not answer (%i times)', async (times, error) => {
    const python = path.join(folder, '.venv', 'bin', 'python');
    mkdirSync(path.dirname(python), { recursive: true });
    const script = [
      '#!/bin/sh',
      'echo start >> starts',
      `[ "$(wc -l < starts)" -gt ${times} ] && exit 0`,
      'echo "RuntimeError: Kernel didn\'t respond in 90 seconds" >&2; exit 1',
    ];
    writeFileSync(python, script.join('\n'), { mode: 0o755 });
    const result = await executeNotebook(folder, writeNotebook('1 + 1;'), process.env);
    expect(result.error).toEqual(error && expect.stringContaining(error));
    const starts = readFileSync(path.join(folder, 'starts'), 'utf8').trim().split('\n').length;
    expect(starts).toBe(error ? 3 : 2);
  });

  test.each([
    ['throws', "throw new Error('deliberate');", 'Error: deliberate'],
    ['does not compile', "const n: number = 'deliberate';", "Type 'string' is not assignable"],
  ])('fails when a cell %s, says why and leaves the file', async (_what, cell, message) => {
    const notebook = writeNotebook("console.log('before');", cell, "console.log('after');");
    const before = readFileSync(notebook, 'utf8');
    const { error } = await executeNotebook(projectRoot, notebook, process.env);
    expect(error).toContain(cell);
    expect(error).toContain(message);
    expect(readFileSync(notebook, 'utf8')).toBe(before);
  });
});

describe('the strict check of a notebook', () => {
  test('passes typed cells, with imports and top-level await, and fails on what tslab lets pass', async () => {
    const typed = named(
      'typed.ipynb',
      "import * as tarflow from 'tarflow';",
      'const count: number = await Promise.resolve(Object.keys(tarflow).length);\nconsole.log(count);',
    );
    const loose = named('loose.ipynb', 'const list: number[] = [];\nconst one: number = list[0];');
    const found = await checkNotebooks(projectRoot, [typed, loose]);
    expect(found).toMatch(/^loose\.mts\(\d+,\d+\): error TS2322: .*'number \| undefined'/);
    expect(found).not.toContain('typed.mts');
  });

  test('names the notebook that cannot be read', async () => {
    const whole = writeNotebook('1');
    const broken = path.join(folder, 'broken.ipynb');
    writeFileSync(broken, '{"cells": [');
    expect(await checkNotebooks(projectRoot, [whole, broken])).toContain(`${broken}: `);
  });
});
