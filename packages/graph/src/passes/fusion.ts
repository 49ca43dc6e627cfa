import { types } from '../native/binding.js';
import { entryOf } from '../records.js';
import { elements, type Operation, type Value, valuesRead } from '../trace/operations.js';
import { isRowMean, joinedOp } from './join-norms.js';
import { isSumToLastAxis } from './rewrite.js';

/** Operations that are computed together, in an order in which they can run. */
export interface Fusion {
  readonly members: readonly Operation[];
}

/** What is lowered in one piece. */
export type Unit = Operation | Fusion;

export function isFusion(unit: Unit): unit is Fusion {
  return 'members' in unit;
}

/**
 * Groups elementwise operations that use each other's results, so that these need not pass through
 * memory. It also groups means of rows, the numbers of rows that are computed from them and sums of
 * columns, as a layer normalisation and its gradient have them; layer normalisations that `joinNorms`
 * made one operation; and, in bfloat16, operations that only move numbers. Only operations on large
 * tensors are worth it.
 *
 * @param operations in an order in which they can run
 * @param fits false for an operation that has to stay by itself
 * @returns all of them, in an order in which they can run
 */
export function fused(
  operations: readonly Operation[],
  fits: (operation: Operation) => boolean,
): Unit[] {
  const groups = new Groups(neededPlaces(operations));
  let writes = 0;
  operations.forEach((operation, place) => {
    if (operation.writes > 0) writes++;
    if (operation.writes > 0 || !fits(operation)) groups.add(operation, place, undefined);
    // What runs before a variable is overwritten must not move behind the write.
    else if (joins(operation)) groups.add(operation, place, `${writes} ${passedOver(operation)}`);
    else if (isOfRows(operation)) groups.addToGiver(operation, place, `${writes} `);
    else groups.add(operation, place, undefined);
  });
  return groups.units();
}

/**
 * The place at which the result of each operation is first needed. A float32 operation that can join
 * a group takes the place at which its own result is needed; any other operation stays at its place.
 */
function neededPlaces(operations: readonly Operation[]): Map<Operation, number> {
  const needed = new Map<Operation, number>();
  const first = new Map<Value, number>();
  const take = (operation: Operation, place: number) => {
    for (const value of valuesRead(operation)) {
      first.set(value, Math.min(first.get(value) ?? place, place));
    }
  };
  for (let place = operations.length - 1; place >= 0; place--) {
    const operation = entryOf(operations, place);
    const [value] = operation.outputs;
    // Sums of columns are small, and can wait where they are.
    const passes = joins(operation) && value?.type === types.float32 && !isColumnSum(operation);
    const later = passes ? first.get(value) : undefined;
    needed.set(operation, later ?? place);
    take(operation, later ?? place);
  }
  return needed;
}

/** Operations at most this many places apart count as simultaneous. */
const soon = 32;

const elementwise = new Set([
  ...['Add', 'AddV2', 'Sub', 'Mul', 'RealDiv', 'Neg', 'Square', 'Sqrt', 'Rsqrt', 'Exp', 'Erf'],
  ...['Maximum', 'Minimum', 'Cast', 'Tanh', 'Sigmoid'],
]);

/** With fewer numbers, a pass over memory takes less time than a call. */
const leastElements = 1 << 16;

/** With fewer operations, the passes that are saved are not worth a call either. */
const leastMembers = 3;

/** True for an operation that can be grouped with others. */
function joins(operation: Operation): boolean {
  const [result] = operation.outputs;
  const type = result?.type;
  const fits =
    (elementwise.has(operation.op) && (type === types.float32 || type === types.bfloat16)) ||
    operation.op === joinedOp ||
    isRowMean(operation) ||
    isColumnSum(operation) ||
    (movements.has(operation.op) && type === types.bfloat16);
  return result !== undefined && fits && passedOver(operation) >= leastElements;
}

/** The number of numbers over which an operation passes. */
function passedOver(operation: Operation): number {
  const reduces = isRowMean(operation) || isColumnSum(operation);
  return elements(entryOf(reduces ? operation.inputs : operation.outputs, 0));
}

/** True for the sums of the columns of a matrix. */
function isColumnSum(operation: Operation): boolean {
  return isSumToLastAxis(operation) && operation.inputs[0]?.shape.length === 2;
}

/** True for an elementwise operation on one number a row, which may belong to means of rows. */
function isOfRows({ op, outputs: [result] }: Operation): boolean {
  const { shape = [], type } = result ?? {};
  return elementwise.has(op) && type === types.float32 && shape.length === 2 && shape[1] === 1;
}

/** Grouped in bfloat16 only, because in float32 oneDNN transposes faster. */
const movements = new Set(['Reshape', 'Transpose']);

interface Group {
  members: Operation[];
  /** Groups of equal kind may be joined; undefined for one that stays by itself. */
  kind: string | undefined;
  /** The places of the first and the last member in the trace. */
  first: number;
  last: number;
  /** The operations whose results it takes. */
  takes: Set<Operation>;
}

class Groups {
  private readonly of = new Map<Operation, Group>();
  private readonly places = new Map<Operation, number>();

  /** @param needed the place at which the result of each operation is first needed */
  constructor(private readonly needed: Map<Operation, number>) {}

  /** Adds an operation and joins its group with those whose results it takes. */
  add(operation: Operation, place: number, kind: string | undefined): void {
    const taken = [...valuesRead(operation), ...(operation.after ?? [])];
    const givers = taken.flatMap((value) =>
      value.from === 'operation' && this.of.has(value.operation) ? [value.operation] : [],
    );
    const takes = new Set(givers);
    this.places.set(operation, place);
    this.of.set(operation, { members: [operation], kind, first: place, last: place, takes });
    if (kind === undefined) return;
    for (const giver of takes) {
      const own = entryOf(this.of, operation);
      const other = entryOf(this.of, giver);
      if (other === own || other.kind !== kind || !this.near(operation, giver)) continue;
      if (!this.takesByOthers(own, other) && !this.takesByOthers(other, own)) this.join(own, other);
    }
  }

  /**
   * Adds an operation to the group of a mean of rows whose result it takes, or of one that did.
   *
   * @param since what kinds begin with since the last write
   */
  addToGiver(operation: Operation, place: number, since: string): void {
    const givers = valuesRead(operation).flatMap((value) =>
      value.from === 'operation' && (isRowMean(value.operation) || isOfRows(value.operation))
        ? [value.operation]
        : [],
    );
    const kinds = givers.map((giver) => this.of.get(giver)?.kind);
    this.add(
      operation,
      place,
      kinds.find((kind) => kind?.startsWith(since)),
    );
  }

  units(): Unit[] {
    const units: Unit[] = [];
    const done = new Set<Group>();
    const visit = (group: Group) => {
      if (done.has(group)) return;
      done.add(group);
      for (const other of this.givers(group)) visit(other);
      const place = (operation: Operation) => entryOf(this.places, operation);
      const members = group.members.sort((a, b) => place(a) - place(b));
      const counted = members.filter(({ op }) => op !== 'Reshape').length;
      units.push(...(counted >= leastMembers ? [{ members }] : members));
    };
    for (const group of [...new Set(this.of.values())].sort((a, b) => a.last - b.last)) {
      visit(group);
    }
    return units;
  }

  /** True if a group depends on another through a third one; then the two cannot be joined. */
  private takesByOthers(later: Group, earlier: Group): boolean {
    const seen = new Set<Group>([later]);
    const open = this.givers(later).filter((group) => group !== earlier);
    for (let group = open.pop(); group; group = open.pop()) {
      if (group === earlier) return true;
      if (seen.has(group) || group.last < earlier.first) continue;
      seen.add(group);
      open.push(...this.givers(group));
    }
    return false;
  }

  private givers(group: Group): Group[] {
    const found = new Set([...group.takes].map((operation) => entryOf(this.of, operation)));
    found.delete(group);
    return [...found];
  }

  private join(into: Group, other: Group): void {
    into.members.push(...other.members);
    into.first = Math.min(into.first, other.first);
    into.last = Math.max(into.last, other.last);
    for (const operation of other.takes) into.takes.add(operation);
    for (const member of other.members) this.of.set(member, into);
  }

  /** False where a result would have to be kept for long, or be made long before its use. */
  private near(operation: Operation, giver: Operation): boolean {
    const apart = entryOf(this.needed, operation) - entryOf(this.needed, giver);
    return Math.abs(apart) <= soon;
  }
}
