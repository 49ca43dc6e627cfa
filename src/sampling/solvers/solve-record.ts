import type { tf } from '../../core/tf.js';
import type { Solver } from './solver.js';

/** One Jacobi iteration on a segment. */
export interface IterationTrace {
  /** The segment, from 0. */
  segment: number;
  /** Samples that were not yet done with the segment. */
  samples: number;
  /**
   * Samples that the block was evaluated for. In graphs that includes samples that are done: they leave
   * once at most half of the batch is unsolved.
   */
  evaluatedSamples: number;
  /** Tokens that the block evaluated for each of the latter. */
  evaluated: number;
  /** The largest change among the samples, in the solver's norm. */
  residual: number;
  /** Tokens that are final after it, from the first, in the sample that has fewest. */
  final: number;
}

/** A segment of a sample. */
interface SampleSegment {
  segment: number;
  /** The sample's place in the batch. */
  sample: number;
}

/** How a block was solved. */
export interface SolveRecord {
  /** Times that the block was evaluated, on however many tokens. */
  evaluations: number;
  /** Tokens evaluated, over all samples: the work, that of fallbacks and of done samples too. */
  evaluatedTokens: number;
  /** Every Jacobi iteration in its order; none where tokens were solved one after the other. */
  iterations: IterationTrace[];
  /** Jacobi iterations that each sample took part in, over all segments. */
  sampleIterations: number[];
  /** The most memory that keys and values took, in bytes. */
  cacheBytes: number;
  /** Where an iterate was not finite, so that the segment was solved token by token. */
  fallbacks: SampleSegment[];
  /**
   * Where the most iterations allowed were done and the change was above the tolerance; in the
   * published form also where a number of the result is not finite.
   */
  unconverged: SampleSegment[];
}

/** How a block of a flow was solved, with what, and how long it took. */
export interface BlockTrace extends SolveRecord {
  /** The block, by index from the data. */
  block: number;
  solver: Solver;
  milliseconds: number;
}

/** A record of nothing done yet. */
export function emptyRecord(batch: number): SolveRecord {
  return {
    evaluations: 0,
    evaluatedTokens: 0,
    iterations: [],
    sampleIterations: new Array<number>(batch).fill(0),
    cacheBytes: 0,
    fallbacks: [],
    unconverged: [],
  };
}

/** What iterations did not bring to an end by themselves, as numbers of segments of samples. */
export interface Shortfalls {
  /** Per block, by index from the data: those solved token by token. */
  fallbacks: number[];
  /** Per block: those left with a change above the tolerance. */
  unconverged: number[];
}

/** No shortfalls yet. */
export function noShortfalls(blocks: number): Shortfalls {
  const none = (): number[] => new Array<number>(blocks).fill(0);
  return { fallbacks: none(), unconverged: none() };
}

/** Adds those of a solved block to some shortfalls. */
export function addShortfalls({ fallbacks, unconverged }: Shortfalls, trace: BlockTrace): void {
  fallbacks[trace.block]! += trace.fallbacks.length;
  unconverged[trace.block]! += trace.unconverged.length;
}

/** What a solver calls while it works. */
export interface SolveHooks {
  /**
   * Awaited after each evaluation with the number of tokens solved so far; it may report progress,
   * and stops the solver by throwing.
   */
  onStep?: ((solved: number) => Promise<void> | void) | undefined;
  /**
   * Called with each iterate (samples, T, D) in the block's order, the start included, and the
   * places in the batch of its samples: those that are still evaluated, some of which may be done.
   * It does not own the tensor.
   */
  onIterate?: ((tokens: tf.Tensor3D, samples: readonly number[]) => void) | undefined;
}
