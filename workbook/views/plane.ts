import type { ChartSpec } from '../chart.js';
import { heatMap, scatterChart } from '../chart-types.js';

/** A point in the plane: two tokens of one number. */
export type Point = readonly [x1: number, x2: number];

/** Points from a flat list of numbers, two for each. */
export function pointsOf(numbers: ArrayLike<number>): Point[] {
  return Array.from({ length: numbers.length / 2 }, (_, i): Point => {
    return [numbers[2 * i] as number, numbers[2 * i + 1] as number];
  });
}

/** The centres of the cells of a grid over [−half, half]², row by row from the bottom. */
export function gridPoints(half: number, cells: number): Point[] {
  const at = (cell: number): number => ((cell + 0.5) / cells) * 2 * half - half;
  return Array.from({ length: cells ** 2 }, (_, i) => [at(i % cells), at(Math.floor(i / cells))]);
}

/** A density as a square heat map, from its logarithms at {@link gridPoints}. */
export function densityMap(
  title: string,
  logDensities: ArrayLike<number>,
  half: number,
  size = 260,
): ChartSpec {
  const cells = Math.sqrt(logDensities.length);
  return heatMap({
    title,
    values: Array.from(logDensities, (l) => Math.round(1e4 * Math.exp(l)) / 1e4),
    rows: cells,
    columns: cells,
    x: [-half, half],
    y: [-half, half],
    xTitle: 'x₁',
    yTitle: 'x₂',
    colourTitle: 'p(x)',
    width: size,
    height: size,
  });
}

/** How a map of points looks. */
export interface PointMapOptions {
  subtitle?: string;
  /** Side of the square in pixels. */
  size?: number;
  /** The name of the cloud of each point, in their order. */
  groups?: readonly string[];
  /** What the plane is of, 'x' (default), 'z' or 'h', between two blocks: names the axes. */
  name?: 'x' | 'z' | 'h';
}

/** Points of the square [−half, half]²; the title says how many lie outside, if any do. */
export function pointMap(
  title: string,
  points: readonly Point[],
  half: number,
  { subtitle, size = 260, groups, name = 'x' }: PointMapOptions = {},
): ChartSpec {
  const outside = points.filter((point) => point.some((value) => Math.abs(value) > half)).length;
  const notes = [subtitle, outside > 0 ? `${outside} outside` : undefined];
  const note = notes.filter((text) => text !== undefined).join('; ');
  return scatterChart({
    title,
    ...(note !== '' && { subtitle: note }),
    rows: points.map(([x1, x2], i) => ({
      // Three decimals are more than a picture shows.
      x1: Math.round(1000 * x1) / 1000,
      x2: Math.round(1000 * x2) / 1000,
      ...(groups && { group: groups[i] }),
    })),
    x: 'x1',
    y: 'x2',
    ...(groups && { series: 'group' }),
    xTitle: `${name}₁`,
    yTitle: `${name}₂`,
    xDomain: [-half, half],
    yDomain: [-half, half],
    width: size,
    height: size,
    size: 8,
  });
}
