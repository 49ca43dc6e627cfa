import { barChart, lineChart, sideBySide } from '../../workbook/charts/builders.js';
import { type ChartSpec, saveChart } from '../../workbook/charts/chart.js';
import {
  bestPeer,
  type PeerFigures,
  type PeerName,
  peersOf,
  peerTitles,
} from '../../workbook/records/benchmarks.js';
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
  peers: PeerFigures;
  /** The peer with the smallest median. */
  best: PeerName;
  /** ours / that peer's; below 1 is better than every peer. */
  ratio: number;
  /**
   * First and third quartiles, of the best peer too; those of the ratio are of repetitions taken in
   * pairs.
   */
  spread?: { ours: [number, number]; peer: [number, number]; ratio: [number, number] };
  repetitions?: number;
  /**
   * Rate of the matrix products alone, in GFLOP/s, of ours and of the best peer; the peak that the
   * same run measured, and our share of it.
   */
  gflops?: { ours: number; peer: number; peak: number; ofPeak: number };
  /** Medians of what does not count in the ratio: our other modes. */
  others?: Record<string, number>;
  /** For a series: what grows. */
  growth?: { series: string; size: number };
  /** True where the row is no part of the comparison's means and chart. */
  baseline?: true;
  note?: string;
}

/** A row as the file has it: those of one peer have PyTorch's figure, and its ratio is to that. */
export type StoredRow = Omit<ResultRow, 'peers' | 'best'> &
  Partial<Pick<ResultRow, 'peers' | 'best'>> & { peer?: number };

/** What repetitions measured: of ours and of each peer, taken in turns, and of what stands beside. */
export interface Measurements {
  ours: number[];
  peers: Partial<Record<PeerName, number[]>>;
  others?: Record<string, number[]>;
}

type Figures = Pick<
  ResultRow,
  'ours' | 'peers' | 'best' | 'ratio' | 'spread' | 'repetitions' | 'others'
>;

/** The figures of a row. */
export function figuresOf({ ours, peers, others = {} }: Measurements): Figures {
  const our = spreadOf(ours);
  const figures = medians(peers);
  const { name: best, ratio } = bestPeer({ ours: our.median, peers: figures });
  const values = peers[best] as number[];
  const ratios = ours.map((value, index) => value / (values[index] as number));
  const quartiles = (spread: Spread) => spread.quartiles.map(digits) as [number, number];
  return {
    ours: digits(our.median),
    peers: mapped(figures, digits),
    best,
    ratio: digits(ratio),
    spread: {
      ours: quartiles(our),
      peer: quartiles(spreadOf(values)),
      ratio: quartiles(spreadOf(ratios)),
    },
    repetitions: ours.length,
    ...(Object.keys(others).length > 0 && { others: mapped(medians(others), digits) }),
  };
}

function medians(measured: Record<string, number[]>): Record<string, number> {
  return mapped(measured, (values) => spreadOf(values).median);
}

function mapped<T, U>(values: Record<string, T>, change: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]));
}

/** Four digits: more is noise. */
export function digits(value: number): number {
  return Number(value.toPrecision(4));
}

/** A row as a line of the table. */
export function tableLine(row: ResultRow): string {
  const size = row.unit === 's' ? duration : megabytes;
  const spread = row.spread?.ratio.map((value) => value.toFixed(2)).join(' to ');
  const { name: best, figure } = bestPeer(row);
  const others = [...Object.entries(row.peers), ...Object.entries(row.others ?? {})]
    .filter(([name]) => name !== best)
    .map(([name, value]) => `${name} ${size(value)}`);
  return [
    row.name.padEnd(21),
    row.configuration.padEnd(22),
    String(row.batch).padStart(5),
    row.precision.padEnd(9),
    row.mode.padEnd(7),
    size(row.ours).padStart(9),
    size(figure).padStart(9),
    peerTitles[best].padEnd(13),
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
  'best peer'.padStart(9),
  ''.padEnd(13),
  'ratio'.padStart(7),
  'quartiles   ',
  'GFLOP/s',
  'peak',
  ' others',
].join('  ');

/** Draws the ratios of a machine. */
export async function saveRatioFigure(
  rows: readonly StoredRow[],
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
        subtitle: `Below 1 is faster than ${peersInWords(bars)}`,
        rows: bars.map((row) => ({
          what: /sampling/.test(row.name)
            ? `${row.name.replace(' sampling', '')}, batch ${row.batch}`
            : row.name,
          configuration: row.configuration,
          ratio: bestPeer(row).ratio,
        })),
        x: 'what',
        xTitle: '',
        y: 'ratio',
        yTitle: 'ratio',
        series: 'configuration',
      }),
    );
  }
  await saveCharts(charts, 1, "Our time divided by the best peer's", machine, file);
}

/** The peers that rows have, in words: `PyTorch eager, torch.compile and JAX`. */
function peersInWords(rows: readonly StoredRow[]): string {
  const names = new Set(rows.flatMap((row) => Object.keys(peersOf(row)) as PeerName[]));
  const titles = [...names].map((name) => peerTitles[name]);
  return titles.length === 1
    ? (titles[0] as string)
    : `${titles.slice(0, -1).join(', ')} and ${titles.at(-1)}`;
}

/** The rows above 1, each in a line that names the best peer. */
export function slowerRows(rows: readonly ResultRow[]): string[] {
  return rows
    .filter(({ ratio }) => ratio > 1)
    .map(
      ({ name, configuration, batch, precision, ratio, best }) =>
        `${name}, ${configuration}, batch ${batch}, ${precision}: ${ratio.toFixed(3)} (${peerTitles[best]})`,
    );
}

/** Draws how time and memory of a training step grow on a machine. */
export async function saveScalingFigure(
  rows: readonly StoredRow[],
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
          rows: points.flatMap((row) => {
            const size = row.growth?.size as number;
            const peers = Object.entries(peersOf(row)) as [PeerName, number][];
            return [
              { size, value: row.ours * scale, side: 'ours' },
              ...peers.map(([name, value]) => ({
                size,
                value: value * scale,
                side: peerTitles[name],
              })),
            ];
          }),
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
