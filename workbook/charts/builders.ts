import { type ChartSpec, errorColour, levelColour, palette } from './chart.js';

/** One datum: named numbers, and names that tell series and categories apart. */
export type Row = Record<string, number | string | null | undefined>;

/** The options of every chart. */
export interface ChartText {
  title: string;
  subtitle?: string;
  /** The title of the x axis; by default the name of the field. */
  xTitle?: string;
  /** The title of the y axis; by default the name of the field. */
  yTitle?: string;
  /** The width of the plotting area, in pixels of the page. */
  width?: number;
  /** The height of the plotting area, in pixels of the page. */
  height?: number;
}

/** The range of an axis: from, to. */
export type Domain = readonly [number, number];

/** A chart of rows in a plane. */
interface PlaneChart extends ChartText {
  rows: readonly Row[];
  /** The field of a row that holds the coordinate along x. */
  x: string;
  /** The field of a row that holds the coordinate along y. */
  y: string;
  /** The field that names the line or the cloud of a row. */
  series?: string;
  logX?: boolean;
  logY?: boolean;
  xDomain?: Domain;
  yDomain?: Domain;
  /** The colour, if there is one series. */
  colour?: string;
  /** Where the x axis has its ticks, each with its number. */
  xTicks?: readonly number[];
  /** Where the y axis has its ticks, likewise. */
  yTicks?: readonly number[];
}

/** What lines take besides. */
interface LineChart extends PlaneChart {
  /** The field that parts a series into lines of one colour, for example its seeds. */
  detail?: string;
  /** True for dots at the data, for curves of few points. */
  points?: boolean;
  /** The field that orders the points along a line; x where absent. */
  order?: string;
  /** True where x names stages one after the other, and is no number. */
  stages?: boolean;
  /** The field with the half-length of the error bar of a point, in units of y. */
  error?: string;
}

/** One or several lines over a common x. */
export function lineChart(chart: LineChart): ChartSpec {
  const { rows, detail, order, points } = chart;
  const lines: ChartSpec = {
    data: { values: plain(rows) },
    mark: { type: 'line', clip: true, ...(points ? { point: { size: 45 } } : {}) },
    encoding: {
      ...planeEncoding(chart),
      ...(detail === undefined ? {} : { detail: { field: detail, type: 'nominal' } }),
      ...(order === undefined ? {} : { order: { field: order, type: 'quantitative' } }),
    },
  };
  return framed(chart, [lines, ...errorRules(chart, planeEncoding(chart))]);
}

/** Vertical lines over the errors of rows, which are half-lengths in units of y; none without a field of them. */
function errorRules(
  { rows, y, error }: { rows: readonly Row[]; y: string; error?: string | undefined },
  encoding: Record<string, ChartSpec>,
  mark: ChartSpec = {},
): ChartSpec[] {
  if (error === undefined) return [];
  const bounds = rows.map((row) => ({
    ...row,
    [y]: Number(row[y]) - Number(row[error]),
    upper: Number(row[y]) + Number(row[error]),
  }));
  return [
    {
      data: { values: plain(bounds) },
      mark: { type: 'rule', strokeWidth: 1.6, clip: true, ...mark },
      encoding: { ...encoding, y2: { field: 'upper' } },
    },
  ];
}

/** The encoding of the rows of a line or scatter chart: places and colours. */
function planeEncoding(chart: PlaneChart & Partial<LineChart>): Record<string, ChartSpec> {
  const { x, y, xTitle, yTitle, xDomain, yDomain, logX, logY, stages, xTicks, yTicks } = chart;
  const axis = { labelAngle: 0 };
  return {
    x: stages
      ? { field: x, type: 'ordinal', sort: null, title: xTitle ?? x, axis }
      : ticked(quantity(x, xTitle, xDomain, logX), xTicks),
    y: ticked(quantity(y, yTitle, yDomain, logY), yTicks),
    color: seriesColour(chart.rows, chart.series, chart.colour),
  };
}

/** The place along an axis that has its ticks at some numbers, each with its number. */
function ticked(place: ChartSpec, ticks: readonly number[] | undefined): ChartSpec {
  if (!ticks) return place;
  // Vega leaves every second tick out where there are more than the count.
  const axis = { values: [...ticks], tickCount: ticks.length, labelOverlap: false };
  return { ...place, axis: { ...axis, labelExpr: "format(datum.value, '~g')" } };
}

/** Points in a plane; `size` is the area of a dot in square pixels. */
export function scatterChart(chart: PlaneChart & { size?: number; opacity?: number }): ChartSpec {
  const crowded = chart.rows.length > 500;
  const { size = crowded ? 9 : 45, opacity = crowded ? 0.5 : 0.9 } = chart;
  const mark = { type: 'point', clip: true, size, opacity, strokeWidth: 0 };
  const data = { values: plain(chart.rows) };
  return framed(chart, [{ data, mark, encoding: planeEncoding(chart) }]);
}

/** Bars: one for each category, or for each series in each category. */
export function barChart(
  chart: ChartText & {
    rows: readonly Row[];
    /** The field with the category. */
    x: string;
    /** The field with the height. */
    y: string;
    /** The field that names the series of a row; each has its bar in a category. */
    series?: string;
    /** The field with the half-length of the error bar, in units of y. */
    error?: string;
    yDomain?: Domain;
  },
): ChartSpec {
  const { x, y, series } = chart;
  const category = {
    field: x,
    type: 'nominal',
    sort: null,
    title: chart.xTitle ?? x,
    axis: { labelAngle: 0, labelLimit: 150 },
  };
  const place = {
    x: category,
    y: quantity(y, chart.yTitle, chart.yDomain, false, true),
    ...(series !== undefined && { xOffset: { field: series, sort: null } }),
  };
  const bars: ChartSpec = {
    data: { values: plain(chart.rows) },
    mark: { type: 'bar', clip: true },
    encoding: { ...place, color: seriesColour(chart.rows, series, palette[0]) },
  };
  // Room for the longest category name, or for the bars of one category.
  const categories = new Set(chart.rows.map((row) => row[x]));
  const barsInOne = series === undefined ? 1 : new Set(chart.rows.map((row) => row[series])).size;
  const longest = Math.max(...[...categories].map((name) => String(name).length));
  const band = Math.max(7 * Math.min(longest, 22) + 16, 40 * barsInOne + 20);
  const width = chart.width ?? Math.max(300, band * categories.size);
  const errors = errorRules(chart, place, { color: errorColour });
  return framed({ ...chart, width }, [bars, ...errors]);
}

/**
 * A table of numbers as colours. The first row is at the bottom (default), as for a density, or on top, as
 * for a matrix. Numbers that are not finite stay blank.
 *
 * @throws RangeError for no values, and where they are not rows × columns
 */
export function heatMap(
  chart: ChartText & {
    /** rows × columns numbers, row by row. */
    values: ArrayLike<number>;
    rows: number;
    columns: number;
    /** From where the first column begins to where the last one ends. */
    x: Domain;
    /** From where the first row begins to where the last one ends. */
    y: Domain;
    /** Where the first row is. Default 'bottom'. */
    firstRow?: 'bottom' | 'top';
    /** The meaning of the colours. */
    colourTitle: string;
    colourDomain?: Domain;
  },
): ChartSpec {
  const { values, rows, columns } = chart;
  if (values.length === 0 || values.length !== rows * columns) {
    throw new RangeError(
      `Got ${values.length} values, expected the ${rows * columns} of a heat map of ${rows} × ${columns}. Give them row by row.`,
    );
  }
  const width = chart.width ?? 340;
  const height = chart.height ?? 340;
  const cell = (domain: Domain, count: number) => (domain[1] - domain[0]) / count;
  const [dx, dy] = [cell(chart.x, columns), cell(chart.y, rows)];
  // One pixel of overlap, so that the background does not show between cells.
  const [overX, overY] = [(chart.x[1] - chart.x[0]) / width, (chart.y[1] - chart.y[0]) / height];
  const numbers = Array.from(values, (value) => (Number.isFinite(value) ? round(value) : null));
  const { colourDomain: domain } = chart;
  const axis = (title: string | undefined, range: Domain, reverse: boolean) => ({
    type: 'quantitative',
    title: title ?? null,
    scale: { domain: range, nice: false, zero: false, reverse },
    axis: { grid: false },
  });
  return framed({ ...chart, width, height }, [
    {
      // One list of numbers and a little arithmetic take a tenth of the size of one row per cell.
      data: { values: [{ value: numbers }] },
      transform: [
        { flatten: ['value'] },
        { window: [{ op: 'row_number', as: 'place' }] },
        { calculate: `${chart.x[0]} + ${dx} * ((datum.place - 1) % ${columns})`, as: 'left' },
        { calculate: `${chart.y[0]} + ${dy} * floor((datum.place - 1) / ${columns})`, as: 'low' },
        { calculate: `datum.left + ${dx + overX}`, as: 'right' },
        { calculate: `datum.low + ${dy + overY}`, as: 'high' },
      ],
      mark: { type: 'rect', clip: true, tooltip: { content: 'encoding' } },
      encoding: {
        x: { field: 'left', ...axis(chart.xTitle, chart.x, false) },
        x2: { field: 'right' },
        y: { field: 'low', ...axis(chart.yTitle, chart.y, chart.firstRow === 'top') },
        y2: { field: 'high' },
        color: {
          field: 'value',
          type: 'quantitative',
          title: chart.colourTitle,
          scale: { ...(domain ? { domain } : {}), scheme: 'viridis' },
          legend: { gradientLength: Math.min(200, height) },
        },
      },
    },
  ]);
}

/**
 * Charts drawn over each other on the axes of the first, with its title or a new one.
 * @throws RangeError for no charts
 */
export function layered(charts: readonly ChartSpec[], title?: ChartSpec['title']): ChartSpec {
  const [first, ...others] = charts;
  if (!first)
    throw new RangeError(
      'Got no chart to layer. Give at least one; the axes are those of the first.',
    );
  return {
    ...first,
    title: title ?? first.title,
    layer: [
      ...layersOf(first),
      ...others.flatMap(layersOf).map((layer) => onAxes(layer, axesOf(first))),
    ],
  };
}

/**
 * Charts side by side, `columns` in a row, each with its own title and axes.
 *
 * @param colours 'own': each chart has its colours and legend; 'shared': one scale of colours and one
 *   legend for all
 */
export function sideBySide(
  charts: readonly ChartSpec[],
  columns = charts.length,
  colours: 'own' | 'shared' = 'own',
): ChartSpec {
  return {
    concat: [...charts],
    columns,
    spacing: 36,
    resolve: {
      // The bars of a category share its width, which differs from chart to chart.
      scale: { color: colours === 'own' ? 'independent' : 'shared', xOffset: 'independent' },
    },
  };
}

/**
 * A dashed horizontal line to lay over a chart, for what something that was measured or computed here
 * is compared with: a bound, real images.
 *
 * @param label written at the right end: 'above' or 'below' the line, or in the margin 'beside' it
 */
export function levelLine(
  value: number,
  label: string,
  place: 'above' | 'below' | 'beside' = 'below',
): ChartSpec {
  const y = { field: 'level', type: 'quantitative' };
  const data = { values: [{ level: round(value), label }] };
  const text = {
    type: 'text',
    fontSize: 11,
    color: levelColour,
    ...(place === 'beside'
      ? { align: 'left', baseline: 'middle', dx: 8 }
      : {
          align: 'right',
          baseline: place === 'below' ? 'top' : 'bottom',
          dy: place === 'below' ? 4 : -4,
        }),
  };
  const rule = { type: 'rule', strokeDash: [2, 3], strokeWidth: 1.6, color: levelColour };
  return {
    layer: [
      { data, mark: rule, encoding: { y } },
      { data, mark: text, encoding: { x: { value: 'width' }, y, text: { field: 'label' } } },
    ],
  };
}

function layersOf(chart: ChartSpec): ChartSpec[] {
  if (chart.layer) return [...chart.layer];
  const { title: _, width: __, height: ___, ...layer } = chart;
  return [layer];
}

type Axes = Record<'x' | 'y', ChartSpec | undefined>;

/** The axes of a chart, as its first layer has them. */
function axesOf(chart: ChartSpec): Axes {
  const encoding = layersOf(chart)[0]?.encoding;
  return { x: encoding?.x, y: encoding?.y };
}

/** A layer with the titles and scales of given axes; vega-lite would merge those of all layers. */
function onAxes(layer: ChartSpec, axes: Axes): ChartSpec {
  const inner = layer.layer;
  const encoding = { ...layer.encoding };
  for (const channel of ['x', 'y'] as const) {
    const { title, scale } = axes[channel] ?? {};
    if (encoding[channel]?.title) encoding[channel] = { ...encoding[channel], title, scale };
  }
  return {
    ...layer,
    encoding,
    ...(inner ? { layer: inner.map((each) => onAxes(each, axes)) } : {}),
  };
}

function framed(chart: ChartText, layer: ChartSpec[]): ChartSpec {
  return {
    title:
      chart.subtitle === undefined ? chart.title : { text: chart.title, subtitle: chart.subtitle },
    ...(chart.width === undefined ? {} : { width: chart.width }),
    ...(chart.height === undefined ? {} : { height: chart.height }),
    layer,
  };
}

function quantity(
  field: string,
  title: string | undefined,
  domain: Domain | undefined,
  logarithmic: boolean | undefined,
  zero = false,
): ChartSpec {
  return {
    field,
    type: 'quantitative',
    title: title ?? field,
    scale: {
      ...(logarithmic ? { type: 'log', nice: false } : { zero }),
      // Room for whole dots where the domain is that of the values.
      ...(logarithmic && !domain ? { padding: 6 } : {}),
      ...(domain ? { domain, nice: false } : {}),
    },
    ...(logarithmic && { axis: { labelExpr: logarithmicLabel } }),
  };
}

/** Labels that write all very small and very large powers of ten in the same way. */
const logarithmicLabel =
  "datum.label === '' ? '' : datum.value >= 1e-3 && datum.value < 1e5 ? format(datum.value, '~g') : format(datum.value, '~e')";

/** A colour for each series, in the order of the rows; or one colour and no legend. */
function seriesColour(
  rows: readonly Row[],
  series: string | undefined,
  colour: string = palette[0],
): ChartSpec {
  if (series === undefined) return { value: colour };
  const names = [...new Set(rows.map((row) => row[series]))];
  return {
    field: series,
    type: 'nominal',
    scale: { domain: names },
    legend: { title: null, orient: 'top', direction: 'horizontal', columns: 4 },
  };
}

/** Rows as JSON can hold them: a number that is not finite leaves a gap. */
function plain(rows: readonly Row[]): Row[] {
  return rows.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([name, value]) => [
        name,
        typeof value !== 'number' ? value : Number.isFinite(value) ? round(value) : null,
      ]),
    ),
  );
}

/** A value with six digits: more than a chart shows, and few enough to keep notebooks small. */
function round(value: number): number {
  return Number(value.toPrecision(6));
}

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
