import type { ChartSpec } from '../chart.js';
import { palette } from '../theme.js';

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
