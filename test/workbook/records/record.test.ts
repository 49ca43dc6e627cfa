import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import { readRecord } from '../../../workbook/records/record.js';
import { resultsFolder } from '../../../workbook/records/results-folder.js';
import { convergenceSummary, readCommittedTable } from '../../../workbook/records/table.js';

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

test('a table says how much the loss of each training still changed at its end', async () => {
  const table = await readCommittedTable('noise-kinds-workbook');
  const [gaussian = '', uniform = ''] = table.rows;
  const found = await table.convergence(gaussian);
  expect(found.map((each) => each?.converged)).toEqual([true, true, true]);
  // By the log, whose numbers are rounded; the note of the table has two digits.
  expect(found[0]).toMatchObject({ from: 2400, to: 3000 });
  expect(found[0]?.change).toBeCloseTo(-0.0057, 4);
  expect(found[0]?.share).toBeCloseTo(0.0057 / 1.39456, 4);
  // The first training had no finite loss for half of its steps.
  const [broken, ...others] = await table.convergence(uniform);
  expect(broken).toBeNull();
  for (const each of others) expect(each).toMatchObject({ converged: false });
  // Of a training that was followed, by its points.
  const followed = await readCommittedTable('loss-and-distance-workbook');
  const ends = await followed.convergence(followed.rows[0] as string);
  expect(ends.map((each) => each?.converged)).toEqual([true, true, true]);
});

test('every training of the tables says it, but for one that broke down', async () => {
  const names = fs.readdirSync(path.join(resultsFolder(), 'tables'));
  const missing: string[] = [];
  for (const name of names) {
    const table = await readCommittedTable(path.parse(name).name);
    for (const row of table.rows) {
      const ends = await table.convergence(row);
      expect(ends, row).toHaveLength(table.row(row).settings.seeds.length);
      ends.forEach((end, i) => {
        if (end === null) missing.push(`${row}, ${i}`);
      });
    }
  }
  expect(missing).toEqual(['uniform noise of one grey level, 0']);
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

test('convergence in a few words counts the trainings below the bound', () => {
  const told = { from: 8, to: 10, change: -0.01, share: 0.004, converged: true };
  const summary = convergenceSummary([told, { ...told, share: 0.0052, converged: false }, null]);
  expect(summary).toBe('0.40, 0.52, – % (1 of 3 below 0.5 %)');
});
