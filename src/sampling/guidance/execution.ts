import { type Mode, type Precision, xlaIsAtHand } from '@tarflow/graph';
import { currentEngine } from '../../core/engine.js';
import type { AutoregressiveBlock } from '../../flow/autoregressive.js';

/** What a caller may ask for. */
export interface ExecutionOptions {
  /**
   * How computations run. `graph`: each evaluation of a block as one TensorFlow graph, a sequential
   * block with its loop over tokens. `xla`: the latter compiled by XLA, with some samples in each
   * thread. `eager`: op by op. Default: `eager` on other engines; on the native one `graph`, with
   * long loops compiled by XLA on a processor.
   */
  mode?: Mode | undefined;
  /**
   * `bfloat16` rounds the factors of matrix products: faster where the processor can. Loops over tokens
   * that XLA compiles for a processor compute steps of four rows or more, a row for each token of each
   * sample, in float32 all the same, which is faster there; so samples of larger and of smaller batches,
   * and those of a sliding window, differ by that rounding.
   */
  precision?: Precision;
}

/** How computations run. */
export interface Execution {
  mode: Mode;
  /** Of a loop over tokens. */
  loop: Mode;
  precision: Precision;
}

/** Op by op, on any engine. */
export const plainExecution: Execution = { mode: 'eager', loop: 'eager', precision: 'float32' };

/** How computations without a loop over tokens run: as asked for, or as the engine does best. */
export function modeOf({ mode }: Pick<ExecutionOptions, 'mode'> = {}): Mode {
  return mode ?? (currentEngine().engine === 'tensorflow' ? 'graph' : 'eager');
}

/**
 * What is asked for, or what the engine does best. Small steps are what XLA is good at, and a loop
 * over tokens has many: it takes a tenth to a third of the graph's time, after a second or two of
 * compilation in each process.
 */
export function executionOf(
  blocks: readonly Pick<AutoregressiveBlock, 'tokens' | 'depth'>[],
  { mode, precision = 'float32' }: ExecutionOptions = {},
): Execution {
  const chosen = modeOf({ mode });
  const long = blocks.some(({ tokens, depth }) => tokens * depth >= 96);
  const compiled = mode === undefined && long && xlaIsAtHand();
  return { mode: chosen, loop: compiled ? 'xla' : chosen, precision };
}

/**
 * What of some options says how computations run, for a call that is to be timed: only what was
 * asked for, since a default may differ from part to part.
 */
export function askedExecution({ mode, precision }: ExecutionOptions): ExecutionOptions {
  return { ...(mode && { mode }), ...(precision && { precision }) };
}

/** How something that is timed was executed, in words: a time says little without it. */
export function executionText(engine: string, { mode, loop, precision }: Execution): string {
  return `${engine}, ${mode}${loop === mode ? '' : ` with ${loop} loops`}, ${precision}`;
}
