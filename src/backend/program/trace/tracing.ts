import { createHash } from 'node:crypto';
import { UserError } from '../../errors.js';
import {
  attributeKinds,
  type Binding,
  type BindingAttribute,
  type NativeBackend,
  overridden,
  type TensorMetadata,
  types,
  withBinding,
} from '../../native/binding.js';
import { tf } from '../../tf.js';
import { bfloat16Binding } from './bfloat16.js';
import { signatureOf } from './signatures.js';

/** Shape and element type of a tensor. */
export interface TensorSpec {
  readonly shape: readonly number[];
  readonly dtype: 'float32' | 'int32' | 'bool';
}

/** Whether matrix products take their arguments in float32, or cast to bfloat16. */
export type Precision = 'float32' | 'bfloat16';

/** What a function of a program gives: tensors, and new values of variables by their names. */
export interface Outcome {
  outputs: Record<string, tf.Tensor>;
  updates?: Record<string, tf.Tensor>;
}

export type Body = (
  variables: Record<string, tf.Tensor>,
  inputs: Record<string, tf.Tensor>,
) => Outcome;

/** A tensor of a traced function, and where it comes from. */
export type Value = {
  readonly shape: readonly number[];
  readonly type: number;
} & (
  | { readonly from: 'input' | 'variable'; readonly name: string }
  | { readonly from: 'constant'; readonly content: Uint8Array }
  | {
      readonly from: 'operation';
      readonly operation: Operation;
      readonly output: number;
    }
  | { readonly from: 'loop'; readonly loop: Loop; readonly index: number }
);

/** How many numbers a value has. */
export function elements({ shape }: Pick<Value, 'shape'>): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** What a loop does in each round, and the values that it hands from round to round. */
export interface Loop {
  readonly operations: Operation[];
  /** The round's number, then what the loop carries, as its operations see them. */
  readonly carried: Value[];
  /** What the next round carries, without the round's number. */
  results: Value[];
}

/** An attribute of an op, by its kind. */
export type Attribute =
  | { string: string }
  | { int: number | number[] }
  | { float: number | number[] }
  | { bool: boolean | boolean[] }
  | { type: number | number[] }
  | { shape: readonly number[] }
  | { constant: Value & { from: 'constant' } }
  | { function: string };

/** One executed op. */
export interface Operation {
  readonly op: string;
  readonly attributes: Record<string, Attribute>;
  readonly inputs: Value[];
  readonly outputs: Value[];
  /**
   * How many variables the op writes into. They are its first inputs, and its outputs are their new
   * values; the op itself has no outputs.
   */
  readonly writes: number;
  /** What has to be there before the op runs, though it takes no part in that. */
  readonly after?: Value[];
  /** Where the op is a loop: its inputs are the first round, the end, and what it carries. */
  readonly loop?: Loop;
}

/** What an operation reads: its inputs, and a loop also what its body takes from outside. */
export function valuesRead({ inputs, loop }: Operation): Value[] {
  return loop ? [...inputs, ...invariants(loop)] : inputs;
}

/** What a loop's operations use of the function around it, constants apart. */
export function invariants(loop: Loop): Value[] {
  const inside = new Set(loop.operations);
  const used = [
    ...loop.results,
    ...loop.operations.flatMap((operation) => [
      ...operation.inputs,
      ...(operation.loop ? invariants(operation.loop) : []),
    ]),
  ];
  return [...new Set(used)].filter(
    (value) =>
      value.from !== 'constant' &&
      !(value.from === 'loop' && value.loop === loop) &&
      !(value.from === 'operation' && inside.has(value.operation)),
  );
}

/** The operations on which values depend, up to values that are given. */
export function reachable(
  values: readonly Value[],
  given: ReadonlyMap<Value, unknown> = new Map(),
): Set<Operation> {
  const found = new Set<Operation>();
  const open = [...values];
  for (let value = open.pop(); value; value = open.pop()) {
    if (given.has(value) || value.from !== 'operation' || found.has(value.operation)) continue;
    found.add(value.operation);
    open.push(...valuesRead(value.operation));
  }
  return found;
}

/** A function as the ops that it executed. */
export interface Trace {
  readonly operations: Operation[];
  readonly outputs: Record<string, Value>;
  readonly updates: Record<string, Value>;
  /** Results of parts that run side by side; none where the function is not in parts. */
  readonly parts?: Value[][];
}

let recorder: Recorder | undefined;

/**
 * Runs a function once, on tensors of the right shapes whose numbers mean nothing, and records the
 * TensorFlow ops that it executes. Everything that does not depend on variables or inputs becomes a constant.
 *
 * @throws UserError where a record would not stand for the function: it reads a computed value on
 *   the host, draws unseeded random numbers, or runs an op that cannot be captured
 */
export function trace(
  backend: NativeBackend,
  name: string,
  body: Body,
  variables: Record<string, tf.Tensor>,
  inputs: Record<string, TensorSpec>,
  precision: Precision,
): Trace {
  if (recorder) throw new UserError(`${name} is traced inside ${recorder.name}`, 'Trace it before');
  const active = new Recorder(backend, name);
  recorder = active;
  const random = Math.random;
  Math.random = () => {
    throw new UserError(
      `The traced function ${name} draws random numbers, which a graph would repeat on every call`,
      'Draw them outside and pass them as an input, or pass a seed to a fixed draw',
    );
  };
  const gather = tf.getKernel('GatherV2', 'tensorflow');
  const gatherKernel = gather.kernelFunc;
  gather.kernelFunc = (parameters) => active.withZeros(() => gatherKernel(parameters));
  const narrow = precision === 'bfloat16' ? bfloat16Binding(active.binding) : undefined;
  const binding = narrow ? { ...active.binding, executeOp: narrow.executeOp } : active.binding;
  if (narrow) active.inLoop = narrow.apart;
  try {
    let traced: Trace | undefined;
    tf.tidy(() => {
      const variableTensors = mapValues(variables, (value, key) => active.variable(key, value));
      const inputTensors = mapValues(inputs, (spec, key) => active.input(key, spec));
      withBinding(backend, binding, () => {
        const outcome = body(variableTensors, inputTensors);
        if (active.refused) throw active.refused;
        const { outputs, updates } = checkedOutcome(name, outcome, variables);
        traced = {
          operations: active.operations,
          outputs: mapValues(outputs, (tensor) => active.valueOfTensor(tensor)),
          updates: mapValues(updates, (tensor) => active.valueOfTensor(tensor)),
          parts: active.parts,
        };
      });
    });
    return traced as unknown as Trace;
  } finally {
    narrow?.release();
    active.release();
    gather.kernelFunc = gatherKernel;
    Math.random = random;
    recorder = undefined;
  }
}

/**
 * While a function is traced: records an op that writes into variables, and gives their new values
 * (tensors of the right shape whose numbers mean nothing). Undefined when nothing is traced.
 *
 * @param variables the variables' newest values, as the function got them or as another such op
 *   gave them; the new ones have to be among the function's updates
 */
export function traceInPlace(
  op: string,
  attributes: Record<string, Attribute>,
  variables: tf.Tensor[],
  inputs: tf.Tensor[],
): tf.Tensor[] | undefined {
  return recorder?.inPlace(op, attributes, variables, inputs);
}

/**
 * While a function is traced: records a loop. `body` is traced once, for any round. Undefined when
 * nothing is traced.
 */
export function traceLoop(
  first: tf.Tensor,
  end: tf.Tensor,
  carried: tf.Tensor[],
  body: (round: tf.Scalar, carried: tf.Tensor[]) => tf.Tensor[],
): tf.Tensor[] | undefined {
  return recorder?.loop(first, end, carried, body);
}

/**
 * While a function is traced: records the results of parts that run side by side.
 * @throws UserError for a second such place in the function, or one in a loop
 */
export function traceParts(parts: tf.Tensor[][]): void {
  recorder?.inParts(parts);
}

class Recorder {
  operations: Operation[] = [];
  parts: Value[][] = [];
  private depth = 0;
  /** Calls the body of a loop. */
  inLoop: <R>(body: () => R) => R = (body) => body();
  readonly binding: Binding;
  private readonly native: Binding;
  private readonly values = new Map<number, Value>();
  private readonly constants = new Map<string, Value>();
  /** A tensor of each large shape. */
  private readonly shapes = new Map<string, number>();
  /** Why the function cannot be recorded, also where a promise swallowed it. */
  refused: UserError | undefined;
  /** While true, a computed value reads as zeros. */
  private readsZeros = false;

  constructor(
    private readonly backend: NativeBackend,
    readonly name: string,
  ) {
    this.native = backend.binding;
    this.binding = overridden(backend.binding, {
      createTensor: (shape, type, content) => {
        const id = this.native.createTensor(shape, type, content);
        if (ArrayBuffer.isView(content)) {
          this.values.set(id, this.constant(shape, type, content as Uint8Array));
        }
        return id;
      },
      executeOp: (op, attributes, inputs, outputs) => this.record(op, attributes, inputs, outputs),
      tensorDataSync: (id) => {
        const value = this.values.get(id);
        if (value && value.from !== 'constant') {
          if (this.readsZeros) return (this.native.tensorDataSync(id) as Int32Array).map(() => 0);
          const source =
            value.from === 'operation'
              ? value.operation.op
              : value.from === 'loop'
                ? 'a loop'
                : value.name;
          this.refused = new UserError(
            `The traced function ${name} reads the value of a tensor (from ${source})`,
            'Keep the computation in tensors, or return the tensor and read it outside',
          );
          throw this.refused;
        }
        return this.native.tensorDataSync(id);
      },
      runSavedModel: () => {
        throw new UserError(
          `The traced function ${name} calls a captured function`,
          'Call its body instead',
        );
      },
    });
  }

  /** A tensor that stands for a variable: its value under a number of its own. */
  variable(name: string, value: tf.Tensor): tf.Tensor {
    const [id] = this.backend.getInputTensorIds([value]) as [number];
    return this.stand({ from: 'variable', name }, this.copy(id));
  }

  /** A tensor of zeros that stands for an input. */
  input(name: string, spec: TensorSpec): tf.Tensor {
    const shape = [...spec.shape];
    const zeros = tf.util.makeZerosTypedArray(tf.util.sizeFromShape(shape), spec.dtype);
    const dtype = types[spec.dtype];
    const id = this.native.createTensor(shape, dtype, zeros);
    return this.stand({ from: 'input', name }, { id, shape, dtype });
  }

  valueOfTensor(tensor: tf.Tensor): Value {
    return this.valueOf(this.backend.getInputTensorIds([tensor])[0] as number);
  }

  /** Calls what checks indices on the host, which mean nothing while they are computed ones. */
  withZeros<R>(f: () => R): R {
    this.readsZeros = true;
    try {
      return f();
    } finally {
      this.readsZeros = false;
    }
  }

  inPlace(
    op: string,
    attributes: Record<string, Attribute>,
    variables: tf.Tensor[],
    inputs: tf.Tensor[],
  ): tf.Tensor[] {
    const operation: Operation = {
      op,
      attributes,
      inputs: [...variables, ...inputs].map((tensor) => this.valueOfTensor(tensor)),
      outputs: [],
      writes: variables.length,
    };
    this.operations.push(operation);
    return this.backend.getInputTensorIds(variables).map((id) => {
      const output = operation.outputs.length;
      const metadata = this.copy(id);
      const tensor = this.stand({ from: 'operation', operation, output }, metadata);
      operation.outputs.push(this.values.get(metadata.id) as Value);
      return tensor;
    });
  }

  inParts(parts: tf.Tensor[][]): void {
    if (this.parts.length > 0 || this.depth > 0) {
      throw new UserError(
        `${this.name} has parts side by side ${this.depth > 0 ? 'in a loop' : 'in two places'}`,
        'Have them in one place, outside of loops',
      );
    }
    this.parts = parts.map((results) => results.map((tensor) => this.valueOfTensor(tensor)));
  }

  loop(
    first: tf.Tensor,
    end: tf.Tensor,
    carried: tf.Tensor[],
    body: (round: tf.Scalar, carried: tf.Tensor[]) => tf.Tensor[],
  ): tf.Tensor[] {
    const outer = this.operations;
    const loop: Loop = { operations: [], carried: [], results: [] };
    const standIn = (tensor: tf.Tensor, index: number): tf.Tensor => {
      const [id] = this.backend.getInputTensorIds([tensor]) as [number];
      const metadata = this.copy(id);
      const made = this.stand({ from: 'loop', loop, index }, metadata);
      loop.carried.push(this.values.get(metadata.id) as Value);
      return made;
    };
    this.operations = loop.operations;
    this.depth++;
    let results: tf.Tensor[];
    try {
      const [round, ...inside] = [first, ...carried].map(standIn);
      results = this.inLoop(() => body(round as tf.Scalar, inside));
    } finally {
      this.operations = outer;
      this.depth--;
    }
    results.forEach((result, index) => {
      const before = carried[index] as tf.Tensor;
      if (result.dtype !== before.dtype || !tf.util.arraysEqual(result.shape, before.shape)) {
        throw new UserError(
          `A loop in ${this.name} turns ${before.dtype} (${before.shape}) into ${result.dtype} (${result.shape})`,
          'What a loop carries keeps its shape and type',
        );
      }
    });
    loop.results = results.map((tensor) => this.valueOfTensor(tensor));
    const operation: Operation = {
      op: 'StatelessWhile',
      attributes: {},
      inputs: [first, end, ...carried].map((tensor) => this.valueOfTensor(tensor)),
      outputs: [],
      writes: 0,
      loop,
    };
    this.operations.push(operation);
    return results.map((tensor, output) => {
      const [id] = this.backend.getInputTensorIds([tensor]) as [number];
      const metadata = this.copy(id);
      const made = this.stand({ from: 'operation', operation, output }, metadata);
      operation.outputs.push(this.values.get(metadata.id) as Value);
      return made;
    });
  }

  private stand(source: Source, metadata: TensorMetadata): tf.Tensor {
    this.values.set(metadata.id, { shape: metadata.shape, type: metadata.dtype, ...source });
    return this.backend.createOutputTensor(metadata);
  }

  private copy(id: number): TensorMetadata {
    return this.native.executeOp('Identity', [], [id], 1)[0] as TensorMetadata;
  }

  private record(
    op: string,
    attributes: BindingAttribute[],
    inputs: number[],
    outputs: number,
  ): TensorMetadata[] {
    const signature = signatureOf(op);
    if (!signature || signature.stateful) {
      throw new UserError(
        `The traced function ${this.name} runs the op ${op}, which cannot be captured`,
        'Use other operations, or run it outside and pass the result as an input',
      );
    }
    const made = this.execute(op, attributes, inputs, outputs);
    const metadata = made.map((result) => this.light(result));
    const operation: Operation = {
      op,
      attributes: Object.fromEntries(attributes.map((item) => [item.name, attribute(item)])),
      inputs: inputs.map((id) => this.valueOf(id)),
      outputs: [],
      writes: 0,
    };
    metadata.forEach(({ id, shape, dtype }, output) => {
      const value: Value = { from: 'operation', operation, output, shape, type: dtype };
      operation.outputs.push(value);
      this.values.set(id, value);
    });
    this.operations.push(operation);
    return metadata;
  }

  /** Executes an op for the shapes of its results; computed places to gather from are zero. */
  private execute(
    op: string,
    attributes: BindingAttribute[],
    inputs: number[],
    outputs: number,
  ): TensorMetadata[] {
    const indices = inputs[1];
    if (op !== 'GatherV2' || indices === undefined || this.valueOf(indices).from === 'constant') {
      return this.native.executeOp(op, attributes, inputs, outputs);
    }
    const type = attributes.find(({ name }) => name === 'Tindices')?.value as number;
    const zeros = this.native.executeOp(
      'ZerosLike',
      [{ name: 'T', type: attributeKinds.type, value: type }],
      [indices],
      1,
    )[0] as TensorMetadata;
    const places = inputs.map((id, index) => (index === 1 ? zeros.id : id));
    try {
      return this.native.executeOp(op, attributes, places, outputs);
    } finally {
      this.native.deleteTensor(zeros.id);
    }
  }

  /**
   * In place of a large tensor another one of its shape, the first that came, under a number of its
   * own: only shapes matter, and so a trace takes the memory of one tensor of each.
   */
  private light(made: TensorMetadata): TensorMetadata {
    const { id, shape, dtype } = made;
    if (dtype !== types.float32 && dtype !== types.bfloat16) return made;
    if (elements({ shape }) < 1 << 12) return made;
    const key = `${dtype}:${shape}`;
    const first = this.shapes.get(key);
    if (first === undefined) {
      this.shapes.set(key, this.copy(id).id);
      return made;
    }
    this.native.deleteTensor(id);
    return this.copy(first);
  }

  /** Frees what stood in for other tensors. */
  release(): void {
    for (const id of this.shapes.values()) this.native.deleteTensor(id);
    this.shapes.clear();
  }

  /** The value behind a number; a tensor made before or outside the trace becomes a constant. */
  private valueOf(id: number): Value {
    let value = this.values.get(id);
    if (!value) {
      const copy = this.copy(id);
      const content = this.native.tensorDataSync(copy.id);
      value = this.constant(copy.shape, copy.dtype, content);
      this.native.deleteTensor(copy.id);
      this.values.set(id, value);
    }
    return value;
  }

  private constant(shape: number[], type: number, content: ArrayBufferView): Value {
    if (type === types.string) {
      throw new UserError(
        `The traced function ${this.name} uses a tensor of strings`,
        'Use numbers',
      );
    }
    const bytes = Buffer.from(
      new Uint8Array(content.buffer, content.byteOffset, content.byteLength),
    );
    // Shapes, axes, permutations and masks recur, the last in every layer.
    const told = bytes.length > 1024 ? createHash('sha256').update(bytes).digest() : bytes;
    const key = `${type}:${shape}:${told.toString('base64')}`;
    let value = this.constants.get(key);
    if (!value) {
      value = { from: 'constant', content: bytes, shape, type };
      this.constants.set(key, value);
    }
    return value;
  }
}

type Source =
  | { from: 'input' | 'variable'; name: string }
  | { from: 'operation'; operation: Operation; output: number }
  | { from: 'loop'; loop: Loop; index: number };

/** The outputs and updates of a body, after a check that each update fits its variable. */
export function checkedOutcome(
  name: string,
  outcome: Outcome,
  variables: Record<string, tf.Tensor>,
): Required<Outcome> {
  const { outputs, updates = {} } = outcome ?? {};
  if (typeof outputs !== 'object' || outputs === null) {
    throw new UserError(
      `The function ${name} returned no outputs`,
      'Expected { outputs, updates? } of tensors by name, not a promise',
    );
  }
  for (const [kind, tensors] of Object.entries({ output: outputs, update: updates })) {
    for (const [key, tensor] of Object.entries(tensors)) {
      if (tensor instanceof tf.Tensor) continue;
      throw new UserError(
        `The function ${name} returned ${described(tensor)} as the ${kind} ${key}`,
        'Expected a tensor',
      );
    }
  }
  for (const [key, update] of Object.entries(updates)) {
    const variable = variables[key];
    if (!variable) throw new UserError(`${name} updates ${key}`, 'Expected the name of a variable');
    if (update.dtype !== variable.dtype || !tf.util.arraysEqual(update.shape, variable.shape)) {
      throw new UserError(
        `${name} updates ${key} by ${update.dtype} (${update.shape})`,
        `Expected ${variable.dtype} (${variable.shape})`,
      );
    }
  }
  return { outputs, updates };
}

/** What came in place of a tensor, in words. */
export function described(value: unknown): string {
  if (typeof value !== 'object' || value === null) return `${value}`;
  const kind = value.constructor?.name ?? 'Object';
  return 'length' in value ? `${kind} of ${value.length}` : `a ${kind}`;
}

/** A record of the same keys with `f` applied to each value. */
export function mapValues<A, B>(
  record: Record<string, A>,
  f: (value: A, key: string) => B,
): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value, key)]));
}

function attribute({ name, type, value }: BindingAttribute): Attribute {
  switch (type) {
    case attributeKinds.string:
      return { string: value as string };
    case attributeKinds.int:
      return { int: value as number | number[] };
    case attributeKinds.float:
      return { float: value as number | number[] };
    case attributeKinds.bool:
      return { bool: value as boolean };
    case attributeKinds.type:
      return { type: value as number };
    case attributeKinds.shape:
      return { shape: value as number[] };
    default:
      throw new Error(`The attribute ${name} has kind ${type}.`);
  }
}
