import { types } from '../native/binding.js';
import { entryOf } from '../records.js';
import type { TensorSpec } from '../trace/body.js';
import { type Trace, valuesRead } from '../trace/operations.js';
import { addCompiledParts } from './compiled-parts.js';
import { Graph, type Reference } from './graph.js';
import { type LowerOptions, lower, type Sources } from './lower.js';
import { encodeSavedModel, type FunctionDefinition } from './saved-model.js';

/** A traced function and what it takes. */
interface Captured {
  inputs: Record<string, TensorSpec>;
  trace: Trace;
}

/** Names of what is fed to a graph and fetched from it, by their places in the program's records. */
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
 * Each function has its inputs to feed and its outputs to fetch. An output is available only when
 * everything that the function writes is written. With `xla` the body of a function is one node that
 * XLA compiles, or several where it has parts. Without `xla` but with `fuse`, XLA compiles groups of
 * operations (see `fused`).
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
    const sources: Sources = {
      handle: (variable, type) => entryOf(entryOf(handles, variable), type),
      input: (input) => entryOf(fed, input),
    };
    const results = xla
      ? addCompiledParts({ graph, library, inputs, sources }, name, trace)
      : lower(graph, trace, name, sources, { library, xla, ...options });
    Object.entries(trace.outputs).forEach(([key, value], index) => {
      const output = entryOf(results.outputs, key);
      const attributes = { T: { type: value.type } };
      graph.add(names.output(name, index), 'Identity', [output], attributes, results.effects);
    });
    addSignal(graph, names.done(name), results.effects);
  }
  return encodeSavedModel(graph.nodes, library, tensorflowVersion);
}

/** The resources of each variable of a graph, by the type in which they hold it. */
type Handles = Map<string, Map<number, Reference>>;

/** A variable's resource, and the node that writes what is assigned into it. */
interface Held {
  handle: Reference;
  write: string;
}

/** Names of the variables that any function reads in bfloat16. */
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

/** Adds variables, those of `narrow` also in bfloat16, and the nodes that assign and read them. */
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
    graph.add(names.read(index), 'ReadVariableOp', [entryOf(made, type).handle], {
      dtype: { type },
    });
    handles.set(name, new Map([...made].map(([held, { handle }]) => [held, handle])));
  });
  addSignal(graph, names.assignmentsDone, writes);
  return handles;
}

/** A tensor to feed. It is copied on arrival, because it may share memory with a JavaScript array. */
function addInput(graph: Graph, name: string, { shape, dtype }: TensorSpec): Reference {
  const type = { type: types[dtype] };
  const fed = graph.add(name, 'Placeholder', [], { dtype: type, shape: { shape } });
  return graph.add(`${name}/copy`, 'DeepCopy', [fed], { T: type });
}

/** A number that can be fetched when other nodes have run. */
function addSignal(graph: Graph, name: string, after: string[]): void {
  const content = new Uint8Array(4);
  const constant = { from: 'constant', shape: [], type: types.int32, content } as const;
  const attributes = { dtype: { type: types.int32 }, value: { constant } };
  graph.add(name, 'Const', [], attributes, after);
}
