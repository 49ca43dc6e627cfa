import { expect, test } from 'vitest';
import { type ChartSpec, renderChart } from '../../../workbook/charts/chart.js';
import { matrixMap } from '../../../workbook/charts/maps.js';

/** The rows of all layers of a chart. */
function rowsOf(chart: ChartSpec): Record<string, unknown>[][] {
  const layers = (chart.layer ?? []) as ChartSpec[];
  return layers.map(({ data }) => (data as { values: Record<string, unknown>[] }).values);
}

test.each<[string, ChartSpec]>([
  [
    'matrix',
    matrixMap({
      ...{ title: 'J', values: [1, 0, 2, 1], block: 1 },
      ...{ xTitle: 'x', yTitle: 'z', colourTitle: 'log₁₀' },
    }),
  ],
])('the view of %s can be drawn', async (_, chart) => {
  expect((await renderChart(chart)).subarray(1, 4).toString()).toBe('PNG');
});

test('a matrix is shown by the logarithms of its sizes, or as it is', () => {
  const text = { title: 'J', xTitle: 'x', yTitle: 'z', colourTitle: 'c' };
  const values = [-100, 0, 2, 1];
  const shown = (scale: 'logarithm' | 'linear') =>
    rowsOf(matrixMap({ ...text, values, scale }))[0]?.[0]?.value;
  expect(shown('logarithm')).toEqual([2, null, 0.30103, 0]);
  expect(shown('linear')).toEqual(values);
  // Borders between four blocks of one row and column each.
  expect(rowsOf(matrixMap({ ...text, values, block: 1 })).slice(1)).toEqual([
    [{ at: 1 }],
    [{ at: 1 }],
  ]);
});
