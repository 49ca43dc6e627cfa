import type { BreakEven } from '../acceleration/break-even.js';
import type { ChartSpec } from '../chart.js';
import { palette } from '../theme.js';

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
