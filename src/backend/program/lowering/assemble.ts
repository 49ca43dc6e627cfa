import { types } from '../../native/binding.js';
import {
  type Operation,
  reachable,
  type TensorSpec,
  type Trace,
  type Value,
  valuesRead,
} from '../trace/tracing.js';
import {
  compiled,
  compiledDefinition,
  Graph,
  type Lowered,
  type LowerOptions,
  lower,
  type Reference,
} from './lower.js';
import { addToLibrary, encodeSavedModel, type FunctionDefinition } from './saved-model.js';

/** A traced function and what it takes. */
export interface Captured {
  inputs: Record<string, TensorSpec>;
  trace: Trace;
}

/** Names of what is fed to a graph and fetched from it, by place in the program's records. */
export const names = {
  input: (f: string, index: number) => `${f}/input_${index}`,
  output: (f: string, index: number) => `${f}/output_${index}`,
  done: (f: string) => `${f}/done`,
  assigned: (variable: number) => `variable_${variable}/assigned`,
  assignmentDone: (variable: number) => `variable_${variable}/assignment_done`,
  assignmentsDone: 'assignments_done',
  read: (variable: number) => `variable_${variable}/read`,
};

/**
 * One graph of several functions that share variables, as a SavedModel.
 *
 * Each function has its inputs to feed and its outputs to fetch; an output is there when everything
 * that the function writes is written. With `xla` the function's body is one node that XLA compiles, or
 * several where it has parts; else, with `fuse`, it compiles groups of operations (see `fused`).
 */
export function assemble(
  variables: Record<string, TensorSpec>,
  functions: Record<string, Captured>,
  { xla, ...options }: Pick<LowerOptions, 'xla' | 'fuse' | 'oneDnn'>,
  tensorflowVersion: string,
): Uint8Array {
  const graph = new Graph();
  const library: FunctionDefinition[] = [];
  const handles = addVariables(graph, variables, readInBfloat16(functions));
  for (const [name, captured] of Object.entries(functions)) {
    const { inputs, trace } = captured;
    const fed = new Map<string, Reference>();
    Object.entries(inputs).forEach(([key, spec], index) => {
      fed.set(key, addInput(graph, names.input(name, index), spec));
    });
    const results = xla
      ? addCompiledParts({ graph, library, inputs, fed, handles }, name, trace)
      : lower(
          graph,
          trace,
          name,
          (variable, type) => handleOf(handles, variable, type),
          (input) => fed.get(input) as Reference,
          { library, xla, ...options },
        );
    Object.entries(trace.outputs).forEach(([key, value], index) => {
      const output = results.outputs[key] as Reference;
      const attributes = { T: { type: value.type } };
      graph.add(names.output(name, index), 'Identity', [output], attributes, results.effects);
    });
    addSignal(graph, names.done(name), results.effects);
  }
  return encodeSavedModel(graph.nodes, library, tensorflowVersion);
}

/** The variables of a graph: for each the resource of every type in which it is held. */
type Handles = Map<string, Map<number, Reference>>;

function handleOf(handles: Handles, variable: string, type: number): Reference {
  return handles.get(variable)?.get(type) as Reference;
}

/** A variable's resource, and the node that writes what is assigned into it. */
interface Held {
  handle: Reference;
  write: string;
}

/** Names of the variables that functions read in bfloat16. */
function readInBfloat16(functions: Record<string, Captured>): Set<string> {
  const read = Object.values(functions).flatMap(({ trace }) =>
    trace.operations.flatMap(valuesRead),
  );
  return new Set(
    read.flatMap((value) =>
      value.from === 'variable' && value.type === types.bfloat16 ? [value.name] : [],
    ),
  );
}

/** Adds variables, those of `narrow` a second time in bfloat16, and what assigns and reads them. */
function addVariables(
  graph: Graph,
  variables: Record<string, TensorSpec>,
  narrow: ReadonlySet<string>,
): Handles {
  const handles: Handles = new Map();
  const writes: string[] = [];
  const add = (node: string, shape: readonly number[], type: number, value: Reference): Held => {
    const handle = graph.add(node, 'VarHandleOp', [], {
      dtype: { type },
      shape: { shape },
      shared_name: { string: node },
    });
    const attributes = { dtype: { type } };
    const write = graph.add(`${node}/assign`, 'AssignVariableOp', [handle, value], attributes);
    return { handle, write: write.node };
  };
  Object.entries(variables).forEach(([name, { shape, dtype }], index) => {
    const type = types[dtype];
    const node = `variable_${index}`;
    const value = addInput(graph, names.assigned(index), { shape, dtype });
    const made = new Map<number, Held>([[type, add(node, shape, type, value)]]);
    if (narrow.has(name)) {
      const attributes = { SrcT: { type }, DstT: { type: types.bfloat16 } };
      const rounded = graph.add(`${node}/rounded`, 'Cast', [value], attributes);
      made.set(types.bfloat16, add(`${node}/narrow`, shape, types.bfloat16, rounded));
    }
    const written = [...made.values()].map(({ write }) => write);
    writes.push(...written);
    addSignal(graph, names.assignmentDone(index), written);
    graph.add(names.read(index), 'ReadVariableOp', [made.get(type)?.handle as Reference], {
      dtype: { type },
    });
    handles.set(name, new Map([...made].map(([held, { handle }]) => [held, handle])));
  });
  addSignal(graph, names.assignmentsDone, writes);
  return handles;
}

/**
 * A tensor to feed, copied on arrival: what is fed may share memory with an array of JavaScript. The
 * first node's op is the one that TensorFlow has for inputs of a graph, under the name it has there.
 */
function addInput(graph: Graph, name: string, { shape, dtype }: TensorSpec): Reference {
  const type = { type: types[dtype] };
  const fed = graph.add(name, 'Placeholder', [], { dtype: type, shape: { shape } });
  return graph.add(`${name}/copy`, 'DeepCopy', [fed], { T: type });
}

/** A number that can be fetched once nodes have run. */
function addSignal(graph: Graph, name: string, after: string[]): void {
  const content = new Uint8Array(4);
  const constant = { from: 'constant', shape: [], type: types.int32, content } as const;
  const attributes = { dtype: { type: types.int32 }, value: { constant } };
  graph.add(name, 'Const', [], attributes, after);
}

/** Where a function's nodes go, and what they can read. */
interface Surroundings {
  graph: Graph;
  library: FunctionDefinition[];
  inputs: Record<string, TensorSpec>;
  fed: Map<string, Reference>;
  handles: Handles;
}

/**
 * Adds a compiled node for each part of a function that runs side by side, and one for what comes
 * after them. What several parts need comes before, and is not compiled. A function of one part is
 * one node: what nodes hand on costs time.
 */
function addCompiledParts(around: Surroundings, name: string, trace: Trace): Lowered {
  const { graph, library, fed, handles } = around;
  const parts = trace.parts && trace.parts.length > 1 ? trace.parts : [];
  const needed = parts.map((results) => reachable(results));
  const isCommon = (operation: Operation): boolean =>
    needed.filter((operations) => operations.has(operation)).length > 1;
  const made = (values: Value[], common: boolean): Value[] =>
    [...new Set(values)].filter(
      (value) => value.from === 'operation' && isCommon(value.operation) === common,
    );
  const read = needed.flatMap((operations) =>
    [...operations].filter((operation) => !isCommon(operation)).flatMap(valuesRead),
  );
  const common = made([...read, ...parts.flat()], true);
  const before = lower(
    graph,
    { ...trace, outputs: Object.fromEntries(common.entries()), updates: {} },
    `${name}/before`,
    (variable, type) => handleOf(handles, variable, type),
    (input) => fed.get(input) as Reference,
    { library, xla: false, fuse: false, oneDnn: false },
  );
  const given = new Map(common.map((value, i) => [value, before.outputs[i] as Reference]));
  const nodes: string[] = [];
  const results = parts.flatMap((values, index) => {
    const outputs = made(values, false);
    if (outputs.length === 0) return [];
    const part = { ...trace, outputs: Object.fromEntries(outputs.entries()), updates: {} };
    const node = `${name}/part_${index}`;
    nodes.push(node);
    const lowered = addCompiled(around, node, part, given);
    return outputs.map((value, i) => [value, lowered.outputs[i] as Reference] as const);
  });
  for (const [value, reference] of results) given.set(value, reference);
  const last = Object.entries(trace.outputs);
  if (Object.keys(trace.updates).length === 0 && last.every(([, value]) => given.has(value))) {
    const outputs = last.map(([key, value]) => [key, given.get(value) as Reference]);
    return { outputs: Object.fromEntries(outputs), effects: [] };
  }
  // Parts read variables before the last node writes them.
  return addCompiled(around, `${name}/call`, trace, given, nodes);
}

/** Puts a function's body into the library and adds the node that has XLA compile and run it. */
function addCompiled(
  { graph, library, inputs, fed, handles }: Surroundings,
  name: string,
  trace: Trace,
  given: ReadonlyMap<Value, Reference>,
  after: string[] = [],
): Lowered {
  // Named by their order, not by what is passed: functions that differ in that alone are equal.
  const passed: { type: number; value: Reference }[] = [];
  const parameters = new Map<Reference, Reference>();
  const parameter = (type: number, value: Reference): Reference => {
    let found = parameters.get(value);
    if (!found) {
      found = { argument: `argument_${passed.length}` };
      parameters.set(value, found);
      passed.push({ type, value });
    }
    return found;
  };
  const results = [...Object.values(trace.outputs), ...Object.values(trace.updates)];
  const read = new Set([...[...reachable(results, given)].flatMap(valuesRead), ...results]);
  const handed = new Map(
    [...given]
      .filter(([value]) => read.has(value))
      .map(([value, made]) => [value, parameter(value.type, made)] as const),
  );
  const body = new Graph();
  const lowered = lower(
    body,
    trace,
    'body',
    (variable, type) => parameter(types.resource, handleOf(handles, variable, type)),
    (input) => parameter(types[(inputs[input] as TensorSpec).dtype], fed.get(input) as Reference),
    { library, xla: true, fuse: false, oneDnn: false, given: handed },
  );
  const outputs = Object.entries(lowered.outputs).map(([key, value], index) => ({
    name: `output_${index}`,
    type: (trace.outputs[key] as Value).type,
    value,
  }));
  const definition = addToLibrary(library, {
    inputs: passed.map(({ type }, index) => ({
      name: `argument_${index}`,
      type,
    })),
    outputs,
    nodes: body.nodes,
    effects: lowered.effects,
    attributes: compiledDefinition,
  });
  const call = graph.add(
    name,
    'StatefulPartitionedCall',
    passed.map(({ value }) => value),
    {
      Tin: { type: passed.map(({ type }) => type) },
      Tout: { type: outputs.map(({ type }) => type) },
      f: { function: definition },
      ...compiled,
    },
    after,
  );
  return {
    outputs: Object.fromEntries(
      Object.keys(lowered.outputs).map((key, output) => [key, { node: call.node, output }]),
    ),
    effects: [call.node],
  };
}
