import * as path from 'node:path';
import type * as Vega from 'vega';
import type * as VegaLite from 'vega-lite';
import { UserError } from '../src/core/errors.js';
import { writeAtomically } from '../src/core/files.js';
import { display, type MimeBundle, type PageSize } from '../src/show/display.js';
import { sharp } from '../src/show/sharp.js';
import { theme } from './theme.js';

/** A vega-lite 5 specification, from one of the builders in chart-types.ts or written by hand. */
export type ChartSpec = Record<string, unknown>;

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
  } = {},
): Promise<void> {
  const titled = options.title === undefined ? spec : { ...spec, title: options.title };
  const { bundle, size, png } = await chartBundle(titled);
  if (options.file !== undefined) await writeChart(png, options.file);
  display(bundle, size);
}

/**
 * A chart in all its forms, with its size on the page.
 * @throws UserError if vega-lite cannot draw the specification
 */
export async function chartBundle(
  spec: ChartSpec,
): Promise<{ bundle: MimeBundle; size: PageSize; png: Buffer }> {
  const { png, width, height } = await draw(spec);
  const bundle = {
    'application/vnd.vegalite.v5+json': styled(spec),
    'image/png': png.toString('base64'),
    'text/plain': `[chart] ${titleOf(spec)}`,
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

/** The specification in the house style, which its own `config` overrides. */
export function styled(spec: ChartSpec): ChartSpec {
  const own = (spec.config ?? {}) as Record<string, unknown>;
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    ...spec,
    config: { ...theme, ...own },
  };
}

/** The title of a chart as one line of text; for charts side by side, the titles of all. */
export function titleOf(spec: ChartSpec): string {
  const titles = titlesOf(spec);
  return titles.length > 0 ? titles.join(' · ') : 'without a title';
}

function titlesOf({ title, ...spec }: ChartSpec): string[] {
  const parts = title as { text?: string | string[]; subtitle?: string | string[] } | undefined;
  const own = typeof title === 'string' ? [title] : [parts?.text, parts?.subtitle].flat();
  const inner = (spec.concat ?? spec.hconcat ?? spec.vconcat ?? []) as ChartSpec[];
  return [...own.filter((line): line is string => line !== undefined), ...inner.flatMap(titlesOf)];
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
    .png({ palette: true, colours: 256, effort: 7 })
    .toBuffer({ resolveWithObject: true });
  return { png: data, width: Math.round(info.width / 2), height: Math.round(info.height / 2) };
}

async function toSvg(spec: ChartSpec): Promise<string> {
  // Loaded when first needed, because they take half a second and most programs draw nothing.
  const vega = require('vega') as typeof Vega;
  const vegaLite = require('vega-lite') as typeof VegaLite;
  // Without a canvas, vega takes a letter to be 0.8 of the font size wide; in our font it is 0.6.
  const metrics = (vega as unknown as { textMetrics: TextMetrics }).textMetrics;
  metrics.width = (item, text) => 0.6 * metrics.height(item) * String(text ?? '').length;
  try {
    // A copy, because vega adds fields to the rows that it is given.
    const own = JSON.parse(JSON.stringify(styled(spec))) as VegaLite.TopLevelSpec;
    const compiled = vegaLite.compile(own).spec;
    const view = new vega.View(vega.parse(compiled), { renderer: 'none' });
    try {
      return await view.toSVG();
    } finally {
      view.finalize();
    }
  } catch (error) {
    throw new UserError(
      `The chart '${titleOf(spec)}' cannot be drawn (${error instanceof Error ? error.message : error})`,
      'Expected a vega-lite 5 specification',
    );
  }
}

/** How vega measures text; not in its type declarations. */
interface TextMetrics {
  height(item: unknown): number;
  width(item: unknown, text: unknown): number;
}
