import { expect, test } from 'vitest';
import { type ChartSpec, renderChart } from '../../../workbook/charts/chart.js';
import {
  densityMap,
  gridPoints,
  matrixMap,
  patchMap,
  patchOrderChart,
  pointMap,
  pointsOf,
} from '../../../workbook/charts/maps.js';

/** The rows of all layers of a chart. */
function rowsOf(chart: ChartSpec): Record<string, unknown>[][] {
  const layers = (chart.layer ?? []) as ChartSpec[];
  return layers.map(({ data }) => (data as { values: Record<string, unknown>[] }).values);
}

const image = { channels: 1, height: 4, width: 6 };

test('points of the plane and the centres of cells', () => {
  expect(pointsOf(Float32Array.of(1, 2, 3, 4))).toEqual([
    [1, 2],
    [3, 4],
  ]);
  expect(gridPoints(2, 2)).toEqual([
    [-1, -1],
    [1, -1],
    [-1, 1],
    [1, 1],
  ]);
});

test('a map of points says how many lie outside', () => {
  const points = [[0, 0.12345] as const, [5, 0] as const];
  const chart = pointMap('Noise', points, 3, { subtitle: 'drawn', groups: ['a', 'b'], name: 'z' });
  expect(chart.title).toEqual({ text: 'Noise', subtitle: 'drawn; 1 outside' });
  expect(rowsOf(chart)[0]).toEqual([
    { x1: 0, x2: 0.123, group: 'a' },
    { x1: 5, x2: 0, group: 'b' },
  ]);
  expect(JSON.stringify(chart)).toContain('z₁');
  expect(pointMap('Data', points.slice(0, 1), 3).title).toBe('Data');
});

test('patches are numbered at their places', () => {
  const pixels = new Float32Array(24);
  const chart = patchOrderChart({ image, patchSize: 2 }, pixels, 'Order', (place) => 6 - place);
  const [grey, columns, rows, numbers] = rowsOf(chart);
  expect(grey).toHaveLength(24);
  expect(columns).toHaveLength(4);
  expect(rows).toHaveLength(3);
  expect(numbers?.[0]).toEqual({ x: 1, y: 1, number: 6 });
  expect(numbers?.[5]).toEqual({ x: 5, y: 3, number: 1 });
});

test.each<[string, ChartSpec]>([
  ['density', densityMap('p', [0, -1, -2, -3], 1)],
  ['points', pointMap('points', [[0, 0]], 1)],
  [
    'order of patches',
    patchOrderChart({ image, patchSize: 2 }, new Float32Array(24), 'o', (i) => i),
  ],
  [
    'patches',
    patchMap({ image, patchSize: 2 }, [1, 2, 3, 4, 5, 6], { title: 't', colourTitle: 'c' }),
  ],
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
