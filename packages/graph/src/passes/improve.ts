import { entryOf, mapValues } from '../records.js';
import type { Trace } from '../trace/operations.js';
import { dropIdle, hoistCasts, readNarrow, sinkCasts } from './casts.js';
import { joinNorms } from './join-norms.js';
import { rematerialise } from './rematerialise.js';
import { sumRowsByProducts } from './row-sums.js';

/** For what a trace is improved. */
interface Target {
  /** True where matrix products take bfloat16 arguments. */
  bfloat16: boolean;
  /** True for a graph in which groups of operations are compiled. */
  fuse: boolean;
  /** True for a graph that runs with oneDNN. */
  oneDnn: boolean;
}

/**
 * A trace that computes the same with less work and memory. The order of the passes matters: the
 * first ones bring casts together and remove them, and later ones recognise patterns that casts would
 * interrupt.
 *
 * @param written names of the variables that any function of the program writes
 */
export function improved(
  trace: Trace,
  { bfloat16, fuse, oneDnn }: Target,
  written: ReadonlySet<string>,
): Trace {
  return keepingParts(trace, (held) => {
    if (bfloat16) sinkCasts(held);
    dropIdle(held);
    if (bfloat16) hoistCasts(held);
    if (bfloat16) readNarrow(held, (variable) => !written.has(variable));
    if (bfloat16 && fuse) sumRowsByProducts(held);
    if (oneDnn) joinNorms(held);
    if (fuse) rematerialise(held);
  });
}

/** Changes a trace while the results of its parts count as outputs, so that passes keep them. */
function keepingParts(trace: Trace, change: (held: Trace) => void): Trace {
  const { outputs, parts = [] } = trace;
  const name = (part: number, index: number) => `part ${part}, result ${index}`;
  const results = parts.flatMap((values, part) =>
    values.map((value, index) => [name(part, index), value] as const),
  );
  const held = { ...trace, outputs: { ...outputs, ...Object.fromEntries(results) } };
  change(held);
  return {
    ...held,
    outputs: mapValues(outputs, (_, key) => entryOf(held.outputs, key)),
    parts: parts.map((values, part) =>
      values.map((_, index) => entryOf(held.outputs, name(part, index))),
    ),
  };
}
