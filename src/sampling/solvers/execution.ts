import { callCompiled, type Mode, type Precision, xlaIsAtHand } from '@tarflow/graph';
import { type ExecutionOptions, modeOf } from '../../core/engine.js';
import { type tf, tidy } from '../../core/tf.js';
import { type Leaves, leaves, nested, type Tree, withLeaves } from '../../core/tree.js';
import type { AutoregressiveBlock, Place, Prediction } from '../../flow/autoregressive.js';

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
  blocks: readonly Pick<AutoregressiveBlock, 'tokens' | 'cost'>[],
  { mode, precision = 'float32' }: ExecutionOptions = {},
): Execution {
  const chosen = modeOf({ mode });
  const long = blocks.some(({ tokens, cost }) => tokens * cost.depth >= 96);
  const compiled = mode === undefined && long && xlaIsAtHand();
  return { mode: chosen, loop: compiled ? 'xla' : chosen, precision };
}

/** How something that is timed was executed, in words: a time says little without it. */
export function executionText(engine: string, { mode, loop, precision }: Execution): string {
  return `${engine}, ${mode}${loop === mode ? '' : ` with ${loop} loops`}, ${precision}`;
}

/** The same op by op, in the same precision. */
export function plainly({ precision }: Execution): Execution {
  return { ...plainExecution, precision };
}

/**
 * Computes with a block, in one call of a graph or op by op as an execution says. A graph is recorded
 * for each name, description and set of shapes.
 *
 * @param call its name in errors and graphs, letters and digits, and all on which `body` depends beside
 *   the block and the inputs
 * @param body what is computed, from the block and the inputs as they are given or recorded
 * @returns what `body` returns; the caller frees it
 */
export function callBlock<Inputs extends Tree, Results extends Tree>(
  block: AutoregressiveBlock,
  { mode, precision }: Pick<Execution, 'mode' | 'precision'>,
  { name, description }: { name: string; description: unknown },
  inputs: Inputs,
  body: (block: AutoregressiveBlock, inputs: Inputs) => Results,
): Results {
  if (mode === 'eager' && precision === 'float32') return tidy(() => body(block, inputs));
  const results = callCompiled({
    name,
    description: [block.description, block.direction, description],
    parameters: leaves(block.parameters),
    instance: block.index,
    inputs: leaves(inputs),
    body: (parameters: Leaves, traced: Leaves) =>
      leaves(body(block.withParameters(parameters), withLeaves(inputs, traced))),
    // Wide and without a loop: XLA would compile every shape for nothing.
    mode: mode === 'xla' ? 'graph' : mode,
    precision,
  });
  return nested<Results>(results);
}

/** Predicts as an execution says: {@link AutoregressiveBlock.predict} by {@link callBlock}. */
export function predictBy(
  execution: Execution,
  block: AutoregressiveBlock,
  tokens: tf.Tensor3D,
  { start, cache, conditions, keepCache }: Place,
): Prediction {
  return callBlock(
    block,
    execution,
    { name: 'predict', description: [start, keepCache] },
    { tokens, cache, conditions },
    (own, inputs) => {
      const { next, cache: extended } = own.predict(inputs.tokens, {
        start: start ?? 0,
        cache: inputs.cache,
        conditions: inputs.conditions,
        keepCache,
      });
      return { next: { ...next }, cache: extended };
    },
  );
}
