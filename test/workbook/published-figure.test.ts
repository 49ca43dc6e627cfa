import { expect, test } from 'vitest';
import { publishedFigure, publishedScale } from '../../workbook/published-figure.js';

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
