import { currentEngine } from '../backend/engine.js';
import { type Mode, type Precision, xlaIsAtHand } from '../backend/program/index.js';
import { type FlowConfig, tokenCount } from '../flow/config.js';

/** What a caller may ask for. */
export interface ExecutionOptions {
  /**
   * How computations run. `graph`: each evaluation of a block as one TensorFlow graph, a sequential
   * block with its loop over tokens. `xla`: the latter compiled by XLA, with some samples in each
   * thread. `eager`: op by op. Default: `eager` on other engines; on the native one `graph`, with
   * long loops compiled by XLA on a processor.
   */
  mode?: Mode;
  /** `bfloat16` rounds the factors of matrix products: faster where the processor can. */
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

/**
 * What is asked for, or what the engine does best. Small steps are what XLA is good at, and a loop
 * over tokens has many: it takes a tenth to a third of the graph's time, after a second or two of
 * compilation in each process.
 */
export function executionOf(
  config: FlowConfig,
  { mode, precision = 'float32' }: ExecutionOptions = {},
): Execution {
  const chosen = mode ?? (currentEngine().engine === 'tensorflow' ? 'graph' : 'eager');
  const long = tokenCount(config) * config.layersPerBlock >= 96;
  const compiled = mode === undefined && long && xlaIsAtHand();
  return { mode: chosen, loop: compiled ? 'xla' : chosen, precision };
}
