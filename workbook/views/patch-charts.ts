import type { TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { ChartSpec } from '../chart.js';
import { type Domain, heatMap } from '../chart-types.js';

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
