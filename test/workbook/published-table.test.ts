import { expect, test } from 'vitest';
import { readPublishedTable } from '../../src/workbook/published-table.js';

test('a table has its rows, and figures with one value a training', async () => {
  const table = await readPublishedTable('latents-and-pixels-workbook');
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
  await expect(readPublishedTable('no-table')).rejects.toThrow(
    /no-table\.json\. Fill it by `tarflow reproduce`/,
  );
  const table = await readPublishedTable('deep-shallow-workbook');
  const [row = ''] = table.rows;
  expect(() => table.row('glow')).toThrow(/no row 'glow'\. Choose one of '.*1-1-1-5/);
  expect(() => table.figure(row, 'speed-up')).toThrow(/no speed-up\. It has held-out loss, FID/);
});
