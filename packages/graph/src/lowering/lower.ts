import { UserError } from '../errors.js';
import { types } from '../native/binding.js';
import { type Fusion, fused, isFusion, type Unit } from '../passes/fusion.js';
import { joinedOp, normForCompiler } from '../passes/join-norms.js';
import { activatedProducts, isBiasOfProduct, rewritten } from '../passes/rewrite.js';
import { entryOf } from '../records.js';
import {
  invariants,
  type Loop,
  type Operation,
  reachable,
  resultsOf,
  type Trace,
  type Value,
  valuesRead,
} from '../trace/operations.js';
import { completeAttributes } from '../trace/signatures.js';
import { compiledCall, compiledDefinition, Graph, type Reference } from './graph.js';
import { addToLibrary, argument, type FunctionDefinition } from './saved-model.js';

/** Where a lowered function's results are. */
export interface Lowered {
  outputs: Record<string, Reference>;
  /** The nodes that write into variables. */
  effects: string[];
}

/** Where a lowered function finds what it takes. */
export interface Sources {
  /** The resource that holds a variable in a type. */
  handle(variable: string, type: number): Reference;
  /** The tensor of an input. */
  input(name: string): Reference;
}

export interface LowerOptions {
  /** Receives the functions of loops and fusions. */
  library: FunctionDefinition[];
  /** True for a body that XLA compiles. */
  xla: boolean;
  /** True to let XLA compile consecutive elementwise operations and normalisations. */
  fuse?: boolean;
  /** True where the operations run with oneDNN, which computes a GELU where its argument is made. */
  oneDnn?: boolean;
  /** Values that come from outside of what is lowered. */
  given?: Map<Value, Reference>;
}

/**
 * Adds the nodes of a traced function to a graph. A variable is read once in each type, before it is
 * written. Its readers run before an op that writes into its memory, so that nothing has to be copied.
 *
 * @param prefix of the names of the nodes
 */
export function lower(
  graph: Graph,
  trace: Trace,
  prefix: string,
  sources: Sources,
  options: LowerOptions,
): Lowered {
  return new Lowering(graph, trace, prefix, sources, options).run();
}

/** Adds the nodes of values, as {@link lower} does those of a function's outputs. */
export function lowerValues(
  graph: Graph,
  operations: Operation[],
  values: readonly Value[],
  prefix: string,
  sources: Sources,
  options: LowerOptions,
): Reference[] {
  const trace = { operations, outputs: Object.fromEntries(values.entries()), updates: {} };
  return Object.values(lower(graph, trace, prefix, sources, options).outputs);
}

class Lowering {
  private readonly given: ReadonlyMap<Value, Reference>;
  private readonly references: Map<Value, Reference>;
  /** The operations on which the results depend, in their order. */
  private readonly operations: readonly Operation[];
  /** Products that only a bias and a GELU follow. */
  private readonly activated: Set<Operation>;
  private readonly units: readonly Unit[];
  /** The values that are used as tensors: all but those into which an op writes. */
  private readonly used: Set<Value>;
  /** Nodes that read a variable, by its name. */
  private readonly readers = new Map<string, string[]>();
  /** The value of a variable after the last op that wrote into it, by its name. */
  private readonly newest = new Map<string, Value>();
  /** The node that wrote a value into its variable. */
  private readonly writers = new Map<Value, string>();
  private readonly effects: string[] = [];
  private count = 0;

  constructor(
    private readonly graph: Graph,
    private readonly trace: Trace,
    private readonly prefix: string,
    private readonly sources: Sources,
    private readonly options: LowerOptions,
  ) {
    const { given = new Map(), fuse, oneDnn } = options;
    const results = resultsOf(trace);
    const needed = reachable(results, given);
    this.given = given;
    this.references = new Map(given);
    this.operations = trace.operations.filter((operation) => needed.has(operation));
    const activations = oneDnn ? activatedProducts(this.operations, results) : [];
    const apart = new Set(activations.flat());
    this.activated = new Set(activations.map((operations) => entryOf(operations, 0)));
    this.units = fuse
      ? fused(this.operations, (operation) => !isBiasOfProduct(operation) && !apart.has(operation))
      : this.operations;
    const read = ({ inputs, writes, loop }: Operation) => [
      ...inputs.slice(writes),
      ...(loop ? invariants(loop) : []),
    ];
    this.used = new Set([...[...needed].flatMap(read), ...results]);
  }

  run(): Lowered {
    // A variable that is written in place is read before, even if its old value is used only later.
    for (const value of this.used) {
      if (value.from === 'variable' && !this.given.has(value)) this.reference(value);
    }
    const leaving = this.options.fuse ? usedOutside(this.units, this.trace) : new Set<Value>();
    for (const unit of this.units) {
      if (isFusion(unit)) this.addFusion(unit, leaving);
      else if (unit.loop) this.addLoop(unit, unit.loop);
      else if (unit.writes === 0) this.addOperation(unit);
      else this.addWrite(unit);
    }
    this.checkUpdates();
    const outputs = Object.fromEntries(
      Object.entries(this.trace.outputs).map(([name, value]) => [name, this.reference(value)]),
    );
    this.assignUpdates();
    return { outputs, effects: this.effects };
  }

  private addFusion(fusion: Fusion, leaving: ReadonlySet<Value>): void {
    const name = this.unique('fusion');
    const after = this.nodesBefore(fusion.members);
    const { inputs, outputs, definition } = lowerFusion(fusion, leaving, this.options.library);
    const attributes = {
      Tin: { type: inputs.map(({ type }) => type) },
      Tout: { type: outputs.map(({ type }) => type) },
      f: { function: definition },
      ...compiledCall,
    };
    const tensors = inputs.map((value) => this.reference(value));
    this.graph.add(name, 'StatefulPartitionedCall', tensors, attributes, after);
    this.finish(name, inputs, outputs);
  }

  private addLoop(operation: Operation, loop: Loop): void {
    const name = this.unique('loop');
    const { library, xla, fuse, oneDnn } = this.options;
    const { condition, body } = lowerLoop(loop, { library, xla, fuse, oneDnn });
    const inputs = valuesRead(operation);
    const tensors = inputs.map((value) => this.reference(value));
    this.graph.add(name, 'StatelessWhile', tensors, {
      T: { type: inputs.map(({ type }) => type) },
      cond: { function: condition },
      body: { function: body },
      _lower_using_switch_merge: { bool: true },
    });
    // The node also returns the round and the end, which come first.
    this.finish(name, inputs, operation.outputs, 2);
  }

  private addOperation(traced: Operation): void {
    const operation = rewritten(traced, this.options.xla, this.activated);
    const attributes = completeAttributes(operation);
    const inputs = operation.inputs.map((value) => this.reference(value));
    const name = this.unique(operation.op);
    this.graph.add(name, operation.op, inputs, attributes, this.nodesBefore([traced]));
    this.finish(name, operation.inputs, operation.outputs);
  }

  /** Adds an op that writes into the memory of variables. */
  private addWrite(operation: Operation): void {
    const after: string[] = [];
    const inputs = operation.inputs.map((value, index) => {
      if (index >= operation.writes) return this.reference(value);
      const variable = variableOf(value);
      if (variable === undefined || (this.newest.get(variable) ?? value) !== value) {
        throw new UserError(
          `${operation.op} in ${this.prefix} writes into a tensor that is no variable's newest value`,
          'Pass it the variable as the function got it',
        );
      }
      if (this.used.has(value)) this.reference(value);
      const writer = this.writers.get(value);
      after.push(...(this.readers.get(variable) ?? []), ...(writer ? [writer] : []));
      this.newest.set(variable, entryOf(operation.outputs, index));
      return this.sources.handle(variable, value.type);
    });
    const name = this.unique(operation.op);
    this.graph.add(name, operation.op, inputs, completeAttributes(operation), after);
    for (const value of operation.outputs) this.writers.set(value, name);
    this.effects.push(name);
  }

  /** Notes what a node makes, and which variables it reads. */
  private finish(name: string, inputs: Value[], outputs: Value[], firstOutput = 0): void {
    outputs.forEach((value, index) => {
      this.references.set(value, { node: name, output: index + firstOutput });
    });
    for (const value of inputs) {
      if (value.from === 'variable') this.readers.get(value.name)?.push(name);
    }
  }

  private checkUpdates(): void {
    for (const [variable, value] of this.newest) {
      if (this.trace.updates[variable] === value) continue;
      throw new UserError(
        `${this.prefix} writes into ${variable} in place without naming it in its updates`,
        'Return the new value among the updates',
      );
    }
  }

  /** Assigns the updates that no op has written in place. */
  private assignUpdates(): void {
    const { updates } = this.trace;
    const assigned = Object.entries(updates).filter(([name]) => !this.newest.has(name));
    const references = assigned.map(([, value]) => this.reference(value));
    assigned.forEach(([variable, { type }], index) => {
      const inputs = [this.sources.handle(variable, type), entryOf(references, index)];
      const attributes = { dtype: { type } };
      const after = this.readers.get(variable) ?? [];
      const name = this.unique('assign');
      this.effects.push(this.graph.add(name, 'AssignVariableOp', inputs, attributes, after).node);
    });
  }

  /**
   * The nodes for which operations wait although they do not read their results. In a body that XLA
   * compiles, XLA determines the order; members of a fusion wait together.
   */
  private nodesBefore(members: readonly Operation[]): string[] {
    return (this.options.xla ? [] : members)
      .flatMap(({ after = [] }) => after)
      .filter((value) => value.from !== 'operation' || !members.includes(value.operation))
      .flatMap((value) => {
        const found = this.reference(value);
        return 'node' in found ? [found.node] : [];
      });
  }

  private reference(value: Value): Reference {
    let found = this.references.get(value);
    if (!found) {
      found = this.make(value);
      this.references.set(value, found);
    }
    return found;
  }

  private make(value: Value): Reference {
    switch (value.from) {
      case 'input':
        return this.sources.input(value.name);
      case 'variable':
        return this.read(value.name, value, []);
      case 'constant':
        return this.graph.add(this.unique('constant'), 'Const', [], {
          dtype: { type: value.type },
          value: { constant: value },
        });
      case 'loop':
        throw new Error('A value of a loop is used outside of it.');
      case 'operation': {
        const variable = variableOf(value);
        if (variable !== undefined) {
          return this.read(variable, value, [entryOf(this.writers, value)]);
        }
        throw new UserError(
          `${this.prefix} uses a result of ${value.operation.op} before it is made, or outside of the loop that makes it`,
          'Let the loop carry it, or compute it where it is used',
        );
      }
    }
  }

  private read(variable: string, { type }: Value, after: string[]): Reference {
    const held = this.sources.handle(variable, type);
    const name = this.unique('read');
    const node = this.graph.add(name, 'ReadVariableOp', [held], { dtype: { type } }, after);
    this.readers.set(variable, [...(this.readers.get(variable) ?? []), name]);
    return node;
  }

  private unique(label: string): string {
    return `${this.prefix}/${label}_${this.count++}`;
  }
}

/** The sources of a function that gets everything as arguments. */
const noSources: Sources = {
  handle: () => {
    throw new Error('A function in a graph reads a variable that is none of its arguments.');
  },
  input: () => {
    throw new Error('A function in a graph reads an input that is none of its arguments.');
  },
};

/** Puts the body of a fusion into the library. */
function lowerFusion(
  { members }: Fusion,
  leaving: ReadonlySet<Value>,
  library: FunctionDefinition[],
): { inputs: Value[]; outputs: Value[]; definition: string } {
  const inside = new Set(members.flatMap(({ outputs }) => outputs));
  const taken = new Set(members.flatMap(({ inputs }) => inputs));
  const inputs = [...taken].filter((value) => value.from !== 'constant' && !inside.has(value));
  const outputs = [...inside].filter((value) => leaving.has(value));
  const graph = new Graph();
  const operations = members.flatMap((operation) =>
    operation.op === joinedOp ? normForCompiler(operation) : [operation],
  );
  const given = new Map(inputs.map((value, index) => [value, argument(index)]));
  const options = { library, xla: true, given };
  const results = lowerValues(graph, operations, outputs, 'fusion', noSources, options);
  const definition = addToLibrary(library, {
    inputs: inputs.map(({ type }) => type),
    outputs: outputs.map(({ type }, index) => ({
      type,
      value: entryOf(results, index),
    })),
    nodes: graph.nodes,
    attributes: compiledDefinition,
  });
  return { inputs, outputs, definition };
}

/** The values that are used outside of the unit that makes them. */
function usedOutside(units: readonly Unit[], trace: Trace): Set<Value> {
  const found = new Set(resultsOf(trace));
  for (const unit of units) {
    const members = isFusion(unit) ? unit.members : [unit];
    const inside = new Set(members.flatMap(({ outputs }) => outputs));
    for (const value of members.flatMap(valuesRead)) {
      if (!inside.has(value)) found.add(value);
    }
  }
  return found;
}

/**
 * Puts the condition and the body of a loop into the library. Both take the round, the end, what the
 * loop carries, and what it uses from outside; the body returns the same for the next round.
 */
function lowerLoop(loop: Loop, options: LowerOptions): { condition: string; body: string } {
  const { library } = options;
  const round = entryOf(loop.carried, 0);
  const carried = loop.carried.slice(1);
  const outer = invariants(loop);
  const handed = [...carried, ...outer];
  const inputs = [round, round, ...handed].map(({ type }) => type);
  const condition = addCondition(library, inputs, round.type);
  const given = new Map<Value, Reference>([[round, argument(0)]]);
  handed.forEach((value, index) => {
    given.set(value, argument(index + 2));
  });
  const graph = new Graph();
  const results = lowerValues(graph, loop.operations, loop.results, 'round', noSources, {
    ...options,
    given,
  });
  const values = [
    addNextRound(graph, round.type),
    argument(1),
    ...results,
    ...outer.map((_, index) => argument(index + 2 + carried.length)),
  ];
  const body = addToLibrary(library, {
    inputs,
    outputs: inputs.map((type, index) => ({ type, value: entryOf(values, index) })),
    nodes: graph.nodes,
  });
  return { condition, body };
}

/** Adds the number of the next round to the body of a loop. */
function addNextRound(graph: Graph, type: number): Reference {
  const content = Uint8Array.of(1, 0, 0, 0);
  const one = graph.add('one', 'Const', [], {
    dtype: { type },
    value: { constant: { from: 'constant', shape: [], type, content } },
  });
  return graph.add('next', 'Add', [argument(0), one], { T: { type } });
}

/** Puts the condition of a loop into the library: the round is below the end. */
function addCondition(
  library: FunctionDefinition[],
  inputs: readonly number[],
  type: number,
): string {
  const graph = new Graph();
  const less = graph.add('less', 'Less', [argument(0), argument(1)], { T: { type } });
  return addToLibrary(library, {
    inputs,
    outputs: [{ type: types.bool, value: less }],
    nodes: graph.nodes,
  });
}

/** The variable whose value this is: as read, or as left by ops that write into it. */
function variableOf(value: Value): string | undefined {
  if (value.from === 'variable') return value.name;
  if (value.from !== 'operation' || value.output >= value.operation.writes) return undefined;
  return variableOf(entryOf(value.operation.inputs, value.output));
}
