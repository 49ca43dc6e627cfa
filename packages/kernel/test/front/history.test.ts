import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { dataFolder, History, type HistoryRequest } from '../../src/front/history.js';

let folder: string;

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'tarflow-history-'));
});

afterEach(() => {
  fs.rmSync(folder, { recursive: true });
});

const inputs = (history: History, request: HistoryRequest) =>
  history.answer(request).map(([, , input]) => input);

describe('the history', () => {
  test('has what this session and those before it executed', () => {
    const first = new History(folder, 1000);
    first.add(1, 'a = 1');
    first.add(2, 'a', '1');
    const second = new History(folder, 2000);
    second.add(1, 'b');
    expect(second.answer({ hist_access_type: 'tail', n: 2, output: true })).toEqual([
      [1000, 2, ['a', '1']],
      [2000, 1, ['b', null]],
    ]);
    const range = { hist_access_type: 'range', start: 1, stop: 2 };
    expect(inputs(second, { ...range, session: 0 })).toEqual(['b']);
    expect(inputs(second, { ...range, session: -1 })).toEqual(['a = 1']);
    expect(inputs(second, { ...range, session: 1000, stop: 9 })).toEqual(['a = 1', 'a']);
    expect(inputs(second, { ...range, session: -7 })).toEqual([]);
  });

  test('is searched by patterns, each input once where that is asked', () => {
    const history = new History(folder, 1000);
    for (const [line, input] of ['f(1)', 'g(1)', 'f(1)', 'f(2)\nx'].entries())
      history.add(line, input);
    const search = { hist_access_type: 'search' };
    expect(inputs(history, { ...search, pattern: 'f(?)*' })).toEqual(['f(1)', 'f(1)', 'f(2)\nx']);
    expect(inputs(history, { ...search, pattern: 'f*', unique: true })).toEqual([
      'f(1)',
      'f(2)\nx',
    ]);
    expect(inputs(history, { ...search, pattern: '*', n: 1 })).toEqual(['f(2)\nx']);
    expect(inputs(history, { ...search, pattern: 'f' })).toEqual([]);
  });

  test('is bounded, and loses nothing recent to a second kernel', () => {
    const [one, other] = [new History(folder, 1000), new History(folder, 2000)];
    const long = 'x'.repeat(20_000);
    for (let line = 0; line < 200; line++) {
      one.add(line, `${long}${line}`);
      other.add(line, `${line}`);
    }
    const sizes = fs.readdirSync(folder).map((name) => fs.statSync(path.join(folder, name)).size);
    expect(sizes).toHaveLength(2);
    expect(Math.max(...sizes)).toBeLessThan(1.1 * 2 ** 20);
    const third = new History(folder, 3000);
    const found = third.answer({ hist_access_type: 'tail', n: 50 });
    expect(found.filter(([session]) => session === 1000)).toHaveLength(25);
    expect(found.at(-1)).toEqual([2000, 199, '199']);
  });

  test('stays in memory where the folder cannot be written, and skips lines that are damaged', () => {
    const file = path.join(folder, 'a-file');
    fs.writeFileSync(file, '');
    const history = new History(path.join(file, 'below'), 1000);
    history.add(1, 'kept');
    expect(inputs(history, { hist_access_type: 'tail', n: 5 })).toEqual(['kept']);
    new History(folder, 1000).add(1, 'whole');
    fs.appendFileSync(
      path.join(folder, 'kernel-history.jsonl'),
      'null\n{"session": 1}\n{"session": 1, "li',
    );
    expect(inputs(new History(folder, 2000), { hist_access_type: 'tail', n: 5 })).toEqual([
      'whole',
    ]);
  });
});

test('the data folder follows the XDG rule', () => {
  expect(dataFolder({ TARFLOW_KERNEL_DATA: '/own' })).toBe(path.resolve('/own'));
  expect(dataFolder({ XDG_DATA_HOME: '/data' })).toBe(path.join('/data', 'tarflow'));
  expect(dataFolder({ XDG_DATA_HOME: 'relative' })).toMatch(/\.local[\\/]share[\\/]tarflow$/);
});
