import type { ChartSpec } from '../chart.js';

/**
 * A thin line that is no measurement, such as the one of equality, to be laid over a chart of two
 * quantities by `layered`.
 *
 * @param points (x, y) that it leads through
 * @param colour default a quiet grey
 */
export function referenceLine(
  points: readonly (readonly [x: number, y: number])[],
  colour = '#5a5a5a',
): ChartSpec {
  return {
    data: { values: points.map(([x, y]) => ({ x, y })) },
    mark: { type: 'line', strokeDash: [4, 3], strokeWidth: 1.4, color: colour, clip: true },
    encoding: {
      x: { field: 'x', type: 'quantitative' },
      y: { field: 'y', type: 'quantitative' },
    },
  };
}
