import type { Reliability } from '../../evaluation/classification.js';
import type { ChartSpec } from '../chart.js';
import { layered } from '../chart-types.js';
import { palette } from '../theme.js';
import { referenceLine } from './reference-line.js';

/**
 * A table of numbers with names on both sides, as coloured cells with the numbers in them, rounded to whole
 * ones.
 *
 * @param chart.values row by row, as many in each as there are columns
 * @param chart.shade from a value to its darkness between 0 and 1; default value / 100
 */
export function matrixChart(chart: {
  title: string;
  subtitle: string;
  values: readonly (readonly number[])[];
  rows: readonly string[];
  columns: readonly string[];
  xTitle: string;
  yTitle: string;
  shade?: (value: number) => number;
}): ChartSpec {
  const { shade = (value: number) => value / 100 } = chart;
  const cells = chart.values.flatMap((line, i) =>
    line.map((value, j) => ({
      row: chart.rows[i] ?? '',
      column: chart.columns[j] ?? '',
      value: Math.round(value),
      shade: shade(value),
    })),
  );
  const names = (field: string, title: string) => ({
    field,
    type: 'ordinal',
    sort: null,
    title,
    axis: { labelAngle: field === 'column' ? -40 : 0, domain: false, ticks: false, grid: false },
  });
  const axes = { x: names('column', chart.xTitle), y: names('row', chart.yTitle) };
  const colour = {
    field: 'shade',
    type: 'quantitative',
    legend: null,
    scale: { scheme: 'blues', domain: [0, 1], clamp: true },
  };
  const text = { condition: { test: 'datum.shade > 0.55', value: 'white' }, value: '#222222' };
  return {
    title: { text: chart.title, subtitle: chart.subtitle },
    data: { values: cells },
    width: 310,
    height: 310,
    layer: [
      { mark: { type: 'rect' }, encoding: { ...axes, color: colour } },
      {
        mark: { type: 'text', fontSize: 10 },
        encoding: { ...axes, text: { field: 'value', type: 'quantitative' }, color: text },
      },
    ],
  };
}

/** A reliability diagram: accuracy by confidence; the area of a dot is its number of images. */
export function reliabilityChart(title: string, { error, bins }: Reliability): ChartSpec {
  const axis = { values: [0, 0.2, 0.4, 0.6, 0.8, 1], format: '.1f' };
  const axes = { x: { ...share('confidence'), axis }, y: { ...share('accuracy'), axis } };
  const size = {
    field: 'images',
    type: 'quantitative',
    scale: { domain: [0, bins.reduce((sum, bin) => sum + bin.images, 0)], range: [15, 700] },
    legend: null,
  };
  const data = { values: [...bins] };
  const mark = { type: 'point', color: palette[0], opacity: 0.9 };
  const chart: ChartSpec = {
    title: { text: title, subtitle: `expected calibration error ${(100 * error).toFixed(1)} %` },
    width: 200,
    height: 200,
    layer: [
      { data, mark: { type: 'line', strokeWidth: 1.6, color: palette[0] }, encoding: axes },
      { data, mark, encoding: { ...axes, size } },
    ],
  };
  const diagonal = referenceLine([
    [0, 0],
    [1, 1],
  ]);
  return layered([chart, diagonal]);
}

function share(field: string): ChartSpec {
  return { field, type: 'quantitative', title: field, scale: { domain: [0, 1] } };
}
