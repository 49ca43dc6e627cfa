import { types } from '../../native/binding.js';
import { elements, type Operation, reachable, type Trace, type Value } from '../trace/tracing.js';
import { usesOf } from './casts.js';

/**
 * Rematerialisation: large values that are cheap to compute are computed again where they are needed
 * much later, as in the backward pass, and not kept until then; only where what they are made of
 * is kept anyway, or is smaller. A second slice, cast or sum with a bias costs next to no time, and
 * together they are a third of what a forward pass leaves in memory. The trace is changed.
 */
export function rematerialise(trace: Trace): void {
  const results = [...Object.values(trace.outputs), ...Object.values(trace.updates)];
  const needed = reachable(results);
  const operations = trace.operations.filter((operation) => needed.has(operation));
  const places = new Map(operations.map((operation, place) => [operation, place]));
  const placeOf = (operation: Operation) => places.get(operation) as number;
  const uses = usesOf({ ...trace, operations });
  const depths = depthsOf(operations);
  const aliases = aliasesOf(operations);

  /** The place of the last use of a value's memory. */
  const heldUntil = (value: Value): number => {
    if (value.from !== 'operation') return Number.POSITIVE_INFINITY;
    const members = aliases.get(storage(value)) ?? [value];
    const users = members.flatMap((member) => uses.get(member) ?? []);
    return Math.max(
      ...users.map((user) => (user ? placeOf(user) : Number.POSITIVE_INFINITY)),
      placeOf(value.operation),
    );
  };

  /** The operations that make a value again, from what is kept. */
  const recipe = (value: Value, until: number): Operation[] | undefined => {
    const steps: Operation[] = [];
    for (let made = value; steps.length < longestRecipe; ) {
      const operation = made.from === 'operation' ? made.operation : undefined;
      const source = operation && sourceOf(operation);
      // What is made of weights is small, and the parts of a batch, which would wait, share it.
      if (!operation || source?.from !== 'operation') return undefined;
      steps.unshift(operation);
      const gains = bytes(source) < bytes(value) || heldUntil(source) + far >= until;
      if (gains && storage(value) !== storage(source)) return steps;
      made = source;
    }
    return undefined;
  };

  /** A value that is there shortly before an operation, and not much earlier. */
  const signal = (user: Operation, depth: number): Value | undefined => {
    let users = [user];
    for (let steps = 0; steps < furthestSignal && users.length > 0; steps++) {
      const found = users
        .flatMap(({ inputs }) => inputs)
        .filter(
          (value) =>
            value.from === 'operation' &&
            placeOf(value.operation) < placeOf(user) &&
            (depths.get(value.operation) as number) > depth + deep,
        )
        .sort((a, b) => depthOf(b, depths) - depthOf(a, depths));
      if (found[0]) return found[0];
      users = users.flatMap(({ outputs }) =>
        outputs.flatMap((value) => (uses.get(value) ?? []).flatMap((next) => next ?? [])),
      );
    }
    return undefined;
  };

  const before = new Map<Operation, Operation[]>();
  for (const operation of operations) {
    const [value] = operation.outputs;
    const users = value ? (uses.get(value) ?? []) : [];
    if (!value || !sourceOf(operation) || bytes(value) < leastBytes) continue;
    if (users.includes(undefined)) continue;
    const late = (users as Operation[])
      .filter((user) => placeOf(user) - placeOf(operation) > far)
      .sort((a, b) => placeOf(a) - placeOf(b));
    const [first, last] = [late[0], late.at(-1)];
    if (!first || !last) continue;
    const steps = recipe(value, placeOf(last));
    const when = signal(first, depths.get(operation) as number);
    if (!steps || !when) continue;

    let made = sourceOf(steps[0] as Operation) as Value;
    for (const step of steps) {
      const source = sourceOf(step);
      const inputs = step.inputs.map((input) => (input === source ? made : input));
      const again: Operation = { ...step, inputs, outputs: [], after: [when] };
      for (const input of inputs) uses.set(input, [...(uses.get(input) ?? []), again]);
      const output = step.outputs[0] as Value;
      made = { ...output, from: 'operation', operation: again, output: 0 };
      again.outputs.push(made);
      places.set(again, placeOf(first));
      depths.set(again, depths.get(first) as number);
      before.set(first, [...(before.get(first) ?? []), again]);
    }
    for (const user of late) {
      user.inputs.forEach((input, index) => {
        if (input === value) user.inputs[index] = made;
      });
    }
    uses.set(made, late);
    uses.set(
      value,
      users.filter((user) => !late.includes(user as Operation)),
    );
  }
  const all = operations.flatMap((operation) => [...(before.get(operation) ?? []), operation]);
  trace.operations.splice(0, trace.operations.length, ...all);
}

/** Operations this many places apart are not needed at the same time. */
const far = 256;

/** Of a value that is there in the backward pass only, in operations that depend on each other. */
const deep = 64;

/** Smaller values are not worth a call. */
const leastBytes = 1 << 17;

/** Operations that a value is made of again. */
const longestRecipe = 6;

/** How many operations further a signal is looked for. */
const furthestSignal = 12;

/** Makes that pass over memory once. */
const quick = new Set(['Slice', 'Cast', 'Reshape', 'Add', 'AddV2', 'Sub', 'Mul']);

/** The one large input of an operation that is quickly made again. */
function sourceOf({ op, inputs, outputs: [result] }: Operation): Value | undefined {
  if (!quick.has(op) || !result) return undefined;
  const large = inputs.filter(
    (value) => value.from !== 'constant' && bytes(value) > bytes(result) / 16,
  );
  return large.length === 1 ? large[0] : undefined;
}

function bytes(value: Value): number {
  return elements(value) * (value.type === types.bfloat16 ? 2 : 4);
}

/** The value whose memory a value shares: TensorFlow does not copy for these operations. */
function storage(value: Value): Value {
  if (value.from !== 'operation') return value;
  const { op, inputs } = value.operation;
  return op === 'Reshape' || op === 'Unpack' ? storage(inputs[0] as Value) : value;
}

/** All values that share memory, by that whose memory it is. */
function aliasesOf(operations: readonly Operation[]): Map<Value, Value[]> {
  const found = new Map<Value, Value[]>();
  for (const value of operations.flatMap(({ outputs }) => outputs)) {
    const owner = storage(value);
    const list = found.get(owner);
    if (list) list.push(value);
    else found.set(owner, [value]);
  }
  return found;
}

/** How many operations one after the other lead to each. */
function depthsOf(operations: readonly Operation[]): Map<Operation, number> {
  const depths = new Map<Operation, number>();
  for (const operation of operations) {
    const before = operation.inputs.map((value) => depthOf(value, depths));
    depths.set(operation, 1 + Math.max(0, ...before));
  }
  return depths;
}

function depthOf(value: Value, depths: Map<Operation, number>): number {
  return value.from === 'operation' ? (depths.get(value.operation) ?? 0) : 0;
}
