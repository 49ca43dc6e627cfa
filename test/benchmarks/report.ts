import { type ChartSpec, saveChart } from '../../src/workbook/chart.js';
import { barChart, lineChart, sideBySide } from '../../src/workbook/chart-types.js';
import { type Machine, machineName } from './results-file.js';
import { type Spread, spreadOf } from './statistics.js';

/** A row of results/benchmarks.json. */
export interface ResultRow {
  name: string;
  configuration: string;
  batch: number;
  precision: string;
  /** How ours ran: `default`, which is what a user gets who asks for nothing, or `xla`. */
  mode: 'default' | 'xla';
  device: string;
  /** When it was measured. */
  date: string;
  /** Of the figures: seconds, or bytes of resident memory. */
  unit: 's' | 'B';
  /** Medians. */
  ours: number;
  peer: number;
  /** ours / peer; below 1 is better than the peer. */
  ratio: number;
  /** First and third quartiles; those of the ratio are of repetitions taken in pairs. */
  spread?: { ours: [number, number]; peer: [number, number]; ratio: [number, number] };
  repetitions?: number;
  /**
   * Rate of the matrix products alone, in GFLOP/s; the peak that the same run measured, and our
   * share of it.
   */
  gflops?: { ours: number; peer: number; peak: number; ofPeak: number };
  /** Medians of what does not count in the ratio: our other modes, the peer compiled. */
  others?: Record<string, number>;
  /** For a series: what grows. */
  growth?: { series: string; size: number };
  /** True where the row is no part of the comparison's means and chart. */
  baseline?: true;
  note?: string;
}

/** What repetitions measured: of both sides, taken in pairs, and of what else stands beside. */
export type Measurements = { ours: number[]; peer: number[] } & Record<string, number[]>;

/** The figures of a row. */
export function figuresOf({
  ours,
  peer,
  ...others
}: Measurements): Pick<ResultRow, 'ours' | 'peer' | 'ratio' | 'spread' | 'repetitions' | 'others'> {
  const ratios = ours.map((value, index) => value / (peer[index] as number));
  const [our, their, ratio] = [ours, peer, ratios].map(spreadOf) as [Spread, Spread, Spread];
  const quartiles = (spread: Spread) => spread.quartiles.map(digits) as [number, number];
  const medians = Object.entries(others).map(
    ([name, values]) => [name, digits(spreadOf(values).median)] as const,
  );
  return {
    ours: digits(our.median),
    peer: digits(their.median),
    ratio: digits(our.median / their.median),
    spread: { ours: quartiles(our), peer: quartiles(their), ratio: quartiles(ratio) },
    repetitions: ours.length,
    ...(medians.length > 0 && { others: Object.fromEntries(medians) }),
  };
}

/** Four digits: more is noise. */
export function digits(value: number): number {
  return Number(value.toPrecision(4));
}

/** A row as a line of the table. */
export function tableLine(row: ResultRow): string {
  const size = row.unit === 's' ? duration : megabytes;
  const spread = row.spread?.ratio.map((value) => value.toFixed(2)).join(' to ');
  const others = Object.entries(row.others ?? {}).map(([name, value]) => `${name} ${size(value)}`);
  return [
    row.name.padEnd(21),
    row.configuration.padEnd(22),
    String(row.batch).padStart(5),
    row.precision.padEnd(9),
    row.mode.padEnd(7),
    size(row.ours).padStart(9),
    size(row.peer).padStart(9),
    row.ratio.toFixed(3).padStart(7),
    (spread ?? '').padEnd(12),
    (row.gflops ? `${Math.round(row.gflops.ours)}` : '').padStart(6),
    (row.gflops ? `${Math.round(100 * row.gflops.ofPeak)} %` : '').padStart(6),
    [...others, ...(row.note ? [row.note] : [])].join(', '),
  ].join('  ');
}

export const tableHead = [
  'what'.padEnd(21),
  'configuration'.padEnd(22),
  'batch',
  'precision',
  'mode   ',
  'ours'.padStart(9),
  'peer'.padStart(9),
  'ratio'.padStart(7),
  'quartiles   ',
  'GFLOP/s',
  'peak',
  ' others',
].join('  ');

/** Draws the ratios of a machine. */
export async function saveRatioFigure(
  rows: readonly ResultRow[],
  machine: Machine,
  file: string,
): Promise<void> {
  const charts: ChartSpec[] = [];
  const compared = rows.filter((row) => row.unit === 's' && !row.baseline);
  for (const precision of ['float32', 'bfloat16']) {
    const bars = compared.filter((row) => row.precision === precision);
    if (bars.length === 0) continue;
    charts.push(
      barChart({
        title: precision,
        subtitle: 'Below 1 is faster than PyTorch',
        rows: bars.map((row) => ({
          what: /sampling/.test(row.name)
            ? `${row.name.replace(' sampling', '')}, batch ${row.batch}`
            : row.name,
          configuration: row.configuration,
          ratio: row.ratio,
        })),
        x: 'what',
        xTitle: '',
        y: 'ratio',
        yTitle: 'ratio',
        series: 'configuration',
      }),
    );
  }
  await saveCharts(charts, 1, "Our time divided by PyTorch's", machine, file);
}

/** Draws how time and memory of a training step grow on a machine. */
export async function saveScalingFigure(
  rows: readonly ResultRow[],
  machine: Machine,
  file: string,
): Promise<void> {
  const charts: ChartSpec[] = [];
  const units = [
    ['s', 'Time', 'milliseconds', 1e3],
    ['B', 'Memory', 'MB', 1e-6],
  ] as const;
  for (const series of ['tokens', 'batch', 'blocks']) {
    for (const [unit, title, yTitle, scale] of units) {
      const points = rows.filter((row) => row.unit === unit && row.growth?.series === series);
      if (points.length < 2) continue;
      charts.push(
        lineChart({
          title: `${title} by ${series}`,
          rows: points.flatMap(({ growth, ours, peer }) => [
            { size: growth?.size as number, value: ours * scale, side: 'ours' },
            { size: growth?.size as number, value: peer * scale, side: 'PyTorch' },
          ]),
          x: 'size',
          xTitle: series,
          y: 'value',
          yTitle,
          series: 'side',
          logX: true,
          logY: true,
          points: true,
        }),
      );
    }
  }
  await saveCharts(charts, 2, 'A training step as it grows', machine, file);
}

async function saveCharts(
  charts: readonly ChartSpec[],
  columns: number,
  text: string,
  machine: Machine,
  file: string,
): Promise<void> {
  if (charts.length === 0) return;
  const title = { text: `${text} on ${machineName(machine)}` };
  await saveChart({ ...sideBySide(charts, columns), title }, file);
}

function duration(seconds: number): string {
  if (seconds >= 10) return `${seconds.toFixed(1)} s`;
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return `${(seconds * 1000).toFixed(seconds < 0.01 ? 2 : 1)} ms`;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
