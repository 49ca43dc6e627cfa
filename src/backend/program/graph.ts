import { UserError } from '../errors.js';
import { rewritten } from './rewrite.js';
import { type Argument, type Signature, signatureOf } from './signatures.js';
import { types } from './tensorflow.js';
import type { Attribute, Operation, Trace, Value } from './trace.js';

/** A tensor in a graph: an output of a node, or an argument of the function that the nodes form. */
export type Reference = { node: string; output: number } | { argument: string };

export interface Node {
  name: string;
  op: string;
  inputs: Reference[];
  /** Nodes that have to run before. */
  after: string[];
  attributes: Record<string, Attribute>;
}

/** The nodes of a graph, or of a function's body, in an order in which they can run. */
export class Graph {
  readonly nodes: Node[] = [];

  /** Adds a node and returns its first output. */
  add(
    name: string,
    op: string,
    inputs: Reference[] = [],
    attributes: Record<string, Attribute> = {},
    after: string[] = [],
  ): { node: string; output: number } {
    this.nodes.push({ name, op, inputs, after: [...new Set(after)], attributes });
    return { node: name, output: 0 };
  }
}

/** Where a lowered function's results are. */
export interface Lowered {
  outputs: Record<string, Reference>;
  /** The nodes that write into variables. */
  effects: string[];
}

/**
 * Adds the nodes of a traced function to a graph. A variable is read once, before it is written;
 * what reads it runs before an op that writes into its memory, so that nothing has to be copied.
 *
 * @param prefix of the nodes' names
 * @param handle the resource of a variable
 * @param input the tensor of an input
 */
export function lower(
  graph: Graph,
  trace: Trace,
  prefix: string,
  handle: (variable: string) => Reference,
  input: (name: string) => Reference,
): Lowered {
  const references = new Map<Value, Reference>();
  const readers = new Map<string, string[]>(); // by variable
  const newest = new Map<string, Value>(); // by variable, where an op has written into it
  const writers = new Map<Value, string>();
  const effects: string[] = [];
  const needed = reachable(trace);
  let count = 0;
  const unique = (label: string) => `${prefix}/${label}_${count++}`;

  const read = (variable: string, value: Value, after: string[]) => {
    const attributes = { dtype: { type: value.type } };
    const node = graph.add(unique('read'), 'ReadVariableOp', [handle(variable)], attributes, after);
    const list = readers.get(variable) ?? [];
    readers.set(variable, [...list, node.node]);
    return node;
  };

  const make = (value: Value): Reference => {
    switch (value.from) {
      case 'input':
        return input(value.name);
      case 'variable':
        return read(value.name, value, []);
      case 'constant':
        return graph.add(unique('constant'), 'Const', [], {
          dtype: { type: value.type },
          value: { constant: value },
        });
      case 'operation':
        return read(variableOf(value) as string, value, [writers.get(value) as string]);
    }
  };
  const reference = (value: Value): Reference => {
    let found = references.get(value);
    if (!found) {
      found = make(value);
      references.set(value, found);
    }
    return found;
  };

  // What an op writes into is read before, also where its old value is used only afterwards.
  const used = [...needed].flatMap(({ inputs, writes }) => inputs.slice(writes));
  for (const value of [...used, ...Object.values(trace.outputs), ...Object.values(trace.updates)]) {
    if (value.from === 'variable') reference(value);
  }
  for (const traced of trace.operations) {
    if (!needed.has(traced)) continue;
    const operation = rewritten(traced);
    const attributes = completeAttributes(operation);
    if (operation.writes === 0) {
      const inputs = operation.inputs.map(reference);
      const name = unique(operation.op);
      graph.add(name, operation.op, inputs, attributes);
      operation.outputs.forEach((value, output) => {
        references.set(value, { node: name, output });
      });
      for (const value of operation.inputs) {
        if (value.from === 'variable') readers.get(value.name)?.push(name);
      }
      continue;
    }
    const after: string[] = [];
    const inputs = operation.inputs.map((value, index) => {
      if (index >= operation.writes) return reference(value);
      const variable = variableOf(value);
      if (variable === undefined || (newest.get(variable) ?? value) !== value) {
        throw new UserError(
          `${operation.op} in ${prefix} writes into a tensor that is no variable's newest value`,
          'Hand it the variable as the function got it',
        );
      }
      const writer = writers.get(value);
      after.push(...(readers.get(variable) ?? []), ...(writer ? [writer] : []));
      newest.set(variable, operation.outputs[index] as Value);
      return handle(variable);
    });
    const name = unique(operation.op);
    graph.add(name, operation.op, inputs, attributes, after);
    for (const value of operation.outputs) writers.set(value, name);
    effects.push(name);
  }

  for (const [variable, value] of newest) {
    if (trace.updates[variable] !== value) {
      throw new UserError(
        `${prefix} writes into ${variable} in place without naming it in its updates`,
        'Return the new value among the updates',
      );
    }
  }
  const outputs = Object.fromEntries(
    Object.entries(trace.outputs).map(([name, value]) => [name, reference(value)]),
  );
  const assigned = Object.entries(trace.updates).filter(([name]) => !newest.has(name));
  const values = assigned.map(([, value]) => reference(value));
  assigned.forEach(([variable, value], index) => {
    const inputs = [handle(variable), values[index] as Reference];
    const attributes = { dtype: { type: value.type } };
    const after = readers.get(variable) ?? [];
    effects.push(graph.add(unique('assign'), 'AssignVariableOp', inputs, attributes, after).node);
  });
  return { outputs, effects };
}

/** The variable whose value this is: as read, or as left by ops that write into it. */
function variableOf(value: Value): string | undefined {
  if (value.from === 'variable') return value.name;
  if (value.from !== 'operation' || value.output >= value.operation.writes) return undefined;
  return variableOf(value.operation.inputs[value.output] as Value);
}

/** The operations on which outputs or updates depend. */
function reachable(trace: Trace): Set<Operation> {
  const found = new Set<Operation>();
  const open = [...Object.values(trace.outputs), ...Object.values(trace.updates)];
  for (let value = open.pop(); value; value = open.pop()) {
    if (value.from !== 'operation' || found.has(value.operation)) continue;
    found.add(value.operation);
    open.push(...value.operation.inputs);
  }
  return found;
}

/** The attributes of an op with those that eager execution infers from the arguments. */
function completeAttributes(operation: Operation): Record<string, Attribute> {
  const attributes: Record<string, Attribute> = { ...operation.attributes };
  const signature = signatureOf(operation.op) as Signature;
  const infer = (args: Argument[], values: Value[]) => {
    let index = 0;
    for (const { typeAttribute, countAttribute } of args) {
      let taken = 1;
      if (countAttribute !== undefined) {
        // Only the last argument but those of one tensor each can be several.
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
