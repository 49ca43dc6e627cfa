/**
 * A model of a published size with random weights, sampled sequentially and by the papers' strategies:
 *
 *     npx tsx test/benchmarks/paper-strategies.ts --model img64cond --out FILE [--batch 256] [--seconds 400]
 *
 * Whether iterations converge says nothing where weights are random, so each block makes as many as the
 * papers report. First one block is timed by each solver, at the papers' batch or the largest one for which
 * memory and time suffice; all blocks cost the same, so their sums are the times of the whole flow. Where
 * time suffices for it, the whole flow is then timed in their place. Blocks share their weights.
 */

import * as os from 'node:os';
import { parseArgs } from 'node:util';
import { disposeCompiled, type Precision } from '@tarflow/graph';
import { startEngine } from '../../src/core/engine.js';
import { UserError } from '../../src/core/errors.js';
import { blocksOf } from '../../src/flow/model.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { configName, type TarFlowConfig } from '../../src/models/tarflow/config.js';
import type { TarFlow } from '../../src/models/tarflow/index.js';
import { type Guidance, inverse, type Solver, sampleNoise } from '../../src/sampling/index.js';
import { processorName } from '../../src/sampling/planner/machine.js';
import { median, takeTurns } from '../../src/sampling/planner/timing.js';
import { executionOf, executionText } from '../../src/sampling/solvers/execution.js';
import { showTable } from '../../workbook/notebook/tables.js';
import type { PaperScale } from '../../workbook/papers/index.js';
import { type PaperStrategies, writeRecord } from '../../workbook/records/record.js';
import { paperExperiment, paperGuidance } from '../../workbook/reproduction/paper-experiment.js';
import { endAfter, fallingBatch, isOutOfMemory } from './falling-batch.js';
import { type PublishedModel, publishedBatch, publishedModel } from './published-models.js';
import { randomFlow, withBlocks } from './random-flow.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    out: { type: 'string' },
    batch: { type: 'string', default: `${publishedBatch}` },
    precision: { type: 'string', default: 'float32' },
    /** After which nothing more is begun. */
    seconds: { type: 'string', default: '400' },
    /** Small blocks of the same number, to try the path. */
    tiny: { type: 'boolean', default: false },
  },
});
const wanted = Number(values.batch);
const precision = values.precision as Precision;
const seed = 1;
const mostRounds = 3;

const left = (): number => Number(values.seconds) - performance.now() / 1000;

/** What is told of samples. */
interface Told {
  guidance: Guidance | undefined;
  label: number | undefined;
}

/** By strategy, sequential first: a solver for each block, by index from the data. */
type Strategies = Map<string, readonly Solver[]>;

/** By solver or strategy: seconds by round. */
type Times = Map<string, number[]>;

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

const small = { side: 8, patchSize: 2, channels: 64, layersPerBlock: 1 };

function flowOf(paper: PaperScale): TarFlow {
  const scale = values.tiny ? { ...paper, ...small } : paper;
  return randomFlow(paperExperiment(scale, 1).config as TarFlowConfig, seed);
}

/** The same with one iteration of each kind, which compiles what all of them run. */
const once = (solver: Solver): Solver => ('maximum' in solver ? { ...solver, maximum: 1 } : solver);

interface Use {
  batch: number;
  told: Told;
  signal: AbortSignal;
  /** How long the signal leaves. */
  seconds: number;
}

/**
 * Times ways to sample, each on the same noise: once to warm, then in turns, up to three rounds where they
 * take little of the time that there is.
 *
 * @param onEvaluations called with the evaluations of each block that was timed
 */
async function timesOf(
  flow: TarFlow,
  ways: ReadonlyMap<string, readonly Solver[]>,
  { batch, told, signal, seconds }: Use,
  onEvaluations?: (way: string, evaluations: number) => void,
): Promise<Times> {
  const end = left() - seconds;
  const noise = sampleNoise(flow, seed, 0, batch);
  const options = { ...told, precision, signal };
  const warming = [...ways.values()].map((solvers) => () => {
    return inverse(flow, noise, { ...options, solver: solvers.map(once) });
  });
  const runs = [...ways].map(([way, solver]) => () => {
    const onTrace = ({ evaluations }: { evaluations: number }) => onEvaluations?.(way, evaluations);
    return inverse(flow, noise, { ...options, solver, onTrace });
  });
  try {
    await takeTurns(warming, 1, { signal });
    const first = await takeTurns(runs, 1, { signal });
    const took = sum(first.flat()) / 1000;
    const more = Math.min(mostRounds - 1, Math.floor((left() - end) / 2 / took));
    const others = more > 0 ? await takeTurns(runs, more, { signal }) : [];
    return new Map(
      [...ways.keys()].map((way, i) => {
        const times = [...(first[i] ?? []), ...(others[i] ?? [])];
        return [way, times.map((time) => time / 1000)];
      }),
    );
  } finally {
    noise.dispose();
  }
}

/** Times one block by each of the solvers, and adds up those of each strategy. */
async function timeBlock(
  flow: TarFlow,
  strategies: Strategies,
  told: Told,
): Promise<Pick<PaperStrategies, 'batches' | 'notes'> & { times: Times; evaluations: Times }> {
  const solvers = new Map(
    [...strategies.values()].flat().map((solver) => [JSON.stringify(solver), [solver]]),
  );
  // What takes most memory comes first, so that a batch that is too large is known soon.
  const ways = new Map([...solvers].reverse());
  const one = withBlocks(flow, 1);
  const made = new Map<string, number>();
  const limit = (batch: number) => (batch === 1 ? left() : left() / 2);
  const { batch, found, notes } = await fallingBatch(wanted, limit, async (batch, signal) => {
    const use = { batch, signal, seconds: limit(batch), told };
    try {
      return await timesOf(one, ways, use, (way, evaluations) => made.set(way, evaluations));
    } catch (error) {
      disposeCompiled();
      throw error;
    }
  });
  const [rounds = 1] = [...found.values()].map(({ length }) => length);
  const times: Times = new Map();
  const evaluations: Times = new Map();
  for (const [strategy, own] of strategies) {
    const keys = own.map((solver) => JSON.stringify(solver));
    const inRound = (round: number) =>
      sum(keys.map((key) => found.get(key)?.[round] ?? Number.NaN));
    times.set(
      strategy,
      Array.from({ length: rounds }, (_, round) => inRound(round)),
    );
    evaluations.set(strategy, keys.map((key) => made.get(key) ?? Number.NaN).reverse());
  }
  return { batches: { published: publishedBatch, measured: batch }, notes, times, evaluations };
}

/** Times the whole flow; in words why not, where time or memory does not suffice. */
async function timeFlow(
  flow: TarFlow,
  strategies: Strategies,
  { batch, told, expected }: { batch: number; told: Told; expected: number },
): Promise<Times | string> {
  // It runs once to be compiled, with few iterations, and once to be timed.
  const needed = 2.2 * expected;
  const seconds = left();
  if (needed > seconds) return `the whole flow would take about ${Math.ceil(needed)} s`;
  const signal = endAfter(seconds);
  try {
    return await timesOf(flow, strategies, { batch, signal, seconds, told });
  } catch (error) {
    if (isOutOfMemory(error)) return 'memory does not suffice for the whole flow';
    if (signal.aborted) return `the whole flow was not measured in ${Math.round(seconds)} s`;
    throw error;
  }
}

async function main(): Promise<void> {
  const { out } = values;
  if (out === undefined) throw new UserError('No file came', 'Name it by --out');
  const model: PublishedModel = publishedModel(values.model);
  const engine = await startEngine();
  const flow = flowOf(model.paper);
  const { config } = flow;
  const stack = blocksOf(flow);
  const guidance = paperGuidance(model.paper.sampling ?? {});
  const told: Told = { guidance, label: config.classes > 0 ? 0 : undefined };
  const strategies: Strategies = new Map([
    ['sequential', stack.map((): Solver => ({ kind: 'sequential' }))],
    ...model.strategies.map(({ name, solvers }) => [name, solvers(flow)] as const),
  ]);
  const { times, evaluations, batches, notes } = await timeBlock(flow, strategies, told);
  const record = (found: Times, timed: PaperStrategies['timed'], more: string[]) => ({
    ...{ model: configName(config), tokens: stack[0]?.tokens ?? 0, blocks: stack.length },
    ...{ guidance: guidance ?? null, precision, batches, timed, seed },
    notes: [...notes, ...model.strategies.flatMap(({ note }) => note ?? []), ...more],
    processor: processorName(),
    versions: { engine: `${engine.engine} (${engine.version})`, node: process.version },
    execution: executionText('graph engine', executionOf(stack, { precision })),
    rows: [...strategies.keys()].map((strategy) => ({
      strategy,
      evaluations: evaluations.get(strategy) ?? [],
      seconds: found.get(strategy) ?? [],
      published: model.strategies.find(({ name }) => name === strategy)?.published,
    })),
    cost: { seconds: performance.now() / 1000, cores: os.availableParallelism() },
    command: ['npx tsx test/benchmarks/paper-strategies.ts', ...process.argv.slice(2)].join(' '),
    date: new Date().toISOString(),
  });
  const sums = (why: string) => `one block was timed, and its times added up: ${why}`;
  // What there is stays there, if the process is ended in the middle of the whole flow.
  await writeRecord<'paper strategies'>(
    out,
    record(times, 'block', [sums('the whole flow was not reached')]),
  );
  const expected = sum([...times.values()].map(median));
  const whole = await timeFlow(flow, strategies, { batch: batches.measured, told, expected });
  const final =
    typeof whole === 'string' ? record(times, 'block', [sums(whole)]) : record(whole, 'flow', []);
  await writeRecord<'paper strategies'>(out, final);
  disposeModel(flow);
  showTable(
    final.rows.map(({ strategy, seconds }) => ({ strategy, seconds: median(seconds) })),
    {
      caption: [`${model.title}, batch ${batches.measured}`, ...final.notes].join('; '),
    },
  );
}

main().catch((error: unknown) => {
  console.error(error instanceof UserError ? error.message : error);
  process.exitCode = 1;
});
