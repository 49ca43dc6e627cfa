import { types } from '../native/binding.js';
import { entryOf } from '../records.js';
import {
  elements,
  type Operation,
  reachable,
  resultsOf,
  type Trace,
  type Value,
} from '../trace/operations.js';
import { replaceOperations, resultOf, type Users, usesOf } from './trace-edit.js';

/**
 * Rematerialisation: large values that are cheap to compute are not kept until they are needed much
 * later, as in the backward pass, but computed again there. This applies only where their source is
 * kept anyway or is smaller. A second slice, cast or sum with a bias costs almost no time, and
 * together they are a third of what a forward pass leaves in memory. The trace is changed.
 */
export function rematerialise(trace: Trace): void {
  const needed = reachable(resultsOf(trace));
  const operations = trace.operations.filter((operation) => needed.has(operation));
  const changed = new Rematerialisation({ ...trace, operations }).run();
  replaceOperations(trace.operations, changed);
}

class Rematerialisation {
  private readonly operations: readonly Operation[];
  private readonly places: Map<Operation, number>;
  private readonly uses: Users;
  private readonly depths: Map<Operation, number>;
  private readonly aliases: Map<Value, Value[]>;
  /** Operations to insert, by the one before which they run. */
  private readonly inserted = new Map<Operation, Operation[]>();

  constructor(trace: Trace) {
    this.operations = trace.operations;
    this.places = new Map(trace.operations.map((operation, place) => [operation, place]));
    this.uses = usesOf(trace);
    this.depths = depthsOf(trace.operations);
    this.aliases = aliasesOf(trace.operations);
  }

  /** Makes late users of values compute them again; returns all operations in their new order. */
  run(): Operation[] {
    for (const operation of this.operations) this.consider(operation);
    return this.operations.flatMap((operation) => [
      ...(this.inserted.get(operation) ?? []),
      operation,
    ]);
  }

  private consider(operation: Operation): void {
    const [value] = operation.outputs;
    const users = value ? (this.uses.get(value) ?? []) : [];
    if (!value || !sourceOf(operation) || bytes(value) < leastBytes) return;
    if (users.includes(undefined)) return;
    const late = users
      .filter((user) => user !== undefined)
      .filter((user) => this.place(user) - this.place(operation) > far)
      .sort((a, b) => this.place(a) - this.place(b));
    const [first, last] = [late[0], late.at(-1)];
    if (!first || !last) return;
    const steps = this.recipe(value, this.place(last));
    const when = this.signal(first, entryOf(this.depths, operation));
    if (!steps || !when) return;

    const again = this.repeat(steps, first, when);
    for (const user of late) {
      user.inputs.forEach((input, index) => {
        if (input === value) user.inputs[index] = again;
      });
    }
    this.uses.set(again, late);
    this.uses.set(
      value,
      users.filter((user) => user && !late.includes(user)),
    );
  }

  /** Repeats operations before a user, once a signal is there; returns what the last one makes. */
  private repeat(steps: readonly Operation[], user: Operation, signal: Value): Value {
    let made = sourceOf(entryOf(steps, 0));
    if (!made) throw new Error('A value is made again of nothing.');
    for (const step of steps) {
      const source = sourceOf(step);
      const before: Value = made;
      const inputs = step.inputs.map((input) => (input === source ? before : input));
      const again: Operation = { ...step, inputs, outputs: [], after: [signal] };
      for (const input of inputs) this.uses.set(input, [...(this.uses.get(input) ?? []), again]);
      made = { ...resultOf(step), from: 'operation', operation: again, output: 0 };
      again.outputs.push(made);
      this.places.set(again, this.place(user));
      this.depths.set(again, entryOf(this.depths, user));
      this.inserted.set(user, [...(this.inserted.get(user) ?? []), again]);
    }
    return made;
  }

  /** The operations that make a value again from what is kept until a place. */
  private recipe(value: Value, until: number): Operation[] | undefined {
    const steps: Operation[] = [];
    for (let made = value; steps.length < longestRecipe; ) {
      const operation = made.from === 'operation' ? made.operation : undefined;
      const source = operation && sourceOf(operation);
      // What is made of weights is small, and shared by the parts of a batch, which would wait.
      if (!operation || source?.from !== 'operation') return undefined;
      steps.unshift(operation);
      const gains = bytes(source) < bytes(value) || this.heldUntil(source) + far >= until;
      if (gains && storage(value) !== storage(source)) return steps;
      made = source;
    }
    return undefined;
  }

  /** The place of the last use of a value's memory. */
  private heldUntil(value: Value): number {
    if (value.from !== 'operation') return Number.POSITIVE_INFINITY;
    const members = this.aliases.get(storage(value)) ?? [value];
    const users = members.flatMap((member) => this.uses.get(member) ?? []);
    return Math.max(
      ...users.map((user) => (user ? this.place(user) : Number.POSITIVE_INFINITY)),
      this.place(value.operation),
    );
  }

  /**
   * A value that exists shortly before an operation runs, but not much earlier.
   *
   * @param depth of the value that is made again
   */
  private signal(user: Operation, depth: number): Value | undefined {
    let users = [user];
    for (let steps = 0; steps < furthestSignal && users.length > 0; steps++) {
      const [deepest] = users
        .flatMap(({ inputs }) => inputs)
        .filter(
          (value) =>
            value.from === 'operation' &&
            this.place(value.operation) < this.place(user) &&
            entryOf(this.depths, value.operation) > depth + deep,
        )
        .sort((a, b) => depthOf(b, this.depths) - depthOf(a, this.depths));
      if (deepest) return deepest;
      users = users.flatMap(({ outputs }) =>
        outputs.flatMap((value) => (this.uses.get(value) ?? []).flatMap((next) => next ?? [])),
      );
    }
    return undefined;
  }

  private place(operation: Operation): number {
    return entryOf(this.places, operation);
  }
}

/** Operations this many places apart are not needed at the same time. */
const far = 256;

/** A value this many dependent operations further on exists in the backward pass only. */
const deep = 64;

/** Smaller values are not worth a call. */
const leastBytes = 1 << 17;

/** At most this many operations are repeated for a value. */
const longestRecipe = 6;

/** How many operations further on a signal is looked for. */
const furthestSignal = 12;

/** Ops that pass over memory once. */
const quick = new Set(['Slice', 'Cast', 'Reshape', 'Add', 'AddV2', 'Sub', 'Mul']);

/** The one large input of an operation that is quickly repeated. */
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

/** The value whose memory a value shares; TensorFlow does not copy for these operations. */
function storage(value: Value): Value {
  if (value.from !== 'operation') return value;
  const { op, inputs } = value.operation;
  return op === 'Reshape' || op === 'Unpack' ? storage(entryOf(inputs, 0)) : value;
}

/** All values that share memory, by the value that owns it. */
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

/** The length of the longest chain of operations that leads to each. */
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
