import {
  compiled,
  compiledDefinition,
  Graph,
  type Lowered,
  type LowerOptions,
  lower,
  type Reference,
} from './graph.js';
import { addToLibrary, encodeSavedModel, type FunctionDefinition } from './saved-model.js';
import { types } from './tensorflow.js';
import type { TensorSpec, Trace, Value } from './trace.js';

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
 * that the function writes is written. With `xla` the function's body is one node that XLA compiles;
 * else, with `fuse`, it compiles groups of elementwise operations.
 */
export function assemble(
  variables: Record<string, TensorSpec>,
  functions: Record<string, Captured>,
  { xla, ...options }: Pick<LowerOptions, 'xla' | 'fuse' | 'oneDnn'>,
  tensorflowVersion: string,
): Uint8Array {
  const graph = new Graph();
  const library: FunctionDefinition[] = [];
  const handles = addVariables(graph, variables);
  for (const [name, captured] of Object.entries(functions)) {
    const { inputs, trace } = captured;
    const fed = new Map<string, Reference>();
    Object.entries(inputs).forEach(([key, spec], index) => {
      fed.set(key, addInput(graph, names.input(name, index), spec));
    });
    const results = xla
      ? addCompiled(graph, library, name, captured, fed, handles)
      : lower(
          graph,
          trace,
          name,
          (variable) => handles.get(variable) as Reference,
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

function addVariables(graph: Graph, variables: Record<string, TensorSpec>): Map<string, Reference> {
  const handles = new Map<string, Reference>();
  const writes: string[] = [];
  Object.entries(variables).forEach(([name, { shape, dtype }], index) => {
    const type = { type: types[dtype] };
    const node = `variable_${index}`;
    const handle = graph.add(node, 'VarHandleOp', [], {
      dtype: type,
      shape: { shape },
      shared_name: { string: node },
    });
    handles.set(name, handle);
    const value = addInput(graph, names.assigned(index), { shape, dtype });
    const write = graph.add(`${node}/assign`, 'AssignVariableOp', [handle, value], { dtype: type });
    writes.push(write.node);
    addSignal(graph, names.assignmentDone(index), [write.node]);
    graph.add(names.read(index), 'ReadVariableOp', [handle], { dtype: type });
  });
  addSignal(graph, names.assignmentsDone, writes);
  return handles;
}

/**
 * A tensor to feed (TensorFlow's op for an input of a graph), copied on arrival: what is fed may share memory with
 * an array of JavaScript.
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

/** Puts a function's body into the library and adds the node that has XLA compile and run it. */
function addCompiled(
  graph: Graph,
  library: FunctionDefinition[],
  name: string,
  { inputs, trace }: Captured,
  fed: Map<string, Reference>,
  handles: Map<string, Reference>,
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
  const body = new Graph();
  const lowered = lower(
    body,
    trace,
    'body',
    (variable) => parameter(types.resource, handles.get(variable) as Reference),
    (input) => parameter(types[(inputs[input] as TensorSpec).dtype], fed.get(input) as Reference),
    { library, xla: true, fuse: false, oneDnn: false },
  );
  const results = Object.entries(lowered.outputs).map(([key, value], index) => ({
    name: `output_${index}`,
    type: (trace.outputs[key] as Value).type,
    value,
  }));
  const definition = addToLibrary(library, {
    inputs: passed.map(({ type }, index) => ({
      name: `argument_${index}`,
      type,
    })),
    outputs: results,
    nodes: body.nodes,
    effects: lowered.effects,
    attributes: compiledDefinition,
  });
  const call = graph.add(
    `${name}/call`,
    'StatefulPartitionedCall',
    passed.map(({ value }) => value),
    {
      Tin: { type: passed.map(({ type }) => type) },
      Tout: { type: results.map(({ type }) => type) },
      f: { function: definition },
      ...compiled,
    },
  );
  return {
    outputs: Object.fromEntries(
      Object.keys(lowered.outputs).map((key, output) => [key, { node: call.node, output }]),
    ),
    effects: [call.node],
  };
}
