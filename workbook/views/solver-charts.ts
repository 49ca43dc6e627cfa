import type { ChartSpec } from '../chart.js';
import { heatMap, layered, lineChart } from '../chart-types.js';
import { blockName, type Subject } from '../subject.js';
import { referenceLine } from './reference-line.js';

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
  const [lines] = chart.layer as ChartSpec[];
  const encoding = lines?.encoding as ChartSpec;
  const legend = { title: null, orient: 'top', columns: 2 };
  const color = { ...(encoding.color as ChartSpec), legend };
  const ours = { ...lines, encoding: { ...encoding, color } };
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
