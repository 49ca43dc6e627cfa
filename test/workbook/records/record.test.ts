import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import { readRecord } from '../../../workbook/records/record.js';
import { resultsFolder } from '../../../workbook/records/results-folder.js';
import { readCommittedTable } from '../../../workbook/records/table.js';

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

/** Those of `results/acceleration` that `tarflow accelerate` did not write. */
const kindsOfStudies: Record<string, 'paper size' | 'blocks' | 'authors loop'> = {
  'paper-size.json': 'paper size',
  'blocks.json': 'blocks',
  'authors-loop.json': 'authors loop',
};

test.each([
  ['claims', 'claim'],
  ['tables', 'table'],
  ['acceleration', 'acceleration'],
  ['training', 'training run'],
] as const)('every file of results/%s is a record that loses nothing', async (folder, kind) => {
  const files = committed(folder);
  expect(files.length).toBeGreaterThan(2);
  for (const file of files) {
    const of = kindsOfStudies[path.basename(file)] ?? kind;
    const absent = kind === 'claim' ? { errors: {}, n: {}, found: {}, elsewhere: [] } : {};
    expect(await readRecord(of, file), file).toEqual(Object.assign(absent, content(file)));
  }
});

test('a file that is not there is none', async () => {
  expect(await readRecord('claim', '/nowhere.json')).toBeUndefined();
});

test('a table has its rows, and figures with one value a training', async () => {
  const table = await readCommittedTable('latents-and-pixels-workbook');
  const [latents = '', pixels = '', noisier = ''] = table.rows;
  expect(table.rows).toHaveLength(3);
  expect(table.row(latents).settings.seeds).toEqual([1, 2, 3]);
  const { value, values } = table.figure(pixels, 'FID');
  expect(values).toHaveLength(3);
  expect(value).toBeCloseTo(
    values.reduce((sum, each) => sum + each / 3, 0),
    9,
  );
  const single = table.figure(noisier, 'FID');
  expect(single.values).toEqual([single.value]);
});

test('what it lacks is told with what it has', async () => {
  await expect(readCommittedTable('no-table')).rejects.toThrow(
    /no-table\.json\. Fill it by `tarflow reproduce`/,
  );
  const table = await readCommittedTable('deep-shallow-workbook');
  const [row = ''] = table.rows;
  expect(() => table.row('glow')).toThrow(/no row 'glow'\. Choose one of '.*1-1-1-5/);
  expect(() => table.figure(row, 'speed-up')).toThrow(/no speed-up\. It has held-out loss, FID/);
});
