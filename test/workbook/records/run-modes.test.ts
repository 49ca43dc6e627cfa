import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { untilInterrupted } from '../../../src/show/interrupt.js';
import {
  quick,
  resultFile,
  resultsFolder,
  resultToRead,
} from '../../../workbook/records/results-folder.js';

afterEach(() => vi.unstubAllEnvs());
const root = path.join(__dirname, '..', '..', '..');

test('quick mode follows its environment variable', () => {
  for (const value of ['', '0', 'yes']) {
    vi.stubEnv('TARFLOW_QUICK', value);
    expect(quick(100, 2)).toBe(100);
  }
  vi.stubEnv('TARFLOW_QUICK', '1');
  expect(quick(100, 2)).toBe(2);
});

test('a short run takes the short count where a notebook has one, and quick mode its own', () => {
  vi.stubEnv('TARFLOW_QUICK', '');
  vi.stubEnv('TARFLOW_SHORT', '1');
  expect([quick(100, 2), quick(100, 2, 10)]).toEqual([100, 10]);
  vi.stubEnv('TARFLOW_QUICK', '1');
  expect(quick(100, 2, 10)).toBe(2);
});

describe('the results folder', () => {
  test('is beside package.json, wherever the caller stands', () => {
    const here = process.cwd();
    try {
      process.chdir(os.tmpdir());
      expect(resultsFolder()).toBe(path.join(root, 'results'));
    } finally {
      process.chdir(here);
    }
  });

  const committed = path.join(root, 'results', 'pictures', 'a.png');

  test('is written only where it was chosen: else scratch/ is, or a temporary folder', () => {
    vi.stubEnv('TARFLOW_QUICK', '');
    vi.stubEnv('TARFLOW_RESULTS', '');
    expect(resultFile('pictures/a.png')).toBe(path.join(root, 'scratch', 'pictures', 'a.png'));
    expect(resultToRead('pictures/a.png')).toBe(committed);
    vi.stubEnv('TARFLOW_RESULTS', path.join(root, 'results'));
    expect(resultFile('pictures/a.png')).toBe(committed);
    vi.stubEnv('TARFLOW_QUICK', '1');
    expect(path.relative(root, resultFile('pictures/a.png'))).toMatch(/^\.\./);
    expect(resultToRead('pictures/a.png')).toBe(committed);
  });

  test('is read where a run has no file of its own', () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-'));
    vi.stubEnv('TARFLOW_QUICK', '');
    vi.stubEnv('TARFLOW_RESULTS', folder);
    const written = path.join(folder, 'pictures', 'a.png');
    expect(resultFile('pictures/a.png')).toBe(written);
    fs.mkdirSync(path.dirname(written));
    fs.writeFileSync(written, '');
    expect(resultToRead('pictures/a.png')).toBe(written);
    fs.rmSync(folder, { recursive: true });
  });
});

describe('untilInterrupted', () => {
  test('listens only after the event loop turned, and not after the work failed', async () => {
    const before = process.listenerCount('SIGINT');
    let during = 0;
    const pending = untilInterrupted(async () => {
      during = process.listenerCount('SIGINT');
      throw new Error('failed');
    });
    expect(process.listenerCount('SIGINT')).toBe(before);
    await expect(pending).rejects.toThrow('failed');
    expect(during).toBe(before + 1);
    expect(process.listenerCount('SIGINT')).toBe(before);
  });
});

test('the library works where tslab and the packages of the notebooks are not loaded', () => {
  const script = `
    require(${JSON.stringify(path.join(root, 'workbook', 'index.ts'))});
    const loaded = Object.keys(require.cache).filter((file) => /node_modules.(sharp|vega|vega-lite|nodejs-polars|tslab)[\\\\/]/.test(file));
    console.log(JSON.stringify(loaded));
  `;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-'));
  const result = spawnSync(
    process.execPath,
    ['--require', require.resolve('tsx/cjs'), '-e', script],
    {
      cwd: folder,
      encoding: 'utf8',
    },
  );
  fs.rmSync(folder, { recursive: true });
  expect(result.stderr).toBe('');
  expect(JSON.parse(result.stdout)).toEqual([]);
});
