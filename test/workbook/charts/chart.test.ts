import * as fs from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { UserError } from '../../../src/core/errors.js';
import {
  barChart,
  heatMap,
  layered,
  levelLine,
  lineChart,
  type Row,
  scatterChart,
  sideBySide,
} from '../../../workbook/charts/builders.js';
import {
  type ChartSpec,
  chartBundle,
  renderChart,
  saveChart,
  showChart,
  styled,
} from '../../../workbook/charts/chart.js';
import { matrixMap } from '../../../workbook/charts/maps.js';
import { sharedFolder } from '../../temporary-folder.js';
import { leaveNotebook, pretendNotebook } from '../kernel.js';

const folder = sharedFolder();
afterEach(() => {
  leaveNotebook();
  vi.restoreAllMocks();
});

const rows: Row[] = Array.from({ length: 20 }, (_, i) => ({
  step: 10 * i + 10,
  loss: 4 - i / 10,
  part: i % 2 ? 'test' : 'training',
}));
const charts: Record<string, ChartSpec> = {
  line: lineChart({ title: 'Loss', rows, x: 'step', y: 'loss' }),
  'lines of two splits': layered([
    lineChart({
      title: 'Loss',
      subtitle: 'by split',
      rows,
      x: 'step',
      y: 'loss',
      series: 'part',
      logX: true,
      logY: true,
      points: true,
    }),
  ]),
  'stages with errors, over a level': layered([
    lineChart({
      title: 'Errors',
      rows: [
        { stage: 'noise', error: 3, spread: 1, model: 'a' },
        { stage: 'image', error: 2, spread: 0.5, model: 'a' },
      ],
      x: 'stage',
      y: 'error',
      series: 'model',
      error: 'spread',
      stages: true,
      points: true,
    }),
    levelLine(2.5, 'real images'),
    levelLine(2.6, 'beside', 'beside'),
  ]),
  'chosen ticks': lineChart({
    title: 'Width',
    rows: [
      { sigma: 0.02, fd: 1 },
      { sigma: 0.4, fd: 2 },
    ],
    x: 'sigma',
    y: 'fd',
    logX: true,
    xTicks: [0.02, 0.05, 0.06, 0.07, 0.08, 0.1, 0.2, 0.4],
    yTicks: [1, 1.3, 2],
  }),
  'joined in an order': lineChart({
    title: 'Error against speed',
    rows: [
      { speed: 1.2, error: 0.1, tolerance: 1 },
      { speed: 1, error: 0.01, tolerance: 0.1 },
      { speed: 1.1, error: 0.001, tolerance: 0.01 },
    ],
    ...{ x: 'speed', y: 'error', order: 'tolerance', points: true },
  }),
  scatter: scatterChart({ title: 'Points', rows, x: 'step', y: 'loss', xDomain: [0, 100] }),
  bars: barChart({ title: 'Bars', rows: rows.slice(0, 4), x: 'step', y: 'loss' }),
  'bars with errors': barChart({
    title: 'Time',
    rows: [
      { method: 'Jacobi', time: 2, spread: 0.2, device: 'CPU' },
      { method: 'Jacobi', time: 1, spread: 0.1, device: 'GPU' },
      { method: 'sequential', time: 8, spread: 1, device: 'CPU' },
    ],
    x: 'method',
    y: 'time',
    series: 'device',
    error: 'spread',
  }),
  'heat map': heatMap({
    title: 'Density',
    values: [0, 1, 2, 3, 4, 5],
    rows: 2,
    columns: 3,
    x: [-1, 1],
    y: [0, 1],
    colourTitle: 'density',
  }),
};
charts['matrix in blocks'] = matrixMap({
  ...{ title: 'J', values: [1, 0, 2, 1], block: 1 },
  ...{ xTitle: 'x', yTitle: 'z', colourTitle: 'log₁₀' },
});
charts.layered = layered([charts['heat map'] as ChartSpec, charts.scatter as ChartSpec], 'Both');
charts['side by side'] = sideBySide([charts['heat map'] as ChartSpec, charts.scatter as ChartSpec]);
charts['by hand'] = {
  data: { values: [{ a: 1 }] },
  mark: 'bar',
  encoding: { y: { field: 'a', type: 'quantitative' } },
};

describe('every kind of chart', () => {
  test.each(Object.entries(charts))('%s is JSON, drawn without a warning', async (_, spec) => {
    const before = JSON.parse(JSON.stringify(spec));
    const warnings = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const { data, info } = await pixels(await renderChart(spec));
    expect(spec).toEqual(before);
    expect(warnings.mock.calls).toEqual([]);
    expect(info.width).toBeGreaterThan(100);
    expect(info.height).toBeGreaterThan(300);
    // On white, with something drawn: more than one colour.
    expect([...data.subarray(0, 3)]).toEqual([255, 255, 255]);
    expect(data.some((value: number) => value < 100)).toBe(true);
  });
});

test('a heat map draws each value in its place, in either direction', async () => {
  const values = [1, 0, 0, 0, 0, 0, 0, 0, 0];
  const brightest = async (firstRow: 'bottom' | 'top') => {
    const spec = heatMap({
      ...{ title: 'One', values, rows: 3, columns: 3, x: [0, 3], y: [0, 3], colourTitle: 'v' },
      ...{ width: 300, height: 300, firstRow },
    });
    const own = { ...spec, title: undefined, config: { axis: { disable: true }, padding: 0 } };
    const picture = await pixels(await renderChart(own));
    const at = (x: number, y: number) => colour(picture, x, y)[1] as number;
    // The three cells of the left column from the top down, by how green they are.
    const greens = [100, 300, 500].map((y) => at(100, y));
    return greens.indexOf(Math.max(...greens));
  };
  expect(await brightest('bottom')).toBe(2);
  expect(await brightest('top')).toBe(0);
});

test('what is no number leaves a gap, and notebooks get six digits', () => {
  const gappy = [
    { x: 1, y: Number.NaN },
    { x: 2, y: Number.POSITIVE_INFINITY },
    { x: 3, y: 1 / 3 },
  ];
  const spec = lineChart({ title: '', rows: gappy, x: 'x', y: 'y' });
  const [layer] = spec.layer as { data: { values: unknown } }[];
  expect(layer?.data.values).toEqual([
    { x: 1, y: null },
    { x: 2, y: null },
    { x: 3, y: 0.333333 },
  ]);
});

test('ticks stand where they are asked for', () => {
  const { layer = [] } = charts['chosen ticks'] ?? {};
  const [lines] = layer as { encoding: Record<string, ChartSpec> }[];
  expect(lines?.encoding.x?.axis).toMatchObject({
    values: [0.02, 0.05, 0.06, 0.07, 0.08, 0.1, 0.2, 0.4],
  });
  expect(lines?.encoding.y?.axis).toMatchObject({ values: [1, 1.3, 2] });
});

test('a heat map refuses values that do not fill it', () => {
  const map = { title: '', rows: 2, columns: 2, x: [0, 1], y: [0, 1], colourTitle: '' } as const;
  // As many as a 1,024 × 1,024 Jacobian has are more than a call takes arguments.
  const large = { rows: 400, columns: 400, values: new Float32Array(160_000).fill(-2) };
  expect(() => heatMap({ ...map, ...large })).not.toThrow();
  expect(() => heatMap({ ...map, values: [1, 2, 3] })).toThrow(
    /Got 3 values, expected the 4 .* 2 × 2/,
  );
  expect(() => heatMap({ ...map, values: [], rows: 0, columns: 0 })).toThrow(/Got 0 values/);
});

test('a matrix is shown by the logarithms of its sizes, or as it is', () => {
  const text = { title: 'J', xTitle: 'x', yTitle: 'z', colourTitle: 'c' };
  const values = [-100, 0, 2, 1];
  const shown = (scale: 'logarithm' | 'linear') =>
    rowsOf(matrixMap({ ...text, values, scale }))[0]?.[0]?.value;
  expect(shown('logarithm')).toEqual([2, null, 0.30103, 0]);
  expect(shown('linear')).toEqual(values);
  // Borders between four blocks of one row and column each.
  expect(rowsOf(matrixMap({ ...text, values, block: 1 })).slice(1)).toEqual([
    [{ at: 1 }],
    [{ at: 1 }],
  ]);
});

describe('text in pictures', () => {
  test('is letters, not the boxes that stand for a missing font', async () => {
    const draw = (title: string) => renderChart({ ...(charts['by hand'] as ChartSpec), title });
    // Boxes would be the same for any letters.
    expect(Buffer.compare(await draw('iiii'), await draw('MMMM'))).not.toBe(0);
    expect(Buffer.compare(await draw('∘∂σ'), await draw('×−≤'))).not.toBe(0);
  });
});

describe('showChart', () => {
  test('sends a live chart, a picture of twice its size, and text, together', async () => {
    const outputs = pretendNotebook();
    const file = path.join(folder, 'shown.png');
    await showChart(charts.line as ChartSpec, { title: 'Another title', file });
    expect(outputs).toHaveLength(1);
    const { data, metadata } = outputs[0] as (typeof outputs)[number];
    expect(Object.keys(data).sort()).toEqual([
      'application/vnd.vegalite.v5+json',
      'image/png',
      'text/plain',
    ]);
    expect(data['text/plain']).toBe('[chart] Another title');
    expect(data['application/vnd.vegalite.v5+json']).toMatchObject({
      $schema: expect.stringContaining('vega-lite/v5'),
      title: 'Another title',
      config: { background: 'white' },
    });
    const png = Buffer.from(data['image/png'] as string, 'base64');
    expect(fs.readFileSync(file).equals(png)).toBe(true);
    const { width, height } = await sharp(png).metadata();
    const size = { width: Math.round(width / 2), height: Math.round(height / 2) };
    expect(metadata['image/png']).toEqual({ ...size, alt: 'Another title' });
  });

  test('prints the titles in plain Node', async () => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => {});
    await showChart(charts['lines of two splits'] as ChartSpec);
    await showChart(charts['side by side'] as ChartSpec);
    await showChart(charts['by hand'] as ChartSpec);
    expect(log.mock.calls.flat()).toEqual([
      '[chart] Loss · by split',
      '[chart] Density · Points',
      '[chart] without a title',
    ]);
  });
});

describe('mistakes', () => {
  beforeAll(() => fs.writeFileSync(path.join(folder, 'file'), ''));

  test('a specification that makes no sense is named by its title', async () => {
    const error = await renderChart({ title: 'Mine', mark: 'nothing' }).catch((e) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(/'Mine'.*vega-lite 5/);
  });

  test('fields that no row has, and numbers that are not finite, are named', async () => {
    const rows = [
      { step: 1, loss: 2 },
      { step: Number.POSITIVE_INFINITY, loss: 3 },
    ];
    const misspelt = lineChart({ title: 'Mine', rows, x: 'step', y: 'los' });
    await expect(renderChart(misspelt)).rejects.toThrow(
      "The chart 'Mine' cannot be drawn (no row has 'los'; the first has step, loss).",
    );
    const infinite = {
      data: { values: rows },
      transform: [{ calculate: 'datum.loss / Infinity', as: 'share' }],
      mark: 'line',
      encoding: { x: { field: 'step', type: 'quantitative' }, y: { field: 'share' } },
    };
    await expect(renderChart(infinite)).rejects.toThrow(
      /\(the formula of 'share' has Infinity; 'step' of row 2 is Infinity; .*signal.*\)/,
    );
  });

  test('numbers that leave gaps are told below the title, in every form', async () => {
    const losses = [3, Number.NaN, 2, Number.POSITIVE_INFINITY];
    const values = losses.map((loss, step) => ({ step, loss }));
    const spec = {
      data: { values },
      mark: 'line',
      encoding: {
        x: { field: 'step', type: 'quantitative' },
        y: { field: 'loss', type: 'quantitative' },
      },
    };
    const told = "Left out: 'loss' of row 2 is NaN (2 rows in all are not finite)";
    const { bundle } = await chartBundle(spec);
    expect(bundle['text/plain']).toBe(`[chart] ${told}`);
    expect(bundle['application/vnd.vegalite.v5+json']).toMatchObject({
      title: { text: told },
    });
    const titled = styled({ ...spec, title: { text: 'Loss', subtitle: 'of a step' } });
    expect(titled.title).toEqual({ text: 'Loss', subtitle: ['of a step', told] });
  });

  test('a file of another kind and a folder that is none leave nothing behind', async () => {
    const spec = charts['by hand'] as ChartSpec;
    await expect(saveChart(spec, path.join(folder, 'chart.gif'))).rejects.toThrow(/\.png/);
    await expect(saveChart(spec, path.join(folder, 'file', 'chart.png'))).rejects.toThrow(
      UserError,
    );
    await saveChart(spec, path.join(folder, 'new', 'chart.png'));
    expect(fs.readdirSync(path.join(folder, 'new'))).toEqual(['chart.png']);
  });
});

/** The rows of all layers of a chart. */
function rowsOf(chart: ChartSpec): Row[][] {
  const layers = (chart.layer ?? []) as ChartSpec[];
  return layers.map(({ data }) => (data as { values: Row[] }).values);
}

async function pixels(png: Buffer) {
  return sharp(png).removeAlpha().toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
}

function colour(
  { data, info }: { data: Buffer; info: sharp.OutputInfo },
  x: number,
  y: number,
): number[] {
  const at = 3 * (y * info.width + x);
  return [...data.subarray(at, at + 3)];
}
