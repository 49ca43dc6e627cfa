import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readCellTimes, saveCellTimes, TimeLeft } from '../../data-scripts/lib/cell-times.mjs';

/** @type {string} */
let folder;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tarflow-test-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe('times of cells', () => {
  test('are kept by notebook, and a notebook that runs again replaces its own', () => {
    saveCellTimes(folder, '02-b.ipynb', { x: 1.26, y: 2 }, false);
    saveCellTimes(folder, '01-a.ipynb', { x: 3 }, false);
    saveCellTimes(folder, '02-b.ipynb', { z: 4 }, false);
    expect(readCellTimes([folder], false)).toEqual({
      '01-a.ipynb': { x: 3 },
      '02-b.ipynb': { z: 4 },
    });
    expect(readCellTimes([folder], true)).toEqual({});
    const text = readFileSync(path.join(folder, 'cell-times.json'), 'utf8');
    expect(Object.keys(JSON.parse(text))).toEqual(['01-a.ipynb', '02-b.ipynb']);
  });

  test('of the last folder count, notebook by notebook', () => {
    const [first, second] = [path.join(folder, 'first'), path.join(folder, 'second')];
    expect(readCellTimes([first, second], false)).toEqual({});
    saveCellTimes(first, '01-a.ipynb', { x: 1 }, false);
    saveCellTimes(first, '02-b.ipynb', { x: 1 }, false);
    saveCellTimes(second, '02-b.ipynb', { x: 2 }, false);
    expect(readCellTimes([first, second], false)).toEqual({
      '01-a.ipynb': { x: 1 },
      '02-b.ipynb': { x: 2 },
    });
  });
});

describe('the time left', () => {
  const cells = ['x', 'y', 'z'].map((cell) => ({ notebook: 'a', cell }));
  const times = { a: { x: 20, y: 100, z: 40 } };

  test('is unknown where no cell was ever timed', () => {
    expect(new TimeLeft({}, cells).text()).toBe('time left unknown');
  });

  test('is what the cells took before, less what the present one has run for', () => {
    const left = new TimeLeft(times, cells);
    expect(left.text()).toBe('about 3 min left');
    left.done('a', 'x', 20);
    left.done('a', 'y', 100);
    expect(left.text()).toBe('about 40 s left');
    expect(left.text(30)).toBe('about 10 s left');
    // One that takes longer than before takes nothing from the cells after it.
    expect(left.text(50)).toBe('about 0 s left');
    left.done('a', 'z', 40);
    expect(left.text()).toBe('about 0 s left');
  });

  test('follows the speed of this machine', () => {
    const left = new TimeLeft(times, cells);
    left.done('a', 'x', 60);
    expect(left.text()).toBe('about 7 min left');
  });

  test('does not judge the machine by cells that take no time', () => {
    const left = new TimeLeft({ a: { x: 0.1, y: 100, z: 40 } }, cells);
    left.done('a', 'x', 1);
    expect(left.text()).toBe('about 2 min left');
  });

  test('is a lower bound where cells are new', () => {
    const left = new TimeLeft({ a: { x: 20, y: 100 } }, cells);
    expect(left.text()).toBe('at least 2 min left');
    left.done('a', 'x', 20);
    left.done('a', 'y', 100);
    expect(left.text()).toBe('time left unknown');
  });
});
