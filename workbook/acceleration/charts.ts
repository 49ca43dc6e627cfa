import { heatMap, layered, lineChart, referenceLine } from '../charts/builders.js';
import { type ChartSpec, palette } from '../charts/chart.js';
import type { BreakEven } from './acceleration-table.js';
import { blockName, type Subject } from './solver-study.js';

/**
 * How exact tokens spread while a block is iterated on: log₁₀ of the errors, tokens down and
 * iterations to the right, with the line token = iteration, above which everything must be exact.
 *
 * @param tokenErrors by iterate, the largest error of each token, see `followConvergence`
 */
export function frontChart(title: string, tokenErrors: readonly Float32Array[]): ChartSpec {
  const tokens = tokenErrors[0]?.length ?? 0;
  const bands = Math.min(tokens, 128);
  const band = tokens / bands;
  const values: number[] = [];
  for (let row = 0; row < bands; row++) {
    for (const errors of tokenErrors) {
      // The worst token of the band.
      const part = errors.subarray(Math.floor(row * band), Math.floor((row + 1) * band));
      values.push(Math.log10(Math.max(...part, 1e-7)));
    }
  }
  const iterates = tokenErrors.length;
  const map = heatMap({
    title,
    values,
    rows: bands,
    columns: iterates,
    x: [0, iterates],
    y: [0, tokens],
    firstRow: 'top',
    xTitle: 'iteration',
    yTitle: 'token, in the block’s order',
    colourTitle: 'log₁₀ error',
    colourDomain: [-7, 0],
    width: 262,
    height: 200,
  });
  const reach = Math.min(iterates, tokens);
  const guarantee = referenceLine(
    [
      [0, 0],
      [reach, reach],
    ],
    'white',
  );
  return layered([map, guarantee]);
}

/** What solving a block in segments costs. */
export interface SegmentCost {
  subject: Subject;
  block: number;
  /** Ours runs op by op where nothing else is said. */
  form: 'ours' | 'ours, in a graph' | 'published form';
  /** As many as tokens: sequential. */
  segments: number;
  evaluations: number;
  /** Tokens evaluated for a sample, as multiples of T. */
  work: number;
}

/** Costs by the number of segments: ours as solid lines, the published form dashed. */
export function segmentChart(
  costs: readonly SegmentCost[],
  value: 'evaluations' | 'work',
  title: string,
  yTitle: string,
): ChartSpec {
  const shown = costs.filter(({ form }) => form !== 'ours, in a graph');
  const rowsOf = (form: SegmentCost['form']) =>
    shown
      .filter((cost) => cost.form === form)
      .map((cost) => ({
        segments: cost.segments,
        value: cost[value],
        of: `${cost.subject.title}, block ${cost.block}`,
      }));
  const chart = lineChart({
    title,
    subtitle: 'Open squares: the published form',
    rows: rowsOf('ours'),
    x: 'segments',
    y: 'value',
    series: 'of',
    logX: true,
    logY: true,
    points: true,
    xDomain: around(shown.map(({ segments }) => segments)),
    yDomain: around(shown.map((cost) => cost[value])),
    xTitle: 'segments G',
    yTitle,
    width: 340,
    height: 260,
  });
  const [lines] = chart.layer ?? [];
  const legend = { title: null, orient: 'top', columns: 2 };
  const color = { ...lines?.encoding?.color, legend };
  const ours = { ...lines, encoding: { ...lines?.encoding, color } };
  const point = { shape: 'square', filled: false, size: 170 };
  // Below ours, and of larger marks: where both lines are one, both can be seen.
  const published = {
    ...ours,
    data: { values: rowsOf('published form') },
    mark: { type: 'line', strokeDash: [5, 4], point },
  };
  return { ...chart, layer: [published, ours] };
}

/** A domain with room around its values on a logarithmic axis. */
function around(values: readonly number[]): [number, number] {
  return [0.8 * Math.min(...values), 1.25 * Math.max(...values)];
}

/**
 * The time of an image by each strategy, cut into the blocks that it was spent in.
 *
 * @param strategies milliseconds of a batch by block, from the data, for each
 */
export function blockTimeChart(
  subject: Subject,
  strategies: readonly { strategy: string; milliseconds: readonly number[] }[],
): ChartSpec {
  const { title, batch, inOrder } = subject;
  const rows = strategies.flatMap(({ strategy, milliseconds }) =>
    inOrder.map((block, place) => ({
      strategy,
      block: blockName(subject, block),
      place,
      time: (milliseconds[block] ?? 0) / batch,
    })),
  );
  const blocks = inOrder.map((block) => blockName(subject, block));
  const legend = { title: null, orient: 'right', columns: 1 };
  return {
    title: {
      text: `${title}, batch of ${batch}`,
      subtitle: 'Time of an image, by the block it was spent in',
    },
    width: 540,
    height: 130,
    data: { values: rows },
    mark: { type: 'bar' },
    encoding: {
      y: { field: 'strategy', type: 'nominal', sort: null, title: null },
      x: { field: 'time', type: 'quantitative', aggregate: 'sum', title: 'ms per image' },
      color: { field: 'block', type: 'nominal', scale: { domain: blocks }, legend },
      order: { field: 'place' },
    },
  };
}

/** Where something was measured. */
interface Setting {
  model: string;
  /** For example 'xla, batch 8'. */
  setting: string;
}

/** What the marks of a break-even chart are, as its legend names them. */
const countMarks = {
  domain: [
    'diamond: break-even count n*',
    'what Jacobi took: easiest to toughest block, mean as a dot',
  ],
  range: [palette[0], palette[1]],
};

/**
 * The break-even count of a block beside the iterations that Jacobi took, model by model. Where the
 * count lies to the right of the iterations, iterating pays.
 */
export function breakEvenChart(rows: readonly (Setting & BreakEven)[]): ChartSpec {
  const models = [...new Set(rows.map(({ model }) => model))];
  const all = rows.flatMap(({ star, fewest, most }) => [star, fewest, most]);
  const domain = [Math.min(1, ...all), 1.3 * Math.max(1, ...all)];
  return {
    title: {
      text: 'Iterations that pay, and iterations that are needed',
      subtitle:
        'Diamond right of the dot: Jacobi iteration in all blocks is faster than sequential sampling',
    },
    vconcat: models.map((model) =>
      countsOf(
        rows.filter((row) => row.model === model),
        domain,
      ),
    ),
  };
}

/** The counts of one model, setting by setting. */
function countsOf(rows: readonly (Setting & BreakEven)[], domain: readonly number[]): ChartSpec {
  const settings = new Set(rows.map(({ setting }) => setting)).size;
  const counts = {
    type: 'quantitative',
    scale: { type: 'log', domain: [...domain], nice: false },
    title: 'iterations of a block (logarithmic scale)',
    axis: { values: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], format: '~g', tickCount: 20 },
  };
  const legend = { title: null, orient: 'top', columns: 2, labelLimit: 0 };
  const colorOf = (mark: number) => ({
    datum: countMarks.domain[mark],
    type: 'nominal',
    scale: countMarks,
    legend,
  });
  return {
    title: { text: rows[0]?.model ?? '', fontSize: 12 },
    data: { values: [...rows] },
    width: 560,
    height: 26 * settings,
    encoding: { y: { field: 'setting', type: 'nominal', sort: null, title: null } },
    layer: [
      {
        mark: { type: 'rule', strokeWidth: 3 },
        encoding: { x: { ...counts, field: 'fewest' }, x2: { field: 'most' }, color: colorOf(1) },
      },
      {
        mark: { type: 'point', filled: true, size: 60, opacity: 1 },
        encoding: { x: { ...counts, field: 'mean' }, color: colorOf(1) },
      },
      {
        mark: { type: 'point', filled: true, shape: 'diamond', size: 110, opacity: 1 },
        encoding: { x: { ...counts, field: 'star' }, color: colorOf(0) },
      },
    ],
  };
}

/** A strategy's speed-up over sequential sampling in the same mode. */
export interface SpeedUp extends Setting {
  strategy: string;
  speedup: number;
  /** Whether no pixel was further from the sequential one than the aim. */
  keepsAim: boolean;
}

/** Speed-ups on a logarithmic axis, model by model: dots where the samples are the same. */
export function speedUpChart(rows: readonly SpeedUp[]): ChartSpec {
  const strategies = [...new Set(rows.map(({ strategy }) => strategy))];
  const models = [...new Set(rows.map(({ model }) => model))];
  return {
    title: {
      text: 'What iterating is worth in time',
      subtitle: 'Left of the line it loses. A plan that is sequential in every block has no mark',
    },
    vconcat: models.map((model) =>
      speedUpsOf(
        rows.filter((row) => row.model === model),
        strategies,
      ),
    ),
  };
}

const samples = ['keeps the aim', 'misses it'];

/** The speed-ups of one model, setting by setting. */
function speedUpsOf(rows: readonly SpeedUp[], strategies: readonly string[]): ChartSpec {
  const values = rows.map(({ keepsAim, ...row }) => ({
    ...row,
    samples: samples[keepsAim ? 0 : 1],
  }));
  const settings = new Set(rows.map(({ setting }) => setting)).size;
  const x = {
    type: 'quantitative',
    scale: { type: 'log', domain: [0.05, 20], nice: false },
    title: 'times as fast as sequential sampling in the same mode',
    axis: { values: [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20], format: '~g', tickCount: 20 },
  };
  const grid = { grid: true, tickBand: 'extent' };
  const legend = { title: null, orient: 'top', columns: 3 };
  const shapes = { domain: samples, range: ['circle', 'triangle-up'] };
  return {
    title: { text: rows[0]?.model ?? '', fontSize: 12 },
    width: 600,
    height: 40 * settings,
    layer: [
      {
        data: { values: [{ one: 1 }] },
        mark: { type: 'rule', strokeDash: [4, 4], color: '#5a5a5a' },
        encoding: { x: { ...x, field: 'one' } },
      },
      {
        data: { values },
        mark: { type: 'point', filled: true, size: 60, opacity: 1 },
        encoding: {
          x: { ...x, field: 'speedup' },
          y: { field: 'setting', type: 'nominal', sort: null, title: null, axis: grid },
          yOffset: { field: 'strategy', type: 'nominal', sort: [...strategies] },
          color: { field: 'strategy', type: 'nominal', scale: { domain: [...strategies] }, legend },
          shape: { field: 'samples', type: 'nominal', scale: shapes, legend },
        },
      },
    ],
  };
}
