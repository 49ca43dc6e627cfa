import { types } from '../native/binding.js';
import { entryOf } from '../records.js';
import {
  type Operation,
  reachable,
  resultsOf,
  type Trace,
  type Value,
} from '../trace/operations.js';
import { handOver, made, madeBy, replaceOperations, resultOf, usesOf } from './trace-edit.js';

/** Operations that only move numbers, and the places of the inputs that they move. */
const movements: Record<string, (inputs: Value[]) => number[]> = {
  Reshape: () => [0],
  Transpose: () => [0],
  Slice: () => [0],
  Unpack: () => [0],
  Pack: (inputs) => [...inputs.keys()],
  ConcatV2: (inputs) => [...inputs.keys()].slice(0, -1),
};

/**
 * Moves casts to bfloat16 in front of operations that only move numbers, where nothing needs the
 * float32 numbers: half as many bytes are moved. A cast back to bfloat16 is removed. The trace is
 * changed.
 */
export function hoistCasts(trace: Trace): void {
  const operations: Operation[] = [];
  const uses = usesOf(trace);
  const removed = new Set<Operation>();

  const replaceUses = (value: Value, by: Value) => {
    for (const operation of uses.get(value) ?? []) {
      operation?.inputs.forEach((input, index) => {
        if (operation && input === value) operation.inputs[index] = by;
      });
    }
    uses.set(by, [...(uses.get(by) ?? []), ...(uses.get(value) ?? [])]);
    uses.delete(value);
  };

  /** False for a cast whose result the body of a loop takes from outside. */
  const takesAnother = (cast: Operation) => !uses.get(resultOf(cast))?.includes(undefined);

  // Backwards, so that a chain of such operations passes its casts up.
  for (const operation of [...trace.operations].reverse()) {
    const moved = movements[operation.op];
    const casts = operation.outputs.map((value) => uses.get(value) ?? []);
    const fits =
      moved &&
      casts.some((list) => list.length > 0) &&
      casts.flat().every((user) => user && isNarrowing(user) && takesAnother(user)) &&
      operation.outputs.every((value) => value.type === types.float32);
    if (!fits) {
      if (!removed.has(operation)) operations.unshift(operation);
      continue;
    }
    const before: Operation[] = [];
    for (const index of moved(operation.inputs)) {
      const input = entryOf(operation.inputs, index);
      const kept = (uses.get(input) ?? []).filter((user) => user !== operation);
      uses.set(input, kept);
      const wide = input.from === 'operation' && isWidening(input.operation);
      let narrow = wide ? input.operation.inputs[0] : undefined;
      narrow ??= before.find(({ inputs }) => inputs[0] === input)?.outputs[0];
      if (!narrow) {
        const made = cast(input, types.bfloat16);
        before.push(made);
        narrow = resultOf(made);
        kept.push(made);
      }
      operation.inputs[index] = narrow;
      uses.set(narrow, [...(uses.get(narrow) ?? []), operation]);
    }
    operation.attributes.T = { type: types.bfloat16 };
    operation.outputs.forEach((value, index) => {
      const made: Value = { ...value, type: types.bfloat16 };
      operation.outputs[index] = made;
      for (const cast of casts[index] ?? []) {
        if (!cast) continue;
        removed.add(cast);
        replaceUses(resultOf(cast), made);
      }
    });
    operations.unshift(...before, operation);
  }
  replaceOperations(
    trace.operations,
    operations.filter((operation) => !removed.has(operation)),
  );
}

/**
 * Moves casts from bfloat16 behind operations that only move numbers, where all of these were
 * bfloat16 before. The trace is changed.
 */
export function sinkCasts(trace: Trace): void {
  const operations: Operation[] = [];
  for (const operation of trace.operations) {
    operations.push(operation);
    const moved = movements[operation.op]?.(operation.inputs);
    const [type] = operation.outputs.map((value) => value.type);
    const casts = moved?.map((index) => madeBy(operation.inputs[index], 'Cast'));
    if (!moved || type !== types.float32 || !casts?.every((cast) => cast && isWidening(cast))) {
      continue;
    }
    moved.forEach((index, place) => {
      const narrow = casts?.[place]?.inputs[0];
      if (narrow) operation.inputs[index] = narrow;
    });
    operation.attributes.T = { type: types.bfloat16 };
    operation.outputs.forEach((value, output) => {
      const narrow: Value = { ...value, type: types.bfloat16 };
      operation.outputs[output] = narrow;
      operations.push(handOver(cast(narrow, types.float32), value));
    });
  }
  replaceOperations(trace.operations, operations);
}

/**
 * Removes operations that change nothing: casts to the same type, which TensorFlow.js puts before
 * every mean, casts back to bfloat16, and reshapes back to an earlier shape. The trace is changed.
 */
export function dropIdle(trace: Trace): void {
  const found = new Map<Value, Value>();
  const source = (value: Value): Value => {
    let known = found.get(value);
    if (!known) {
      known = look(value) ?? value;
      found.set(value, known);
    }
    return known;
  };
  const look = (value: Value): Value | undefined => {
    const operation = madeBy(value, 'Cast', 'Reshape');
    if (operation?.op === 'Cast') return sourceOfIdle(operation, source);
    let before = operation;
    while (before) {
      const input = source(entryOf(before.inputs, 0));
      if (String(input.shape) === String(value.shape)) return input;
      before = madeBy(input, 'Reshape');
    }
    return undefined;
  };
  substitute(trace, source);
}

/**
 * Makes a trace read variables in bfloat16 where it casts them to bfloat16. The program then holds
 * them in both types, and they are cast when they are assigned, not in every call. The trace is
 * changed.
 *
 * @param held true for a variable of which the program can hold a second copy
 */
export function readNarrow(trace: Trace, held: (variable: string) => boolean): void {
  const narrow = new Map<string, Value>();
  substitute(trace, (value) => {
    const made = madeBy(value, 'Cast');
    const [variable] = made?.inputs ?? [];
    if (!made || !isNarrowing(made) || variable?.from !== 'variable') return value;
    const { name } = variable;
    if (held(name) && !narrow.has(name)) narrow.set(name, { ...variable, type: types.bfloat16 });
    return narrow.get(name) ?? value;
  });
}

/**
 * Replaces values by others and removes the operations that are no longer needed. It does not
 * replace what an operation waits for (`after`), so it has to run before passes that add that.
 */
function substitute(trace: Trace, other: (value: Value) => Value): void {
  const replace = (values: Value[]) => {
    values.forEach((value, index) => {
      values[index] = other(value);
    });
  };
  const visit = (operations: Operation[]) => {
    for (const { inputs, loop } of operations) {
      replace(inputs);
      if (!loop) continue;
      replace(loop.results);
      visit(loop.operations);
      keep(loop.operations, reachable(loop.results));
    }
  };
  for (const values of [trace.outputs, trace.updates]) {
    for (const [name, value] of Object.entries(values)) values[name] = other(value);
  }
  visit(trace.operations);
  keep(trace.operations, reachable(resultsOf(trace)));
}

function keep(operations: Operation[], needed: ReadonlySet<Operation>): void {
  replaceOperations(
    operations,
    operations.filter((operation) => needed.has(operation)),
  );
}

/** The value that a cast returns unchanged; undefined where it changes numbers. */
function sourceOfIdle(operation: Operation, source: (value: Value) => Value): Value | undefined {
  const input = entryOf(operation.inputs, 0);
  if (isCast(operation, input.type, input.type)) return source(input);
  const before = isNarrowing(operation) ? madeBy(source(input), 'Cast') : undefined;
  return before && isWidening(before) ? source(entryOf(before.inputs, 0)) : undefined;
}

function isCast({ op, inputs, outputs }: Operation, from: number, to: number): boolean {
  return op === 'Cast' && inputs[0]?.type === from && outputs[0]?.type === to;
}

/** True for a cast of float32 to bfloat16. */
export function isNarrowing(operation: Operation): boolean {
  return isCast(operation, types.float32, types.bfloat16);
}

/** True for a cast of bfloat16 to float32. */
export function isWidening(operation: Operation): boolean {
  return isCast(operation, types.bfloat16, types.float32);
}

/** A cast of a value. */
export function cast(input: Value, type: number): Operation {
  return made('Cast', { SrcT: { type: input.type }, DstT: { type } }, [input], {
    shape: input.shape,
    type,
  });
}
