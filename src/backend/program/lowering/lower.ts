import { UserError } from '../../errors.js';
import { types } from '../../native/binding.js';
import { type Fusion, fused, isFusion, type Unit } from '../passes/fusion.js';
import { joinedOp, normForCompiler } from '../passes/join-norms.js';
import { activatedProducts, isBiasOfProduct, rewritten } from '../passes/rewrite.js';
import { type Argument, type Signature, signatureOf } from '../trace/signatures.js';
import {
  type Attribute,
  invariants,
  type Loop,
  type Operation,
  reachable,
  type Trace,
  type Value,
} from '../trace/tracing.js';
import { addToLibrary, type FunctionDefinition } from './saved-model.js';

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
 * Adds the nodes of a traced function to a graph. A variable is read once in a type, before it is written;
 * what reads it runs before an op that writes into its memory, so that nothing has to be copied.
 *
 * @param prefix of the nodes' names
 * @param handle the resource that holds a variable in a type
 * @param input the tensor of an input
 */
export function lower(
  graph: Graph,
  trace: Trace,
  prefix: string,
  handle: (variable: string, type: number) => Reference,
  input: (name: string) => Reference,
  { library, xla, fuse, oneDnn, given = new Map() }: LowerOptions,
): Lowered {
  const references = new Map<Value, Reference>(given);
  const readers = new Map<string, string[]>(); // by variable
  const newest = new Map<string, Value>(); // by variable, where an op has written into it
  const writers = new Map<Value, string>();
  const effects: string[] = [];
  const needed = reachable(
    [...Object.values(trace.outputs), ...Object.values(trace.updates)],
    given,
  );
  let count = 0;
  const unique = (label: string) => `${prefix}/${label}_${count++}`;

  const read = (variable: string, value: Value, after: string[]) => {
    const { type } = value;
    const held = handle(variable, type);
    const node = graph.add(unique('read'), 'ReadVariableOp', [held], { dtype: { type } }, after);
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
      case 'loop':
        throw new Error('A value of a loop is used outside of it.');
      case 'operation': {
        const variable = variableOf(value);
        if (variable !== undefined) return read(variable, value, [writers.get(value) as string]);
        throw new UserError(
          `${prefix} uses a result of ${value.operation.op} where it is not made yet, or outside of the loop that makes it`,
          'Have the loop carry it, or compute it where it is used',
        );
      }
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

  const results = [...Object.values(trace.outputs), ...Object.values(trace.updates)];
  const used = new Set([
    ...[...needed].flatMap(({ inputs, writes, loop }) => [
      ...inputs.slice(writes),
      ...(loop ? invariants(loop) : []),
    ]),
    ...results,
  ]);
  // What an op writes into is read before, also where its old value is used only afterwards.
  for (const value of used) {
    if (value.from === 'variable' && !given.has(value)) reference(value);
  }
  // XLA orders what it compiles itself, and a fusion's members wait with the fusion.
  const nodesBefore = (members: readonly Operation[]): string[] =>
    (xla ? [] : members)
      .flatMap(({ after = [] }) => after)
      .filter((value) => value.from !== 'operation' || !members.includes(value.operation))
      .flatMap((value) => {
        const found = reference(value);
        return 'node' in found ? [found.node] : [];
      });
  const operations = trace.operations.filter((operation) => needed.has(operation));
  const activations = !oneDnn ? [] : activatedProducts(operations, results);
  const activated = new Set(activations.map(([product]) => product as Operation));
  const apart = new Set(activations.flat());
  const units = fuse
    ? fused(operations, (operation) => !isBiasOfProduct(operation) && !apart.has(operation))
    : operations;
  const leaving = fuse ? usedOutside(units, trace) : new Set<Value>();
  for (const traced of units) {
    if (isFusion(traced)) {
      const name = unique('fusion');
      const after = nodesBefore(traced.members);
      const { inputs, outputs, definition } = lowerFusion(traced, leaving, library);
      const call = {
        Tin: { type: inputs.map(({ type }) => type) },
        Tout: { type: outputs.map(({ type }) => type) },
        f: { function: definition },
        ...compiled,
      };
      graph.add(name, 'StatefulPartitionedCall', inputs.map(reference), call, after);
      outputs.forEach((value, output) => {
        references.set(value, { node: name, output });
      });
      for (const value of inputs) {
        if (value.from === 'variable') readers.get(value.name)?.push(name);
      }
      continue;
    }
    if (traced.loop) {
      const name = unique('loop');
      const outer = invariants(traced.loop);
      const body = lowerLoop(traced.loop, outer, { library, xla, fuse, oneDnn });
      const carried = traced.inputs.map(reference);
      const types_ = {
        type: [...traced.inputs, ...outer].map(({ type }) => type),
      };
      graph.add(name, 'StatelessWhile', [...carried, ...outer.map(reference)], {
        T: types_,
        cond: { function: body.condition },
        body: { function: body.body },
        _lower_using_switch_merge: { bool: true },
      });
      traced.outputs.forEach((value, index) => {
        references.set(value, { node: name, output: index + 2 });
      });
      for (const value of [...traced.inputs, ...outer]) {
        if (value.from === 'variable') readers.get(value.name)?.push(name);
      }
      continue;
    }
    const operation = rewritten(traced, xla, activated);
    const attributes = completeAttributes(operation);
    if (operation.writes === 0) {
      const inputs = operation.inputs.map(reference);
      const name = unique(operation.op);
      graph.add(name, operation.op, inputs, attributes, nodesBefore([traced]));
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
      if (used.has(value)) reference(value);
      const writer = writers.get(value);
      after.push(...(readers.get(variable) ?? []), ...(writer ? [writer] : []));
      newest.set(variable, operation.outputs[index] as Value);
      return handle(variable, value.type);
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
    const inputs = [handle(variable, value.type), values[index] as Reference];
    const attributes = { dtype: { type: value.type } };
    const after = readers.get(variable) ?? [];
    effects.push(graph.add(unique('assign'), 'AssignVariableOp', inputs, attributes, after).node);
  });
  return { outputs, effects };
}

export interface LowerOptions {
  /** Where functions go that loops need. */
  library: FunctionDefinition[];
  /** True for a body that XLA compiles. */
  xla: boolean;
  /** True to have XLA compile what follows each other and is elementwise, or a normalisation. */
  fuse: boolean;
  /** True where the operations run with oneDNN, which computes a GELU where its argument is made. */
  oneDnn: boolean;
  /** Values that come from outside of what is lowered. */
  given?: Map<Value, Reference>;
}

/** Has XLA compile a function, and the graph optimiser, whose temporary variables XLA refuses, stay away. */
export const compiled = { _XlaMustCompile: { bool: true } };
export const compiledDefinition = { ...compiled, _tf_data_function: { bool: true } };

/** Puts a fusion's body into the library. */
function lowerFusion(
  { members }: Fusion,
  leaving: Set<Value>,
  library: FunctionDefinition[],
): { inputs: Value[]; outputs: Value[]; definition: string } {
  const inside = new Set(members.flatMap(({ outputs }) => outputs));
  const taken = new Set(members.flatMap(({ inputs }) => inputs));
  const inputs = [...taken].filter((value) => value.from !== 'constant' && !inside.has(value));
  const outputs = [...inside].filter((value) => leaving.has(value));
  const graph = new Graph();
  const unavailable = (): never => {
    throw new Error('A fusion reads what it was not handed.');
  };
  const lowered = lower(
    graph,
    {
      operations: members.flatMap((operation) =>
        operation.op === joinedOp ? normForCompiler(operation) : [operation],
      ),
      outputs: Object.fromEntries(outputs.map((value, index) => [index, value])),
      updates: {},
    },
    'fusion',
    unavailable,
    unavailable,
    {
      library,
      xla: true,
      fuse: false,
      oneDnn: false,
      given: new Map(inputs.map((value, index) => [value, { argument: `argument_${index}` }])),
    },
  );
  const definition = addToLibrary(library, {
    inputs: inputs.map(({ type }, index) => ({ name: `argument_${index}`, type })),
    outputs: outputs.map(({ type }, index) => ({
      name: `result_${index}`,
      type,
      value: lowered.outputs[index] as Reference,
    })),
    nodes: graph.nodes,
    effects: [],
    attributes: compiledDefinition,
  });
  return { inputs, outputs, definition };
}

/** The values that leave the unit in which they are made. */
function usedOutside(units: Unit[], trace: Trace): Set<Value> {
  const found = new Set([...Object.values(trace.outputs), ...Object.values(trace.updates)]);
  for (const unit of units) {
    const members = isFusion(unit) ? unit.members : [unit];
    const inside = new Set(members.flatMap(({ outputs }) => outputs));
    for (const { inputs, loop } of members) {
      for (const value of [...inputs, ...(loop ? invariants(loop) : [])]) {
        if (!inside.has(value)) found.add(value);
      }
    }
  }
  return found;
}

/** Puts a loop's condition and body into the library. */
function lowerLoop(
  loop: Loop,
  outer: Value[],
  options: LowerOptions,
): { condition: string; body: string } {
  const { library } = options;
  const [round, ...carried] = loop.carried as [Value, ...Value[]];
  // The end stands second: it is compared with the round, and carried unchanged.
  const types_ = [
    round.type,
    round.type,
    ...carried.map(({ type }) => type),
    ...outer.map(({ type }) => type),
  ];
  const inputs = types_.map((type, index) => ({
    name: `argument_${index}`,
    type,
  }));
  const argument = (index: number): Reference => ({
    argument: `argument_${index}`,
  });
  const integer = { T: { type: round.type } };

  const test = new Graph();
  const less = test.add('less', 'Less', [argument(0), argument(1)], integer);
  const condition = addToLibrary(library, {
    inputs,
    outputs: [{ name: 'goes_on', type: types.bool, value: less }],
    nodes: test.nodes,
    effects: [],
    attributes: {},
  });

  const given = new Map<Value, Reference>([[round, argument(0)]]);
  carried.forEach((value, index) => {
    given.set(value, argument(index + 2));
  });
  outer.forEach((value, index) => {
    given.set(value, argument(index + 2 + carried.length));
  });
  const graph = new Graph();
  const outputs = Object.fromEntries(loop.results.map((value, index) => [index, value]));
  const unavailable = (): never => {
    throw new Error('A loop reads what it was not handed.');
  };
  const lowered = lower(
    graph,
    { operations: loop.operations, outputs, updates: {} },
    'round',
    unavailable,
    unavailable,
    { ...options, given },
  );
  const one = graph.add('one', 'Const', [], {
    dtype: { type: round.type },
    value: {
      constant: {
        from: 'constant',
        shape: [],
        type: round.type,
        content: Uint8Array.of(1, 0, 0, 0),
      },
    },
  });
  const next = graph.add('next', 'Add', [argument(0), one], integer);
  const values = [
    next,
    argument(1),
    ...loop.results.map((_, index) => lowered.outputs[index] as Reference),
    ...outer.map((_, index) => argument(index + 2 + carried.length)),
  ];
  const body = addToLibrary(library, {
    inputs,
    outputs: values.map((value, index) => ({
      name: `result_${index}`,
      type: types_[index] as number,
      value,
    })),
    nodes: graph.nodes,
    effects: [],
    attributes: {},
  });
  return { condition, body };
}

/** The variable whose value this is: as read, or as left by ops that write into it. */
function variableOf(value: Value): string | undefined {
  if (value.from === 'variable') return value.name;
  if (value.from !== 'operation' || value.output >= value.operation.writes) return undefined;
  return variableOf(value.operation.inputs[value.output] as Value);
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
