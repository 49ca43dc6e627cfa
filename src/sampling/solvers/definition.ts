import type { z } from 'zod';
import type { tf } from '../../core/tf.js';
import type { AutoregressiveBlock, Conditions } from '../../flow/autoregressive.js';
import type { Execution } from './execution.js';

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
  /** How often the block was evaluated. */
  evaluations: number;
  /** Tokens evaluated, over all evaluations and samples. */
  evaluatedTokens: number;
  /** Each Jacobi iteration, in order. */
  iterations: IterationTrace[];
  /** The Jacobi iterations that each sample took part in, over all segments. */
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

/** What a solver gets beside a block, the block's output and its own settings. */
export interface SolveContext {
  /** What the block is told, a row per sample. */
  conditions: Conditions;
  execution: Execution;
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

/** A block's input (batch, T, D), in the block's order, which the caller frees, and how it was found. */
export interface Solution {
  tokens: tf.Tensor3D;
  record: SolveRecord;
}

/** Where an iteration starts: at the block's output z itself, or at z_0 followed by zeros. */
export type Start = 'latent' | 'zeros';

/** How the planner tries the forms of a solver on a block. */
export interface FormSearch {
  /** The number of the block's tokens. */
  tokens: number;
  /** That the forms are to have. */
  tolerance: number;
  /** Those worth trying. */
  starts: readonly Start[];
  /** Whether forms are worth trying that take long where the block is easy. */
  tough: boolean;
  /** Measures a form once, in milliseconds. */
  look(form: { kind: string; [setting: string]: unknown }): Promise<number>;
}

/**
 * A way to solve a block for its input: all that there is to say of a solver, in one place. Registered
 * (`solvers.ts`), it is checked, planned, saved in plans and named in tables as every other.
 */
export interface SolverDefinition<S extends { kind: string }> {
  kind: S['kind'];
  /** Its settings, strict; a plan's file is read by it. The messages say what is expected. */
  schema: z.ZodType<S>;
  /** @throws UserError for settings that do not fit the block; those that fit no block the schema refuses */
  check?(block: AutoregressiveBlock, solver: S): void;
  /** The solver in a few words, for tables. */
  text(solver: S): string;
  /** True where it calls `onIterate`. */
  showsIterates: boolean;
  /**
   * Solves a block for its input, x = exp(a(x))·z + b(x), where a and b of a token depend on earlier
   * tokens only.
   *
   * @param z the block's output (batch, T, D), in the block's order
   */
  solve(
    block: AutoregressiveBlock,
    z: tf.Tensor3D,
    solver: S,
    context: SolveContext,
  ): Promise<Solution>;
  /** Tries its forms on a block, the promising ones first. Absent: plans never have it. */
  tryForms?(search: FormSearch): Promise<void>;
  /** Published settings by name: a solver per block, by index from the data. */
  strategies?: Readonly<
    Record<string, (blocks: readonly AutoregressiveBlock[]) => (S | { kind: 'sequential' })[]>
  >;
}
