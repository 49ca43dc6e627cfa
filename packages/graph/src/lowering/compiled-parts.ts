import { types } from '../native/binding.js';
import { entryOf } from '../records.js';
import type { TensorSpec } from '../trace/body.js';
import {
  type Operation,
  reachable,
  resultsOf,
  type Trace,
  type Value,
  valuesRead,
} from '../trace/operations.js';
import { compiledCall, compiledDefinition, Graph, type Reference } from './graph.js';
import { type Lowered, lower, lowerValues, type Sources } from './lower.js';
import { addToLibrary, argument, type FunctionDefinition } from './saved-model.js';

/** Where the nodes of a function go, and what they can read. */
interface Surroundings {
  graph: Graph;
  library: FunctionDefinition[];
  inputs: Record<string, TensorSpec>;
  sources: Sources;
}

/**
 * Adds a compiled node for each part of a function that runs side by side, and one for what comes
 * after them. What several parts need comes before, uncompiled. A function of one part is one node,
 * because passing tensors between nodes costs time.
 */
export function addCompiledParts(around: Surroundings, name: string, trace: Trace): Lowered {
  const { graph, library, sources } = around;
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
  const before = lowerValues(graph, trace.operations, common, `${name}/before`, sources, {
    library,
    xla: false,
  });
  const given = new Map(common.map((value, i) => [value, entryOf(before, i)]));
  const nodes: string[] = [];
  const results = parts.flatMap((values, index) => {
    const outputs = made(values, false);
    if (outputs.length === 0) return [];
    const part = { ...trace, outputs: Object.fromEntries(outputs.entries()), updates: {} };
    const node = `${name}/part_${index}`;
    nodes.push(node);
    const lowered = addCompiled(around, node, part, given);
    return outputs.map((value, i) => [value, entryOf(lowered.outputs, `${i}`)] as const);
  });
  for (const [value, reference] of results) given.set(value, reference);
  const last = Object.entries(trace.outputs);
  if (Object.keys(trace.updates).length === 0 && last.every(([, value]) => given.has(value))) {
    const outputs = last.map(([key, value]) => [key, entryOf(given, value)]);
    return { outputs: Object.fromEntries(outputs), effects: [] };
  }
  // Parts read variables before the last node writes them.
  return addCompiled(around, `${name}/call`, trace, given, nodes);
}

/** Puts the body of a function into the library and adds the node for which XLA compiles and runs it. */
function addCompiled(
  { graph, library, inputs, sources }: Surroundings,
  name: string,
  trace: Trace,
  given: ReadonlyMap<Value, Reference>,
  after: string[] = [],
): Lowered {
  // Named by order, not by what is passed, so that functions that differ only in that are equal.
  const passed: { type: number; value: Reference }[] = [];
  const parameters = new Map<Reference, Reference>();
  const parameter = (type: number, value: Reference): Reference => {
    let found = parameters.get(value);
    if (!found) {
      found = argument(passed.length);
      parameters.set(value, found);
      passed.push({ type, value });
    }
    return found;
  };
  const results = resultsOf(trace);
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
    {
      handle: (variable, type) => parameter(types.resource, sources.handle(variable, type)),
      input: (name) => parameter(types[entryOf(inputs, name).dtype], sources.input(name)),
    },
    { library, xla: true, given: handed },
  );
  const outputs = Object.entries(lowered.outputs).map(([key, value]) => ({
    type: entryOf(trace.outputs, key).type,
    value,
  }));
  const definition = addToLibrary(library, {
    inputs: passed.map(({ type }) => type),
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
      ...compiledCall,
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
