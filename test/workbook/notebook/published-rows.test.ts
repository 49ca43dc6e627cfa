import { expect, test, vi } from 'vitest';
import {
  publishedRows,
  publishedScale,
  showPublished,
} from '../../../workbook/notebook/published-rows.js';
import { publishedFigure, tableOf } from '../../../workbook/papers/index.js';

test('a figure of a paper comes with where it stands', () => {
  const { value, source } = publishedFigure(
    'likelihood',
    'TarFlow 2-768-8-8',
    'bits per dimension',
  );
  expect(value).toBe(2.99);
  expect(source).toContain('arXiv 2412.06329');
});

test('and what was trained for it, where that is known', () => {
  expect(publishedScale('likelihood', 'TarFlow 2-768-8-8')).toMatchObject({ blocks: 8, side: 64 });
  expect(() => publishedScale('likelihood', 'Glow')).toThrow('scale is not known');
});

test('a figure that no table has is an error', () => {
  expect(() => publishedFigure('likelihood', 'Glow', 'FID')).toThrow("0 figures 'FID'");
  expect(() => publishedFigure('no table', 'Glow', 'FID')).toThrow(
    "No paper has the table 'no table'",
  );
});

test('published figures are rows, with a column for each that is asked for', () => {
  const rows = publishedRows('crm', ({ of }) => of);
  expect(rows).toHaveLength(tableOf('crm').rows.length);
  const [first] = tableOf('crm').rows;
  expect(rows[0]).toMatchObject({ 'published model': first?.name, setting: first?.setting });
  for (const { of, value } of first?.published ?? []) expect(rows[0]?.[of as string]).toBe(value);
  expect(publishedRows('crm', () => undefined)[0]).not.toHaveProperty('block 0');
  expect(() => publishedRows('none', () => 'x')).toThrow(/none/);
});

test('they are shown as printed, and the caption says that they are not ours', () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  showPublished('selective-jacobi', ({ measure, of }) =>
    measure === 'speed-up' && of === 'SeJD' ? 'SeJD' : undefined,
  );
  showPublished('crm', ({ of }) => of, 'in %');
  const [speedUps, crm] = log.mock.calls.map(([text]) => (text as string).split('\n'));
  expect(speedUps?.[0]).toMatch(
    /^Published, not ours: Time of a batch .* \(arXiv 2505\.24791, table of results\)$/,
  );
  expect(speedUps?.at(-1)).toMatch(/^AFHQ +1,024 tokens, GPU +4\.5$/);
  expect(crm?.[0]).toMatch(/; in %$/);
  log.mockRestore();
});
