import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import { type Domain, heatMap, layered, scatterChart } from './builders.js';
import type { ChartSpec } from './chart.js';

/** A point in the plane: two tokens of one number. */
export type Point = readonly [x1: number, x2: number];

/** Points from a flat list of numbers, two for each. */
export function pointsOf(numbers: ArrayLike<number>): Point[] {
  return Array.from({ length: numbers.length / 2 }, (_, i): Point => {
    return [numbers[2 * i] ?? 0, numbers[2 * i + 1] ?? 0];
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

type Layout = Pick<TarFlowConfig, 'image' | 'patchSize'>;

/**
 * A grey image with the borders of its patches, and on each patch a number.
 *
 * @param pixels height × width numbers in [−1, 1], row by row
 * @param number of the patch at a place in raster order, from 0
 */
export function patchOrderChart(
  { image: { height, width }, patchSize }: Layout,
  pixels: ArrayLike<number>,
  title: string,
  number: (place: number) => number,
): ChartSpec {
  const [rows, columns] = [height / patchSize, width / patchSize];
  const axis = (field: string, range: number, reverse: boolean): ChartSpec => ({
    field,
    type: 'quantitative',
    axis: null,
    scale: { domain: [0, range], nice: false, zero: false, reverse },
  });
  const [x, y] = [axis('x', width, false), axis('y', height, true)];
  const numbers = Array.from({ length: rows * columns }, (_, place) => ({
    x: ((place % columns) + 0.5) * patchSize,
    y: (Math.floor(place / columns) + 0.5) * patchSize,
    number: number(place),
  }));
  const text = { type: 'text', fontSize: 14, fontWeight: 'bold' };
  const numbered = { data: { values: numbers }, encoding: { x, y, text: { field: 'number' } } };
  const rule = { type: 'rule', color: '#e69f00', strokeWidth: 1.2 };
  const cuts = (field: 'x' | 'y', count: number): ChartSpec[] =>
    Array.from({ length: count + 1 }, (_, i) => ({ [field]: i * patchSize }));
  return {
    title,
    width: 336,
    height: 336,
    layer: [
      greyPixels(pixels, width, x, y),
      { data: { values: cuts('x', columns) }, mark: rule, encoding: { x } },
      { data: { values: cuts('y', rows) }, mark: rule, encoding: { y } },
      { ...numbered, mark: { ...text, stroke: '#000000', strokeWidth: 3 } },
      { ...numbered, mark: { ...text, color: '#ffc54d' } },
    ],
  };
}

function greyPixels(
  pixels: ArrayLike<number>,
  width: number,
  x: ChartSpec,
  y: ChartSpec,
): ChartSpec {
  const values = Array.from(pixels, (value, i) => {
    const [column, row] = [i % width, Math.floor(i / width)];
    return { x: column, x2: column + 1, y: row, y2: row + 1, value };
  });
  const scale = { domain: [-1, 1], range: ['#000000', '#ffffff'] };
  const color = { field: 'value', type: 'quantitative', legend: null, scale };
  return {
    data: { values },
    mark: 'rect',
    encoding: { x, x2: { field: 'x2' }, y, y2: { field: 'y2' }, color },
  };
}

/** A number for each patch, as colours at the places of the patches in the image. */
export function patchMap(
  { image: { height, width }, patchSize }: Layout,
  values: ArrayLike<number>,
  text: {
    title: string;
    subtitle?: string;
    colourTitle: string;
    colourDomain?: Domain;
    /** Width in pixels. */
    side?: number;
  },
): ChartSpec {
  const [rows, columns] = [height / patchSize, width / patchSize];
  const { side = 250, ...rest } = text;
  return heatMap({
    ...rest,
    values,
    rows,
    columns,
    x: [0, columns],
    y: [0, rows],
    firstRow: 'top',
    width: side,
    height: (side * rows) / columns,
  });
}
