import type { Reliability } from '../measures/classification.js';
import { layered, referenceLine } from './builders.js';
import { type ChartSpec, palette } from './chart.js';

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

/**
 * A reliability diagram: accuracy by confidence, and below it how many images stand behind each bin. Both
 * have the mean confidence of a bin along x; a dot's area is its number of images, too.
 */
export function reliabilityChart(title: string, { error, bins }: Reliability): ChartSpec {
  const data = { values: [...bins] };
  const x = share('confidence', 'confidence of the guess');
  const unnamed = { ...x, title: null };
  const y = share('accuracy', 'accuracy (share right)');
  const size = {
    field: 'images',
    type: 'quantitative',
    scale: { domain: [0, bins.reduce((sum, bin) => sum + bin.images, 0)], range: [15, 400] },
    legend: null,
  };
  const mark = { type: 'point', color: palette[0], opacity: 0.9 };
  const line = { type: 'line', strokeWidth: 1.6, color: palette[0] };
  const accuracies: ChartSpec = {
    width: 185,
    height: 185,
    layer: [
      { data, mark: line, encoding: { x: unnamed, y } },
      { data, mark, encoding: { x: unnamed, y, size } },
    ],
  };
  const diagonal = referenceLine([
    [0, 0],
    [1, 1],
  ]);
  return {
    title: { text: title, subtitle: `expected calibration error ${(100 * error).toFixed(1)} %` },
    vconcat: [layered([accuracies, diagonal]), binSizes(bins, x)],
    spacing: 8,
  };
}

/** A bar for each bin of a reliability diagram, with its number of images. */
function binSizes(bins: Reliability['bins'], x: ChartSpec): ChartSpec {
  const most = bins.reduce((largest, bin) => Math.max(largest, bin.images), 1);
  const y = {
    field: 'images',
    type: 'quantitative',
    title: 'images',
    // Room for the numbers above the bars.
    scale: { domain: [0, 1.5 * most], nice: false },
    // The bars have their numbers.
    axis: { labels: false, ticks: false, grid: false },
  };
  const number = {
    type: 'text',
    angle: 270,
    align: 'left',
    baseline: 'middle',
    dx: 3,
    fontSize: 10,
  };
  return {
    width: 185,
    height: 90,
    data: { values: [...bins] },
    layer: [
      { mark: { type: 'bar', width: 10, color: palette[0] }, encoding: { x, y } },
      {
        mark: number,
        encoding: { x, y, text: { field: 'images', type: 'quantitative', format: ',' } },
      },
    ],
  };
}

function share(field: string, title: string): ChartSpec {
  const axis = { values: [0, 0.2, 0.4, 0.6, 0.8, 1], format: '.1f' };
  return { field, type: 'quantitative', title, scale: { domain: [0, 1], padding: 0 }, axis };
}

/** A value with the ends of an interval around it. */
export interface IntervalRow {
  name: string;
  value: number;
  low: number;
  high: number;
  /** Tells kinds of rows apart by colour. */
  kind?: string;
}

/** Values as dots with their intervals, a line for each: for comparisons far from zero. */
export function intervalChart(chart: {
  title: string;
  subtitle: string;
  rows: readonly IntervalRow[];
  xTitle: string;
}): ChartSpec {
  const axis = { labelLimit: 320, grid: true };
  const y = { field: 'name', type: 'nominal', sort: null, title: null, axis };
  const x = { type: 'quantitative', title: chart.xTitle, scale: { zero: false } };
  const kinds = [...new Set(chart.rows.flatMap(({ kind }) => kind ?? []))];
  const legend = { title: null, orient: 'top' };
  const color =
    kinds.length === 0
      ? { value: palette[0] }
      : { field: 'kind', type: 'nominal', scale: { domain: kinds }, legend };
  return {
    title: { text: chart.title, subtitle: chart.subtitle },
    width: 420,
    height: { step: 30 },
    data: { values: [...chart.rows] },
    layer: [
      {
        mark: { type: 'rule', strokeWidth: 2 },
        encoding: { y, x: { ...x, field: 'low' }, x2: { field: 'high' }, color },
      },
      {
        mark: { type: 'point', size: 80, opacity: 1 },
        encoding: { y, x: { ...x, field: 'value' }, color },
      },
    ],
  };
}

/** A tick for each value, a line for each group, and a bar at the group's median. */
export function stripChart(chart: {
  title: string;
  subtitle: string;
  rows: readonly { group: string; value: number }[];
  xTitle: string;
}): ChartSpec {
  const groups = [...new Set(chart.rows.map(({ group }) => group))];
  const x = { type: 'quantitative', field: 'value', title: chart.xTitle, scale: { zero: false } };
  return {
    title: { text: chart.title, subtitle: chart.subtitle },
    width: 520,
    height: 30 * groups.length,
    data: { values: [...chart.rows] },
    encoding: { y: { field: 'group', type: 'nominal', sort: groups, title: null }, x },
    layer: [
      { mark: { type: 'tick', thickness: 1, opacity: 0.25, color: palette[0] } },
      {
        mark: { type: 'tick', thickness: 3, size: 20, color: palette[1] },
        encoding: { x: { aggregate: 'median', field: 'value', type: 'quantitative' } },
      },
    ],
  };
}
