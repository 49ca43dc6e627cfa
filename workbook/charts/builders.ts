import { type ChartSpec, levelColour, palette, publishedColour } from './chart.js';

/** One datum: named numbers, and names that tell series and categories apart. */
export type Row = Record<string, number | string | null | undefined>;

/** A figure that a paper reports, as a dashed, dark line with its name. */
export interface PublishedLine {
  value: number;
  /** For example 'TarFlow, ImageNet 64×64 (Table 2)'. */
  label: string;
  /** At which end of the line its name stands; at the left it is below. Default: right. */
  end?: 'left' | 'right';
}

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

/** One or several lines over a common x. */
export function lineChart(
  chart: ChartText & {
    rows: readonly Row[];
    /** The field of a row that holds the coordinate along x. */
    x: string;
    /** The field of a row that holds the coordinate along y. */
    y: string;
    /** The field that names the line of a row. */
    series?: string;
    /** The field that parts a series into lines of one colour, for example its seeds. */
    detail?: string;
    logX?: boolean;
    logY?: boolean;
    xDomain?: Domain;
    yDomain?: Domain;
    /** The colour of the line, if there is one series. */
    colour?: string;
    /** True for dots at the data, for curves of few points. */
    points?: boolean;
    /** The field that orders the points along a line; x where absent. */
    order?: string;
    /** True where x names stages one after the other, and is no number. */
    stages?: boolean;
    /** Where the x axis has its ticks, each with its number. */
    xTicks?: readonly number[];
    /** Where the y axis has its ticks, likewise. */
    yTicks?: readonly number[];
    /** The field with the half-length of the error bar of a point, in units of y. */
    error?: string;
    /** Horizontal lines at published values of y. */
    published?: readonly PublishedLine[];
  },
): ChartSpec {
  const lines: ChartSpec = {
    data: { values: plain(chart.rows) },
    mark: { type: 'line', clip: true, ...(chart.points ? { point: { size: 45 } } : {}) },
    encoding: {
      ...planeEncoding(chart),
      ...(chart.detail === undefined ? {} : { detail: { field: chart.detail, type: 'nominal' } }),
      ...(chart.order === undefined ? {} : { order: { field: chart.order, type: 'quantitative' } }),
    },
  };
  const last = chart.stages
    ? Number(chart.rows.at(-1)?.[chart.y])
    : lastValue(chart.rows, chart.x, chart.y);
  return framed(chart, [lines, ...errorRules(chart), ...published(chart.published, last)]);
}

/** Vertical lines over the errors of a line chart's points, in the colours of the lines. */
function errorRules(chart: Parameters<typeof lineChart>[0]): ChartSpec[] {
  const { rows, y, error } = chart;
  if (error === undefined) return [];
  const bounds = rows.map((row) => ({
    ...row,
    [y]: Number(row[y]) - Number(row[error]),
    upper: Number(row[y]) + Number(row[error]),
  }));
  return [
    {
      data: { values: plain(bounds) },
      mark: { type: 'rule', strokeWidth: 1.6, clip: true },
      encoding: { ...planeEncoding(chart), y2: { field: 'upper' } },
    },
  ];
}

/** The encoding of the rows of a line or scatter chart: places and colours. */
function planeEncoding(chart: PlaneChart): Record<string, ChartSpec> {
  return {
    x: placeAlongX(chart),
    y: ticked(
      quantity(chart.y, chart.yTitle, chart.yDomain, chart.logY),
      'yTicks' in chart ? chart.yTicks : undefined,
    ),
    color: seriesColour(chart.rows, chart.series, chart.colour),
  };
}

function placeAlongX(chart: PlaneChart): ChartSpec {
  const { x, xTitle, xDomain, logX } = chart;
  if ('stages' in chart && chart.stages) {
    const axis = { labelAngle: 0 };
    return { field: x, type: 'ordinal', sort: null, title: xTitle ?? x, axis };
  }
  const place = quantity(x, xTitle, xDomain, logX);
  return ticked(place, 'xTicks' in chart ? chart.xTicks : undefined);
}

/** The place along an axis that has its ticks at some numbers, each with its number. */
function ticked(place: ChartSpec, ticks: readonly number[] | undefined): ChartSpec {
  if (!ticks) return place;
  // Vega leaves every second tick out where there are more than the count.
  const axis = { values: [...ticks], tickCount: ticks.length, labelOverlap: false };
  return { ...place, axis: { ...axis, labelExpr: "format(datum.value, '~g')" } };
}

type PlaneChart = Parameters<typeof lineChart>[0] | Parameters<typeof scatterChart>[0];

/** Points in a plane. */
export function scatterChart(
  chart: ChartText & {
    rows: readonly Row[];
    /** The field of a row that holds the coordinate along x. */
    x: string;
    /** The field of a row that holds the coordinate along y. */
    y: string;
    /** The field that names the cloud of a row. */
    series?: string;
    xDomain?: Domain;
    yDomain?: Domain;
    logX?: boolean;
    logY?: boolean;
    /** The colour of the dots, if there is one series. */
    colour?: string;
    /** The area of a dot in square pixels. */
    size?: number;
    opacity?: number;
    /** Horizontal lines at published values of y. */
    published?: readonly PublishedLine[];
  },
): ChartSpec {
  const crowded = chart.rows.length > 500;
  const points: ChartSpec = {
    data: { values: plain(chart.rows) },
    mark: {
      type: 'point',
      clip: true,
      size: chart.size ?? (crowded ? 9 : 45),
      opacity: chart.opacity ?? (crowded ? 0.5 : 0.9),
      strokeWidth: 0,
    },
    encoding: planeEncoding(chart),
  };
  const last = lastValue(chart.rows, chart.x, chart.y);
  return framed(chart, [points, ...published(chart.published, last)]);
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
    /** The field with the opacity of the bar, 0 to 1; the subtitle should say what it means. */
    opacity?: string;
    yDomain?: Domain;
    /** Horizontal lines at published values of y. */
    published?: readonly PublishedLine[];
  },
): ChartSpec {
  const { x, y, series, error, opacity } = chart;
  const category = {
    field: x,
    type: 'nominal',
    sort: null,
    title: chart.xTitle ?? x,
    axis: { labelAngle: 0, labelLimit: 150 },
  };
  const offset = series === undefined ? {} : { xOffset: { field: series, sort: null } };
  const layers: ChartSpec[] = [
    {
      mark: { type: 'bar', clip: true },
      encoding: {
        x: category,
        y: quantity(y, chart.yTitle, chart.yDomain, false, true),
        color: seriesColour(chart.rows, series, palette[0]),
        ...(opacity === undefined
          ? {}
          : { opacity: { field: opacity, type: 'quantitative', scale: null, legend: null } }),
        ...offset,
      },
    },
  ];
  if (error !== undefined) {
    const bounds = {
      x: category,
      y: { field: 'lower', type: 'quantitative' },
      y2: { field: 'upper' },
    };
    layers.push({
      transform: [
        { calculate: `datum[${JSON.stringify(y)}] - datum[${JSON.stringify(error)}]`, as: 'lower' },
        { calculate: `datum[${JSON.stringify(y)}] + datum[${JSON.stringify(error)}]`, as: 'upper' },
      ],
      mark: { type: 'rule', strokeWidth: 1.6, color: publishedColour },
      encoding: { ...bounds, ...offset },
    });
  }
  const bars = { data: { values: plain(chart.rows) }, layer: layers };
  // Room for the longest category name, or for the bars of one category.
  const categories = new Set(chart.rows.map((row) => row[x]));
  const barsInOne = series === undefined ? 1 : new Set(chart.rows.map((row) => row[series])).size;
  const longest = Math.max(...[...categories].map((name) => String(name).length));
  const band = Math.max(7 * Math.min(longest, 22) + 16, 40 * barsInOne + 20);
  const width = chart.width ?? Math.max(300, band * categories.size);
  return framed({ ...chart, width }, [bars, ...published(chart.published, 'margin')]);
}

/**
 * A table of numbers as colours. The first row is at the bottom (default), as for a density, or on top, as
 * for a matrix. Numbers that are not finite stay blank.
 *
 * @throws RangeError where the values are not rows × columns
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
    /** True for colours that diverge from zero, for values of either sign. */
    diverging?: boolean;
  },
): ChartSpec {
  const { values, rows, columns } = chart;
  if (values.length !== rows * columns) {
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
  const largest = numbers.reduce<number>((most, value) => Math.max(most, Math.abs(value ?? 0)), 0);
  const domain = chart.colourDomain ?? (chart.diverging ? [-largest, largest] : undefined);
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
          scale: {
            ...(domain ? { domain } : {}),
            scheme: chart.diverging ? 'blueorange' : 'viridis',
          },
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
 * is compared with: a bound, real images. A published figure goes to a chart's `published`.
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

/**
 * Published figures as dashed, dark lines with names; nothing that was measured here looks like this.
 * The name stands on the side of the line that is away from `last`, the last value of the chart, or
 * in the margin.
 */
function published(
  figures: readonly PublishedLine[] | undefined,
  last: number | 'margin' | undefined,
): ChartSpec[] {
  if (!figures || figures.length === 0) return [];
  const y = { field: 'published', type: 'quantitative' };
  const rules = {
    data: { values: figures.map(({ value }) => ({ published: value })) },
    mark: { type: 'rule', strokeDash: [6, 4], strokeWidth: 1.4, color: publishedColour },
    encoding: { y },
  };
  const names = figures.flatMap(({ value, label, end = 'right' }) => {
    const atLeft = end === 'left' && last !== 'margin';
    const below = atLeft || (typeof last === 'number' && last > value);
    const text = {
      type: 'text',
      fontSize: 11,
      fontStyle: 'italic',
      ...(last === 'margin'
        ? { align: 'left', baseline: 'middle', dx: 8, lineBreak: '\n' }
        : {
            align: end,
            baseline: below ? 'top' : 'bottom',
            dy: below ? 5 : -4,
            dx: atLeft ? 5 : 0,
          }),
    };
    const name = `published:${last === 'margin' ? '\n' : ' '}${label}`;
    const place = {
      data: { values: [{ published: value, label: name }] },
      encoding: { x: { value: atLeft ? 0 : 'width' }, y, text: { field: 'label' } },
    };
    // A white outline keeps the letters readable over lines.
    const outline = { ...text, stroke: 'white', strokeWidth: 4, strokeJoin: 'round' };
    return [
      { ...place, mark: outline },
      { ...place, mark: { ...text, color: publishedColour } },
    ];
  });
  return [rules, ...names];
}

/** The value of `field` in the rightmost row. */
function lastValue(rows: readonly Row[], x: string, field: string): number | undefined {
  let last: Row | undefined;
  for (const row of rows) {
    if (!last || Number(row[x]) >= Number(last[x])) last = row;
  }
  const value = last?.[field];
  return typeof value === 'number' ? value : undefined;
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
