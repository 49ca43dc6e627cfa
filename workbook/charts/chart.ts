import * as path from 'node:path';
import type * as Vega from 'vega';
import type * as VegaLite from 'vega-lite';
import { UserError } from '../../src/core/errors.js';
import { writeAtomically } from '../../src/core/files.js';
import { display, type MimeBundle, type PageSize } from '../../src/show/display.js';
import { fontFamily, pagePng, sharp } from '../../src/show/sharp.js';
import { faultsOf } from './faults.js';

/** A vega-lite 5 specification, from one of the builders in chart-types.ts or written by hand. */
export interface ChartSpec {
  title?: string | ChartTitle | null | undefined;
  layer?: readonly ChartSpec[];
  concat?: readonly ChartSpec[];
  hconcat?: readonly ChartSpec[];
  vconcat?: readonly ChartSpec[];
  encoding?: Readonly<Record<string, ChartSpec | undefined>>;
  config?: Readonly<Record<string, unknown>>;
  [field: string]: unknown;
}

/** A title with lines below it. */
export interface ChartTitle {
  text?: string | string[];
  subtitle?: string | string[];
  [field: string]: unknown;
}

/**
 * Shows a chart below the cell: interactive where vega-lite can be drawn (JupyterLab), and as a
 * picture elsewhere (exports, GitHub). In plain Node.js it prints the title.
 *
 * @throws UserError where vega-lite cannot draw the specification, for a file that does not end in .png, and
 *   where it cannot be written
 */
export async function showChart(
  spec: ChartSpec,
  options: {
    /** Replaces the title of the specification. */
    title?: string;
    /** A PNG file to write as well. */
    file?: string;
    /** What the chart shows, for who cannot see it; by default its title. */
    alt?: string;
  } = {},
): Promise<void> {
  const { title = spec.title, alt = titleOf({ ...spec, title }) } = options;
  const titled = { ...spec, title, description: alt };
  const { bundle, size, png } = await chartBundle(titled);
  if (options.file !== undefined) await writeChart(png, options.file);
  display(bundle, { ...size, alt });
}

/**
 * A chart in all its forms, with its size on the page.
 * @throws UserError if vega-lite cannot draw the specification
 */
export async function chartBundle(
  spec: ChartSpec,
): Promise<{ bundle: MimeBundle; size: PageSize; png: Buffer }> {
  const { png, width, height } = await draw(spec);
  const shown = styled(spec);
  const bundle = {
    'application/vnd.vegalite.v5+json': shown,
    'image/png': png.toString('base64'),
    'text/plain': `[chart] ${titleOf(shown)}`,
  };
  return { bundle, size: { width, height }, png };
}

/**
 * Draws a chart as a PNG at twice its size on the page, on white.
 * @throws UserError if vega-lite cannot draw the specification
 */
export async function renderChart(spec: ChartSpec): Promise<Buffer> {
  return (await draw(spec)).png;
}

/**
 * Draws a chart into a PNG file, which is written whole or not at all.
 * @throws UserError for a specification that vega-lite cannot draw, another file extension, or a
 *   folder that cannot be written
 */
export async function saveChart(spec: ChartSpec, file: string): Promise<void> {
  await writeChart(await renderChart(spec), file);
}

/**
 * The specification in the house style, which its own `config` overrides. Numbers that are not finite leave
 * gaps: a line below the title says which.
 */
export function styled(spec: ChartSpec): ChartSpec {
  const $schema = 'https://vega.github.io/schema/vega-lite/v5.json';
  const { notFinite } = faultsOf(spec);
  const whole = { $schema, ...spec, config: { ...theme, ...spec.config } };
  if (notFinite.length === 0) return whole;
  const title = typeof spec.title === 'string' ? { text: spec.title } : spec.title;
  const told = `Left out: ${notFinite.join('; ')}`;
  // Without a title no line is drawn below it.
  if (!title?.text) return { ...whole, title: { ...title, text: told } };
  return { ...whole, title: { ...title, subtitle: [title.subtitle ?? [], told].flat() } };
}

/** The title of a chart as one line of text; for charts side by side, the titles of all. */
export function titleOf(spec: ChartSpec): string {
  const titles = titlesOf(spec);
  return titles.length > 0 ? titles.join(' · ') : 'without a title';
}

function titlesOf({ title, ...spec }: ChartSpec): string[] {
  const own = typeof title === 'string' ? [title] : [title?.text, title?.subtitle].flat();
  const inner = spec.concat ?? spec.hconcat ?? spec.vconcat ?? [];
  return [...own.filter((line) => line !== undefined), ...inner.flatMap(titlesOf)];
}

async function writeChart(png: Buffer, file: string): Promise<void> {
  if (path.extname(file) !== '.png') {
    throw new UserError(`The chart's file is ${file}`, 'Expected a name that ends in .png');
  }
  await writeAtomically(file, png);
}

async function draw(spec: ChartSpec): Promise<{ png: Buffer; width: number; height: number }> {
  const svg = await toSvg(spec);
  // An SVG has a density of 72; twice that gives two pixels for each pixel of the page.
  const { data, info } = await sharp()(Buffer.from(svg), { density: 144 })
    .flatten({ background: '#ffffff' })
    .png(pagePng)
    .toBuffer({ resolveWithObject: true });
  return { png: data, width: Math.round(info.width / 2), height: Math.round(info.height / 2) };
}

async function toSvg(spec: ChartSpec): Promise<string> {
  const { missing, notFinite } = faultsOf(spec);
  const refuse = (reasons: readonly string[], remedy: string) =>
    new UserError(`The chart '${titleOf(spec)}' cannot be drawn (${reasons.join('; ')})`, remedy);
  if (missing.length > 0) throw refuse(missing, 'Expected fields that the rows have');
  // Loaded when first needed, because they take half a second and most programs draw nothing.
  const vega: typeof Vega & { textMetrics: TextMetrics } = require('vega');
  const vegaLite: typeof VegaLite = require('vega-lite');
  // Without a canvas, vega takes a letter to be 0.8 of the font size wide; in our font it is 0.6.
  const metrics = vega.textMetrics;
  metrics.width = (item, text) => 0.6 * metrics.height(item) * String(text ?? '').length;
  try {
    // A copy, because vega adds fields to the rows that it is given.
    const own: VegaLite.TopLevelSpec = JSON.parse(JSON.stringify(styled(spec)));
    const compiled = vegaLite.compile(own).spec;
    const view = new vega.View(vega.parse(compiled), { renderer: 'none' });
    try {
      return await view.toSVG();
    } finally {
      view.finalize();
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw refuse(
      [...notFinite, reason],
      notFinite.length > 0 ? 'Expected finite numbers' : 'Expected a vega-lite 5 specification',
    );
  }
}

/** How vega measures text; not in its type declarations. */
interface TextMetrics {
  height(item: unknown): number;
  width(item: unknown, text: unknown): number;
}

/**
 * Colours that people with any kind of colour blindness can tell apart, in the order in which series
 * take them (Okabe and Ito 2008, then a dark brown and a grey). Black is none of them.
 */
export const palette = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#56b4e9',
  '#e69f00',
  '#5d4037',
  '#7f7f7f',
] as const;

/** The colour of rules that tell the error of a bar. */
export const errorColour = '#333333';

const ink = '#222222';
const quiet = '#5a5a5a';

/** The colour of a line that something measured is compared with, and that was computed here. */
export const levelColour = quiet;

/** The house style of every chart, as a vega-lite configuration. */
export const theme = {
  background: 'white',
  font: fontFamily,
  padding: 12,
  view: { stroke: null, continuousWidth: 480, continuousHeight: 280 },
  title: {
    anchor: 'start',
    color: ink,
    fontSize: 15,
    fontWeight: 'bold',
    offset: 14,
    subtitleColor: quiet,
    subtitleFontSize: 12,
    subtitlePadding: 5,
  },
  axis: {
    domainColor: '#888888',
    gridColor: '#e8e8e8',
    labelColor: ink,
    labelFlush: false,
    labelFontSize: 11,
    labelPadding: 5,
    tickColor: '#888888',
    tickCount: 6,
    titleColor: ink,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    titlePadding: 10,
  },
  axisX: { grid: false },
  axisBand: { ticks: false },
  legend: {
    labelColor: ink,
    labelFontSize: 12,
    labelLimit: 300,
    symbolStrokeWidth: 2.5,
    titleColor: quiet,
    titleFontSize: 11,
    titleFontWeight: 'normal',
  },
  header: { labelColor: ink, labelFontSize: 12, titleColor: quiet, titleFontSize: 12 },
  // A mitred join would draw spikes beyond the values.
  line: { strokeWidth: 2.2, strokeJoin: 'round' },
  point: { filled: true, size: 40 },
  bar: { color: palette[0] },
  range: { category: [...palette], heatmap: { scheme: 'viridis' }, ramp: { scheme: 'viridis' } },
};
