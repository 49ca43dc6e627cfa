import { tf } from '../src/core/tf.js';
import { leaves, treeSize } from '../src/core/tree.js';
import { type DataSource, type RawBatch, toUnitRange } from '../src/data/index.js';
import { mean } from '../src/evaluation/statistics.js';
import type { Model } from '../src/flow/model.js';
import type { BlockTrace } from '../src/sampling/solvers/solve-block.js';
import type { MimeBundle, PageSize } from '../src/show/display.js';
import { type HostImages, imageGrid } from '../src/show/image-grid.js';
import { formatValue } from '../src/show/table.js';
import { type ChartSpec, chartBundle } from './charts/chart.js';
import { tableBundle } from './notebook/tables.js';
import type { RecordedClaim } from './records/claim.js';

/** A value as a notebook shows it where it stands last in a cell. */
export interface View {
  data: MimeBundle;
  metadata: { 'image/png'?: PageSize };
}

/** Images in a contact sheet. */
const mostImages = 64;
/** Numbers of a tensor that are written out. */
const mostNumbers = 24;

/**
 * Shows what a cell ends with: a tensor, a model, a data set, traces of a solver, a recorded claim, a
 * chart, images, or the PNG of a picture. This project's kernel asks for it; nothing is disposed.
 *
 * @returns undefined for everything else
 */
export async function lastValueView(value: object): Promise<View | undefined> {
  if (value instanceof tf.Tensor) return tensorView(value);
  if (isModel(value)) return modelView(value);
  if (isSource(value)) return sourceView(value);
  if (isRecordedClaim(value)) return textView(claimText(value));
  if (isTraces(value)) return { data: traceTable(value), metadata: {} };
  if (isPng(value)) return { data: { ...pngOf(value), 'text/plain': '[picture]' }, metadata: {} };
  if (isHostImages(value)) return imagesView(value, `[images] ${value.shape.join(' × ')}`);
  if (isChart(value)) {
    const { bundle, size } = await chartBundle(value);
    return { data: bundle, metadata: { 'image/png': size } };
  }
  return undefined;
}

async function tensorView(tensor: tf.Tensor): Promise<View> {
  const head = `Tensor ${tensor.dtype} (${tensor.shape.join(', ')})`;
  if (tensor.isDisposed) return textView(`${head}, disposed`);
  // Strings and complex numbers have no statistics.
  if (!['float32', 'int32', 'bool'].includes(tensor.dtype)) return textView(head);
  const values = await tensor.data();
  const text = [head, statisticsOf(values), numbersOf(values)].filter((line) => line !== '');
  const images = imagesOf(tensor.shape, values);
  return images ? imagesView(images, text.join('\n')) : textView(text.join('\n'));
}

/** 'noise-kinds: 6 figures recorded, …'; its figures are in a table of the notebook. */
function claimText({ id, figures, read }: RecordedClaim): string {
  const values = Object.keys(figures).length;
  const from = read.length > 0 ? `, ${read.length} of them read from earlier runs` : '';
  return `${id}: ${values} ${values === 1 ? 'figure' : 'figures'} recorded${from}`;
}

function textView(text: string): View {
  return { data: { 'text/plain': text }, metadata: {} };
}

function statisticsOf(values: ArrayLike<number>): string {
  if (values.length === 0) return '';
  const finite = Float64Array.from(values).filter(Number.isFinite);
  const others = values.length - finite.length;
  const odd = others > 0 ? `, ${formatValue(others)} not finite` : '';
  if (finite.length === 0) return `no finite number${odd}`;
  const average = mean(finite);
  const deviation = Math.sqrt(mean(finite.map((value) => (value - average) ** 2)));
  const ends = [Math.min, Math.max].map((end) => finite.reduce((a, b) => end(a, b)));
  const [low, high, middle, spread] = [...ends, average, deviation].map(formatValue);
  return `${low} to ${high}, mean ${middle}, standard deviation ${spread}${odd}`;
}

function numbersOf(values: ArrayLike<number>): string {
  if (values.length === 0 || values.length > mostNumbers) return '';
  return Array.from(values, formatValue).join('  ');
}

/** The first images of a tensor whose shape is that of some, (batch, channels, height, width). */
function imagesOf(shape: readonly number[], values: ArrayLike<number>): HostImages | undefined {
  const [count = 0, channels = 0, height = 0, width = 0] = shape;
  const drawable = [1, 3].includes(channels) && Math.min(height, width) >= 4 && count > 0;
  if (shape.length !== 4 || !drawable || Math.max(height, width) > 1024) return undefined;
  const shown = Math.min(count, mostImages);
  const data = Float32Array.from({ length: shown * channels * height * width }, (_, i) =>
    Number(values[i]),
  );
  return { data, shape: [shown, channels, height, width] };
}

async function imagesView(images: HostImages, text: string): Promise<View> {
  const shown = imagesOf(images.shape, images.data);
  if (!shown) return textView(text);
  return { data: { ...pngOf(await imageGrid(shown)), 'text/plain': text }, metadata: {} };
}

function pngOf(png: Uint8Array): { 'image/png': string } {
  return { 'image/png': Buffer.from(png).toString('base64') };
}

/** A table of the parts of a model: blocks, and what stands beside them. */
function modelView(model: Model): View {
  const { family, config, parameters } = model;
  const { channels, height, width } = config.image;
  const rows = new Map<string, { part: string; tensors: number; parameters: number }>();
  for (const [name, leaf] of Object.entries(leaves(parameters))) {
    const part = /^[^.]+(?:\.\d+)?/.exec(name)?.[0] ?? name;
    const row = rows.get(part) ?? { part, tensors: 0, parameters: 0 };
    rows.set(part, { part, tensors: row.tensors + 1, parameters: row.parameters + leaf.size });
  }
  const classes = config.classes > 0 ? `, ${config.classes} classes` : '';
  const caption =
    `${family.kind} ${family.title(config)}: images ${channels} × ${height} × ${width}${classes}, ` +
    `${formatValue(treeSize(parameters))} parameters`;
  return { data: tableBundle([...rows.values()], { caption }), metadata: {} };
}

/** A contact sheet of images at equal distances. */
async function sourceView(source: DataSource): Promise<View> {
  const { name, split, image, length } = source;
  const size = `${image.channels} × ${image.height} × ${image.width}`;
  const text = `${name} (${split}): ${formatValue(length)} samples, ${size}`;
  const count = Math.min(length, 40);
  const indices = Array.from({ length: count }, (_, i) => Math.floor((i * length) / count));
  const batch: RawBatch = await source.read(indices);
  const { channels, height, width } = batch.image;
  const data =
    batch.values instanceof Uint8Array
      ? toUnitRange(batch.values)
      : Float32Array.from(batch.values);
  return imagesView({ data, shape: [count, channels, height, width] }, text);
}

function traceTable(traces: readonly BlockTrace[]): MimeBundle {
  const rows = traces.map(
    ({ block, solver, evaluations, evaluatedTokens, milliseconds, ...rest }) => ({
      block,
      solver: solver.kind,
      iterations: rest.iterations.length,
      evaluations,
      tokens: evaluatedTokens,
      'not converged': rest.unconverged.length,
      ms: milliseconds,
    }),
  );
  return tableBundle(rows, { caption: 'How the blocks were solved' });
}

function isModel(value: object): value is Model {
  const { family, config, parameters } = value as Partial<Model>;
  return (
    typeof family?.title === 'function' && config?.image !== undefined && parameters !== undefined
  );
}

function isSource(value: object): value is DataSource {
  const { read, length, image, description } = value as Partial<DataSource>;
  return typeof read === 'function' && !!image && !!description && Number(length) > 0;
}

function isTraces(value: object): value is BlockTrace[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((item) => item?.solver?.kind && 'evaluatedTokens' in item && 'milliseconds' in item)
  );
}

function isRecordedClaim(value: object): value is RecordedClaim {
  return ['id', 'command', 'figures', 'read', 'elsewhere', 'versions'].every(
    (name) => name in value,
  );
}

function isPng(value: object): value is Uint8Array {
  const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
  return value instanceof Uint8Array && signature.every((byte, i) => value[i] === byte);
}

function isHostImages(value: object): value is HostImages {
  const { data, shape } = value as Partial<HostImages>;
  return data instanceof Float32Array && Array.isArray(shape) && shape.length === 4;
}

/** A specification of vega-lite, by what it must have. */
function isChart(value: object): value is ChartSpec {
  const parts = ['layer', 'concat', 'hconcat', 'vconcat', 'spec'];
  const chart = value as ChartSpec;
  if ('$schema' in chart && String(chart.$schema).includes('vega-lite')) return true;
  if (parts.some((part) => Array.isArray(chart[part])) && ('config' in chart || 'title' in chart)) {
    return true;
  }
  return 'mark' in chart && 'encoding' in chart;
}
