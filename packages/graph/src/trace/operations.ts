/** A tensor of a traced function, and where it comes from. */
export type Value = {
  readonly shape: readonly number[];
  readonly type: number;
} & (
  | { readonly from: 'input' | 'variable'; readonly name: string }
  | { readonly from: 'constant'; readonly content: Uint8Array }
  | {
      readonly from: 'operation';
      readonly operation: Operation;
      readonly output: number;
    }
  | { readonly from: 'loop'; readonly loop: Loop; readonly index: number }
);

/** What a loop does in each round, and the values that it hands from round to round. */
export interface Loop {
  readonly operations: Operation[];
  /** The number of the round and the carried values, as the loop's operations see them. */
  readonly carried: Value[];
  /** What the next round carries, without the number of the round. */
  results: Value[];
}

/** An attribute of an op, by its kind. */
export type Attribute =
  | { string: string }
  | { int: number | number[] }
  | { float: number | number[] }
  | { bool: boolean | boolean[] }
  | { type: number | number[] }
  | { shape: readonly number[] }
  | { constant: Value & { from: 'constant' } }
  | { function: string };

/** One executed op. */
export interface Operation {
  readonly op: string;
  readonly attributes: Record<string, Attribute>;
  readonly inputs: Value[];
  readonly outputs: Value[];
  /**
   * The number of variables that the op writes into. They are its first inputs, and the operation's
   * outputs are their new values; the op itself has no outputs.
   */
  readonly writes: number;
  /** Values that have to exist before the op runs, although it does not read them. */
  readonly after?: Value[];
  /** For a loop: its inputs are the first round, the end, and the values that it carries. */
  readonly loop?: Loop;
}

/** A function as the operations that it executed. */
export interface Trace {
  readonly operations: Operation[];
  readonly outputs: Record<string, Value>;
  readonly updates: Record<string, Value>;
  /** The results of parts that run side by side; none where the function has no parts. */
  readonly parts?: Value[][];
}

/** How many numbers a value has. */
export function elements({ shape }: Pick<Value, 'shape'>): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** All values that a trace returns: its outputs and its updates of variables. */
export function resultsOf({ outputs, updates }: Pick<Trace, 'outputs' | 'updates'>): Value[] {
  return [...Object.values(outputs), ...Object.values(updates)];
}

/** What an operation reads: its inputs, and for a loop also what its body takes from outside. */
export function valuesRead({ inputs, loop }: Operation): Value[] {
  return loop ? [...inputs, ...invariants(loop)] : inputs;
}

/** What a loop's operations use of the surrounding function, apart from constants. */
export function invariants(loop: Loop): Value[] {
  const inside = new Set(loop.operations);
  const used = [
    ...loop.results,
    ...loop.operations.flatMap((operation) => [
      ...operation.inputs,
      ...(operation.loop ? invariants(operation.loop) : []),
    ]),
  ];
  return [...new Set(used)].filter(
    (value) =>
      value.from !== 'constant' &&
      !(value.from === 'loop' && value.loop === loop) &&
      !(value.from === 'operation' && inside.has(value.operation)),
  );
}

/** The operations on which values depend, back to values that are given. */
export function reachable(
  values: readonly Value[],
  given: ReadonlyMap<Value, unknown> = new Map(),
): Set<Operation> {
  const found = new Set<Operation>();
  const open = [...values];
  for (let value = open.pop(); value; value = open.pop()) {
    if (given.has(value) || value.from !== 'operation' || found.has(value.operation)) continue;
    found.add(value.operation);
    open.push(...valuesRead(value.operation));
  }
  return found;
}
