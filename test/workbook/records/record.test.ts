import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import { readRecord } from '../../../workbook/records/record.js';
import { resultsFolder } from '../../../workbook/records/results-folder.js';

const committed = (folder: string) =>
  fs
    .readdirSync(path.join(resultsFolder(), folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.jsonl?$/.test(name))
    .map((name) => path.join(resultsFolder(), folder, name));

/** What a file says, with the lines of a log as its records. */
function content(file: string): unknown {
  const text = fs.readFileSync(file, 'utf8');
  if (file.endsWith('.json')) return JSON.parse(text);
  const [head, ...records] = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  return { ...head, records };
}

test.each([
  ['claims', 'claim'],
  ['tables', 'table'],
  ['acceleration', 'acceleration'],
  ['training', 'training run'],
] as const)('every file of results/%s is a record that loses nothing', async (folder, kind) => {
  const files = committed(folder);
  expect(files.length).toBeGreaterThan(5);
  for (const file of files) {
    const of = file.endsWith('paper-size.json') ? 'paper size' : kind;
    expect(await readRecord(of, file), file).toEqual(content(file));
  }
});

test('a file that is not there is none', async () => {
  expect(await readRecord('claim', '/nowhere.json')).toBeUndefined();
});
