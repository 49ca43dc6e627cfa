import { type tf, tidy } from '../src/core/tf.js';
import { imagesOf } from '../src/models/tarflow/index.js';
import type { Execution } from '../src/sampling/guidance/execution.js';
import { guidedBlock } from '../src/sampling/guidance/guided-block.js';
import { inverse } from '../src/sampling/inverse.js';
import { sampleNoise } from '../src/sampling/sample.js';
import { solveBlock } from '../src/sampling/solvers/solve-block.js';
import type { BlockTrace } from '../src/sampling/solvers/solve-record.js';
import type { Solver } from '../src/sampling/solvers/solver.js';
import { type Difference, differenceOf } from '../src/sampling/study/difference.js';
import { passageOf, type Subject } from './subject.js';

/**
 * Inverts the blocks from one of them to the data, all by one solver.
 *
 * @param from the block that is inverted first here
 * @param z what it is given (batch, T, D), in its order; not disposed
 * @param loops how sequential blocks are executed; operation by operation where absent, as
 *   iterations always are, so that what is evaluated is least
 * @returns the images, which the caller frees, and a trace of each block in the order of sampling
 */
export async function continueSampling(
  subject: Subject,
  from: number,
  z: tf.Tensor3D,
  solver: Solver,
  loops?: Execution,
): Promise<{ images: tf.Tensor4D; traces: BlockTrace[] }> {
  const traces: BlockTrace[] = [];
  let given = z.clone();
  for (let block = from; block >= 0; block--) {
    const { guided } = passageOf(subject, block);
    const executed =
      solver.kind === 'sequential' && loops
        ? guidedBlock(guided.block, subject.batch, guided.conditions, undefined, loops)
        : guided;
    const { tokens, trace } = await solveBlock(executed, given, solver);
    if (executed !== guided) executed.dispose();
    traces.push(trace);
    given.dispose();
    given = tidy(() => {
      const raster = guided.block.order(tokens, true);
      // What leaves block 0 is in raster order; another block reads in its own.
      if (block === 0) return raster.clone();
      return passageOf(subject, block - 1)
        .guided.block.order(raster)
        .clone();
    });
    tokens.dispose();
  }
  const images = tidy(() => imagesOf(subject.flow.config, given));
  given.dispose();
  return { images, traces };
}

/** What sampling by a strategy took, and how far its images are from the sequential ones. */
export interface StrategyOutcome extends Difference {
  subject: Subject;
  strategy: string;
  images: tf.Tensor4D;
  /** By block from the data, of the slowest sample; null where it is sequential. */
  iterations: (number | null)[];
  /** By block from the data, of the fastest run. */
  milliseconds: number[];
  /** Of the fastest run. */
  total: number;
}

/**
 * Samples the same noise by several strategies: each once to warm up, then in turns.
 *
 * @param strategies a solver for each block by index from the data, by name
 * @param rounds that are timed; the least time counts
 * @param onRound called after each round, the first included
 * @returns an outcome for each strategy, whose images the caller frees
 */
export async function timeStrategies(
  subject: Subject,
  strategies: Readonly<Record<string, readonly Solver[]>>,
  rounds: number,
  onRound?: () => void,
): Promise<StrategyOutcome[]> {
  const entries = Object.entries(strategies);
  const outcomes = new Map<string, StrategyOutcome>();
  for (let round = 0; round <= rounds; round++) {
    for (const [strategy, solver] of round % 2 === 0 ? entries : [...entries].reverse()) {
      const { images, ...run } = await timedRun(subject, solver);
      const known = outcomes.get(strategy);
      if (!known) {
        // The first round only warms.
        const total = Number.POSITIVE_INFINITY;
        const errors = differenceOf(images, subject.exact);
        outcomes.set(strategy, { subject, strategy, images, ...run, ...errors, total });
        continue;
      }
      images.dispose();
      if (run.total < known.total) {
        Object.assign(known, { milliseconds: run.milliseconds, total: run.total });
      }
    }
    onRound?.();
    await new Promise(setImmediate);
  }
  return [...outcomes.values()];
}

type Run = Pick<StrategyOutcome, 'images' | 'iterations' | 'milliseconds' | 'total'>;

async function timedRun({ flow, noise, label }: Subject, solver: readonly Solver[]): Promise<Run> {
  const milliseconds = new Array<number>(flow.config.blocks).fill(0);
  const iterations = new Array<number | null>(flow.config.blocks).fill(null);
  const started = performance.now();
  const images = await inverse(flow, noise, {
    label,
    solver,
    onTrace: (trace) => {
      milliseconds[trace.block] = trace.milliseconds;
      if (trace.solver.kind !== 'sequential') iterations[trace.block] = trace.iterations.length;
    },
  });
  images.dataSync();
  return { images, iterations, milliseconds, total: performance.now() - started };
}

/**
 * Sequential samples of the same classes from other noise: what merely another seed changes.
 * @returns images that the caller frees
 */
export async function sampleOtherSeed(subject: Subject, seed: number): Promise<tf.Tensor4D> {
  const noise = sampleNoise(subject.flow, seed, 0, subject.batch);
  try {
    return await inverse(subject.flow, noise, { label: subject.label });
  } finally {
    noise.dispose();
  }
}
