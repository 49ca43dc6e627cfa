import { type Domain, heatMap, layered } from './builders.js';
import type { ChartSpec } from './chart.js';

/** A square matrix whose rows are outputs and whose columns are inputs, as colours. */
export interface MatrixMap {
  title: string;
  subtitle?: string;
  /** size × size numbers, row by row from the top. */
  values: ArrayLike<number>;
  xTitle: string;
  yTitle: string;
  colourTitle: string;
  colourDomain?: Domain;
  /** log₁₀ of the sizes of the values, so that exactly zero stays blank; or the values as they are. */
  scale?: 'logarithm' | 'linear';
  /** Draws lines between blocks of so many rows and columns. */
  block?: number;
  /** Side in pixels. */
  side?: number;
}

/** A matrix between tokens, or between the numbers in them: the first row is on top. */
export function matrixMap({
  values,
  scale = 'logarithm',
  block,
  side = 250,
  ...text
}: MatrixMap): ChartSpec {
  const size = Math.sqrt(values.length);
  const chart = heatMap({
    ...text,
    values: Array.from(values, (value) => {
      return scale === 'linear' ? value : Math.log10(Math.abs(value));
    }),
    rows: size,
    columns: size,
    x: [0, size],
    y: [0, size],
    firstRow: 'top',
    width: side,
    height: side,
  });
  if (block === undefined) return chart;
  const cuts = Array.from({ length: size / block - 1 }, (_, i) => ({ at: (i + 1) * block }));
  const mark = { type: 'rule', color: '#999999', strokeWidth: 0.7 };
  const at = { field: 'at', type: 'quantitative' };
  return layered([
    chart,
    { data: { values: cuts }, mark, encoding: { x: at } },
    { data: { values: cuts }, mark, encoding: { y: at } },
  ]);
}
