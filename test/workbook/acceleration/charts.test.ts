import { expect, test } from 'vitest';
import {
  blockTimeChart,
  breakEvenChart,
  frontChart,
  type SegmentCost,
  segmentChart,
  speedUpChart,
} from '../../../workbook/acceleration/charts.js';
import type { Subject } from '../../../workbook/acceleration/solver-study.js';
import { referenceLine, sideBySide } from '../../../workbook/charts/builders.js';
import { type ChartSpec, renderChart } from '../../../workbook/charts/chart.js';
import {
  intervalChart,
  matrixChart,
  reliabilityChart,
  stripChart,
} from '../../../workbook/charts/statistics.js';

const subject = {
  title: '4 tokens',
  tokens: 4,
  batch: 2,
  first: 1,
  inOrder: [1, 0],
} as unknown as Subject;
const cost = (form: SegmentCost['form'], segments: number): SegmentCost => ({
  ...{ subject, block: 1, form, segments, evaluations: 4 * segments, work: 1 + segments },
});
const costs = [1, 2].flatMap((count) => [cost('ours', count), cost('published form', count)]);
const reliability = { error: 0.05, bins: [{ images: 3, confidence: 0.8, accuracy: 0.7 }] };
const star = { model: 'a', setting: 'xla, batch 1', star: 3, mean: 8, fewest: 4, most: 20 };
const text = { title: 'A chart', subtitle: 'of something', xTitle: 'x' };

const charts: Record<string, ChartSpec> = {
  matrix: matrixChart({
    ...text,
    values: [
      [0, 100],
      [60, 40],
    ],
    rows: ['a', 'b'],
    columns: ['a', 'b'],
    yTitle: 'y',
  }),
  'reliability, three side by side': sideBySide(
    ['a', 'b', 'c'].map((name) => reliabilityChart(name, reliability)),
  ),
  interval: intervalChart({
    ...text,
    rows: [
      { name: 'a', value: 2, low: 1, high: 3, kind: 'ours' },
      { name: 'b', value: 4, low: 3, high: 5 },
    ],
  }),
  strip: stripChart({ ...text, rows: [1, 2, 3].map((value) => ({ group: 'a', value })) }),
  'fronts, two side by side': sideBySide(
    ['a', 'b'].map((name) => frontChart(name, [Float32Array.of(0, 1), Float32Array.of(0, 0)])),
  ),
  'segments, two side by side': sideBySide([
    segmentChart(costs, 'evaluations', 'Evaluations', 'evaluations'),
    segmentChart(costs, 'work', 'Work', 'work'),
  ]),
  'time by block': blockTimeChart(subject, [{ strategy: 'Jacobi', milliseconds: [3, 5] }]),
  'break-even counts': breakEvenChart([star]),
  'speed-ups': speedUpChart([
    { model: 'a', setting: 'xla, batch 1', strategy: 'Jacobi', speedup: 0.2, keepsAim: true },
    { model: 'a', setting: 'xla, batch 1', strategy: 'planned', speedup: 2, keepsAim: false },
  ]),
};

test.each(Object.entries(charts))('%s: can be drawn, and fits on a page', async (_, chart) => {
  const picture = await renderChart(chart);
  // PNG: the width in pixels, two of which are one of the page.
  expect(picture.readUInt32BE(16) / 2).toBeLessThanOrEqual(900);
});

test('a reference line leads through its points', () => {
  const { data } = referenceLine([
    [0, 1],
    [2, 3],
  ]) as { data: { values: unknown } };
  expect(data.values).toEqual([
    { x: 0, y: 1 },
    { x: 2, y: 3 },
  ]);
});

/** The values that a chart draws, of whichever layer has them. */
function valuesOf(chart: ChartSpec): Record<string, unknown>[] {
  const {
    data,
    layer = [],
    vconcat = [],
  } = chart as {
    data?: { values: never[] };
    layer?: ChartSpec[];
    vconcat?: ChartSpec[];
  };
  return [...(data?.values ?? []), ...[...layer, ...vconcat].flatMap(valuesOf)];
}

test('charts compute what they draw', () => {
  const cells = valuesOf(charts.matrix as ChartSpec);
  expect(cells[1]).toEqual({ row: 'a', column: 'b', value: 100, shade: 1 });
  // Per image, in the order of sampling.
  expect(valuesOf(charts['time by block'] as ChartSpec)).toEqual([
    { strategy: 'Jacobi', block: 'block 1 (first)', place: 0, time: 2.5 },
    { strategy: 'Jacobi', block: 'block 0', place: 1, time: 1.5 },
  ]);
  const speedUps = valuesOf(charts['speed-ups'] as ChartSpec);
  const samples = speedUps.flatMap((row) => row.samples ?? []);
  expect(samples).toEqual(['keeps the aim', 'misses it']);
});
