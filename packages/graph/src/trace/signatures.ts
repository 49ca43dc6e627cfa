import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { types } from '../native/binding.js';
import type { Attribute, Operation, Value } from './operations.js';

/** An argument or a result of an op: its name, and what determines its type and number of tensors. */
interface Argument {
  name: string;
  /** A fixed type, when no attribute holds it. */
  type?: number;
  /** The attribute that holds the type. */
  typeAttribute?: string;
  /** The attribute that holds the list of types, when the argument is such a list. */
  listAttribute?: string;
  /** The attribute that holds the number of tensors, when the argument is several of one type. */
  countAttribute?: string;
}

interface Signature {
  inputs: Argument[];
  outputs: Argument[];
  /** True where the op uses more than its arguments: random numbers or resources. */
  stateful: boolean;
}

const fixedTypes = new Map<string, number>(Object.entries(types));
let parsed: Map<string, Signature> | undefined;

/** The signature of a TensorFlow op; undefined for one that is not in the table. */
export function signatureOf(op: string): Signature | undefined {
  parsed ??= parse();
  return parsed.get(op);
}

/**
 * Reads the signatures of TensorFlow's ops: `Name Name…(argument: type, …) -> (result: type, …)`, those of
 * one signature in a line. A type is a fixed one, or the name of the attribute that holds it; `N*T` is N
 * tensors of type T, `[T]` a list of types. data-scripts/op-table.py writes the file.
 */
function parse(): Map<string, Signature> {
  const found = new Map<string, Signature>();
  const file = path.join(__dirname, '..', '..', 'op-table.txt');
  for (const line of readFileSync(file, 'utf8').trim().split(/\r?\n/)) {
    const [, names = '', inputs = '', outputs = '', flag] =
      line.match(/^([\w ]+)\((.*)\) -> \((.*)\)( stateful)?$/) ?? [];
    const signature = {
      inputs: parseArguments(inputs),
      outputs: parseArguments(outputs),
      stateful: flag !== undefined,
    };
    for (const name of names.split(' ')) found.set(name, signature);
  }
  return found;
}

function parseArguments(text: string): Argument[] {
  if (text === '') return [];
  return text.split(', ').map((item) => {
    const [name = '', kind = ''] = item.split(': ');
    if (kind.startsWith('[')) return { name, listAttribute: kind.slice(1, -1) };
    const [type = '', countAttribute] = kind.split('*').reverse();
    const fixed = fixedTypes.get(type);
    return {
      name,
      ...(fixed === undefined ? { typeAttribute: type } : { type: fixed }),
      ...(countAttribute === undefined ? {} : { countAttribute }),
    };
  });
}

/** The attributes of an op, with those that eager execution infers from the arguments. */
export function completeAttributes(operation: Operation): Record<string, Attribute> {
  const attributes: Record<string, Attribute> = { ...operation.attributes };
  const signature = signatureOf(operation.op);
  if (!signature) throw new Error(`The op ${operation.op} has no signature.`);
  const infer = (args: Argument[], values: Value[]) => {
    let index = 0;
    for (const { typeAttribute, countAttribute } of args) {
      let taken = 1;
      if (countAttribute !== undefined) {
        // At most one argument is a list; all others are one tensor each.
        const others = args.filter((other) => other.countAttribute === undefined).length;
        taken = values.length - others;
        attributes[countAttribute] ??= { int: taken };
      }
      const value = values[index];
      if (typeAttribute !== undefined && value) attributes[typeAttribute] ??= { type: value.type };
      index += taken;
    }
  };
  infer(signature.inputs, operation.inputs.map(asArgument(operation)));
  if (operation.writes === 0) infer(signature.outputs, operation.outputs);
  return attributes;
}

/** Variables that are written into are passed as resources, whatever their element type. */
function asArgument(operation: Operation): (value: Value, index: number) => Value {
  return (value, index) => (index < operation.writes ? { ...value, type: types.resource } : value);
}
