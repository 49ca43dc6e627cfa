import { mean, standardErrorOfMean } from '../../src/evaluation/statistics.js';
import { median } from '../../src/sampling/planner/timing.js';
import { strategyRow } from '../records/accelerations.js';
import type { AccelerationRow, AuthorsLoopFlow, PaperSizeRow } from '../records/record.js';
import { clearlyBelow, type Evidence, type Outcome } from './paper-claim.js';

/** The rules of S1, S5 and S6, as `results/rules.md` says them. */

/** The evaluations of a block that take as long as its loop, n*. */
export const evaluationsPerLoop = ({ loopSeconds, evaluationSeconds }: PaperSizeRow): number =>
  median(loopSeconds) / median(evaluationSeconds);

/** n* of every row in float32 of a batch. */
export const evaluationsPerLoops = (rows: readonly PaperSizeRow[], batch: number): number[] =>
  rows.filter((row) => row.precision === 'float32' && row.batch === batch).map(evaluationsPerLoop);

/** S1: at each published size the loop takes ten times as long as an evaluation. */
export function bottleneck(rows: readonly PaperSizeRow[], batch: number): Outcome {
  const multiples = evaluationsPerLoops(rows, batch);
  return multiples.length < 3 ? undefined : inEach(multiples.map((multiple) => multiple >= 10));
}

export type Strategy = 'SeJD' | 'GS-Jacobi';

const named = (strategy: string, wanted: Strategy) => strategy.split(',')[0] === wanted;

/** How many times as fast as the authors' loop a strategy is; undefined where it has no setting. */
export function timesAsFast(
  { rows }: AuthorsLoopFlow,
  strategy: Strategy,
  batch: number,
): number | undefined {
  const own = rows.filter((row) => row.batch === batch);
  const loop = own.find((row) => row.strategy === 'sequential');
  const other = own.find((row) => named(row.strategy, strategy));
  return loop && other && median(loop.seconds) / median(other.seconds);
}

/** S5, S6: at eight images at least twice as fast as the authors' loop, in each of three flows. */
export function overAuthorsLoop(flows: readonly AuthorsLoopFlow[], strategy: Strategy): Outcome {
  if (flows.length < 3) return undefined;
  return inEach(flows.map((flow) => (timesAsFast(flow, strategy, 8) ?? 0) >= 2));
}

/** S5, S6: FD rises by no more than two errors of the difference, in each flow whose samples were measured. */
export function sameQuality(flows: readonly AuthorsLoopFlow[], strategy: Strategy): Outcome {
  const rows = flows.flatMap(({ quality }) =>
    quality.filter((row) => named(row.strategy, strategy)),
  );
  if (rows.length < 2) return undefined;
  return inEach(rows.map(({ rise, riseError }) => rise <= 2 * riseError));
}

/** S6: by SeJD a block after the first takes at most a quarter of the steps, in each flow. */
export function laterBlocksTakeFew(flows: readonly AuthorsLoopFlow[]): Outcome {
  if (flows.length < 3) return undefined;
  return inEach(flows.map((flow) => mostOfLaterBlocks(flow) <= 1 / 4));
}

/** S6: by SeJD no block takes more evaluations than the loop has steps, in each flow. */
export function boundedBySteps(flows: readonly AuthorsLoopFlow[]): Outcome {
  if (flows.length < 3) return undefined;
  return inEach(
    flows.map(({ rows, tokens }) => {
      const own = rows.filter((row) => named(row.strategy, 'SeJD'));
      return own.every(({ evaluations }) => Math.max(...evaluations) < tokens);
    }),
  );
}

/** The most iterations of a block after the first by SeJD, as a share of the steps. */
export function mostOfLaterBlocks({ rows, tokens }: AuthorsLoopFlow): number {
  const later = rows
    .filter((row) => named(row.strategy, 'SeJD'))
    .flatMap(({ evaluations }) => evaluations.slice(1));
  return Math.max(...later) / (tokens - 1);
}

/** How many times as fast as the loop that XLA compiles, over pairs of runs. */
export function overLoop(loop: AccelerationRow, other: AccelerationRow) {
  const logs = other.times.map((time, i) => Math.log(loop.times[i]! / time));
  const value = Math.exp(mean(logs));
  return { value, error: value * (standardErrorOfMean(logs) ?? 0) };
}

export type CompiledStrategy = 'SeJD, published rule' | 'GS-Jacobi, published form';

/** S5, S6: for one image clearly faster than the loop that XLA compiles, in each flow. */
export function overCompiledLoop(
  tables: Evidence['accelerations'],
  strategy: CompiledStrategy,
): Outcome {
  const multiples = ofSingleImages(tables, strategy);
  if (multiples.length < 2) return undefined;
  return inEach(multiples.map((multiple) => clearlyBelow(1, multiple)));
}

/** How many times as fast as the loop that XLA compiles, for one image, by flow. */
export const timesOverCompiled = (
  tables: Evidence['accelerations'],
  strategy: CompiledStrategy,
): number[] => ofSingleImages(tables, strategy).map(({ value }) => value);

function ofSingleImages(tables: Evidence['accelerations'], strategy: CompiledStrategy) {
  return tables
    .filter(({ table }) => table.batch === 1)
    .map(({ table }) => overLoop(strategyRow(table, 'sequential'), strategyRow(table, strategy)));
}

const probes = [
  '49 tokens, nearest token read as zeros',
  '49 tokens, nearest token read as z',
  '256 tokens, nearest token read as zeros',
  '256 tokens, nearest token read as z',
  '1,024 tokens, nearest token read as z',
] as const;

/** S6: with its nearest token hidden the block inverted first errs half as much again as any other. */
export const leansOnNearTokens = (figure: Evidence['figure']): Outcome =>
  inEach(
    probes.map((how) => {
      const first = figure(
        'redundancy',
        `image error, hidden from the block inverted first, ${how}`,
      ).value;
      return first > 1.5 * figure('redundancy', `from the worst of the others, ${how}`).value;
    }),
  );

/** Yes where all are so, no where none is, else in part. */
function inEach(outcomes: readonly (boolean | undefined)[]): Outcome {
  if (outcomes.every(Boolean)) return true;
  return outcomes.some(Boolean) ? 'in part' : false;
}
