import { types } from '../native/binding.js';
import { entryOf } from '../records.js';
import type { Operation, Trace, Value } from '../trace/operations.js';

/** The users of values; `undefined` stands for a user that cannot take another value. */
export type Users = Map<Value, (Operation | undefined)[]>;

/** Where each value is used. */
export function usesOf(trace: Trace): Users {
  const uses: Users = new Map();
  const add = (value: Value, user: Operation | undefined) => {
    uses.set(value, [...(uses.get(value) ?? []), user]);
  };
  const visit = (operations: Operation[], nested: boolean) => {
    for (const operation of operations) {
      const { inputs, loop } = operation;
      for (const value of new Set(inputs)) add(value, nested ? undefined : operation);
      if (!loop) continue;
      visit(loop.operations, true);
      for (const value of loop.results) add(value, undefined);
    }
  };
  visit(trace.operations, false);
  for (const value of Object.values(trace.outputs)) add(value, undefined);
  for (const value of Object.values(trace.updates)) add(value, undefined);
  return uses;
}

/** The one result of an operation. */
export function resultOf({ outputs }: Operation): Value {
  return entryOf(outputs, 0);
}

/** The operation that makes a value, if it is one of these ops. */
export function madeBy(value: Value | undefined, ...ops: string[]): Operation | undefined {
  return value?.from === 'operation' && ops.includes(value.operation.op)
    ? value.operation
    : undefined;
}

/** The number in a constant scalar of float32; NaN for any other value. */
export function scalar(value: Value | undefined): number {
  if (value?.from !== 'constant' || value.type !== types.float32) return Number.NaN;
  const { buffer, byteOffset, byteLength } = value.content;
  if (byteLength !== 4) return Number.NaN;
  return new DataView(buffer, byteOffset).getFloat32(0, true);
}

/** A constant of float32. */
export function float32Constant(shape: readonly number[], numbers: Float32Array): Value {
  const content = new Uint8Array(numbers.buffer);
  return { from: 'constant', shape, type: types.float32, content };
}

/** A constant vector of int32. */
export function int32Vector(numbers: number[]): Value {
  const content = new Uint8Array(Int32Array.from(numbers).buffer);
  return { from: 'constant', shape: [numbers.length], type: types.int32, content };
}

/** An operation of one result that writes nothing. */
export function made(
  op: string,
  attributes: Operation['attributes'],
  inputs: Value[],
  { shape, type }: Pick<Value, 'shape' | 'type'>,
): Operation {
  const operation: Operation = { op, attributes, inputs, outputs: [], writes: 0 };
  operation.outputs.push({ from: 'operation', operation, output: 0, shape, type });
  return operation;
}

/** Lets an operation of one result make a value in place of the operation that made it before. */
export function handOver(operation: Operation, value: Value): Operation {
  operation.outputs[0] = Object.assign(value, { operation, output: 0 });
  return operation;
}

/** Puts other operations in the place of those of a trace or loop. */
export function replaceOperations(into: Operation[], operations: readonly Operation[]): void {
  into.splice(0, into.length, ...operations);
}
