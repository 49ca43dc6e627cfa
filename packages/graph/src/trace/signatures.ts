import { types } from '../native/binding.js';
import { opTable } from './op-table.js';

/** An argument or a result of an op: its name, and what determines its type and number of tensors. */
export interface Argument {
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

export interface Signature {
  inputs: Argument[];
  outputs: Argument[];
  /** True where the op uses more than its arguments: random numbers or resources. */
  stateful: boolean;
}

let parsed: Map<string, Signature> | undefined;

/** The signature of a TensorFlow op; undefined for one that is not in the table. */
export function signatureOf(op: string): Signature | undefined {
  parsed ??= parse();
  return parsed.get(op);
}

function parse(): Map<string, Signature> {
  const found = new Map<string, Signature>();
  for (const line of opTable.trim().split('\n')) {
    const [, name, inputs, outputs, flag] = line.match(/^(\w+)\((.*)\) -> \((.*)\)( stateful)?$/) as
      | string[]
      | [];
    found.set(name as string, {
      inputs: parseArguments(inputs as string),
      outputs: parseArguments(outputs as string),
      stateful: flag !== undefined,
    });
  }
  return found;
}

function parseArguments(text: string): Argument[] {
  if (text === '') return [];
  return text.split(', ').map((item) => {
    const [name, kind] = item.split(': ') as [string, string];
    if (kind.startsWith('[')) return { name, listAttribute: kind.slice(1, -1) };
    const [type, countAttribute] = kind.split('*').reverse() as [string, string?];
    const fixed = (types as Record<string, number>)[type];
    return {
      name,
      ...(fixed === undefined ? { typeAttribute: type } : { type: fixed }),
      ...(countAttribute === undefined ? {} : { countAttribute }),
    };
  });
}
