import { createHash } from 'node:crypto';
import { UserError } from '../errors.js';
import {
  attributeKinds,
  type Binding,
  type BindingAttribute,
  executeOne,
  idOf,
  type NativeBackend,
  overridden,
  type TensorMetadata,
  types,
} from '../native/binding.js';
import { entryOf } from '../records.js';
import { tf } from '../tf.js';
import type { TensorSpec } from './body.js';
import { type Attribute, elements, type Loop, type Operation, type Value } from './operations.js';
import { signatureOf } from './signatures.js';

/** Follows one function while it runs: which ops it executes, and where each tensor comes from. */
export class Recorder {
  operations: Operation[] = [];
  parts: Value[][] = [];
  private depth = 0;
  /** Calls the body of a loop. */
  inLoop: <R>(body: () => R) => R = (body) => body();
  /** The binding to run the function with. */
  readonly binding: Binding;
  private readonly native: Binding;
  /** By the number of the tensor. */
  private readonly values = new Map<number, Value>();
  private readonly constants = new Map<string, Value>();
  /** A tensor of each large shape. */
  private readonly shapes = new Map<string, number>();
  /** Why the function cannot be recorded; kept because a promise may swallow the error. */
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
        if (ArrayBuffer.isView(content)) this.values.set(id, this.constant(shape, type, content));
        return id;
      },
      executeOp: (op, attributes, inputs, outputs) => this.record(op, attributes, inputs, outputs),
      tensorDataSync: (id) => this.read(id),
      runSavedModel: () => {
        throw new UserError(
          `The traced function ${name} calls a captured function`,
          'Call its body instead',
        );
      },
    });
  }

  /** A tensor that stands for a variable: the variable's value under a number of its own. */
  variable(name: string, value: tf.Tensor): tf.Tensor {
    return this.stand({ from: 'variable', name }, this.copy(idOf(this.backend, value)));
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
    return this.valueOf(idOf(this.backend, tensor));
  }

  /** Calls what checks indices on the host; computed ones have no numbers while tracing. */
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
    return variables.map((variable) => this.result(operation, variable));
  }

  /**
   * Records the results of parts that run side by side.
   * @throws UserError for a second such place in the function, or one in a loop
   */
  inParts(parts: tf.Tensor[][]): void {
    if (this.parts.length > 0 || this.depth > 0) {
      throw new UserError(
        `${this.name} has parts side by side ${this.depth > 0 ? 'in a loop' : 'in two places'}`,
        'Put them in one place, outside of loops',
      );
    }
    this.parts = parts.map((results) => results.map((tensor) => this.valueOfTensor(tensor)));
  }

  /** Records a loop, whose `body` is traced once and stands for every round. */
  loop(
    first: tf.Scalar,
    end: tf.Scalar,
    carried: tf.Tensor[],
    body: (round: tf.Scalar, carried: tf.Tensor[]) => tf.Tensor[],
  ): tf.Tensor[] {
    const outer = this.operations;
    const loop: Loop = { operations: [], carried: [], results: [] };
    this.operations = loop.operations;
    this.depth++;
    let results: tf.Tensor[];
    try {
      const round = this.standIn(first, { from: 'loop', loop, index: 0 }, loop.carried);
      const inside = carried.map((tensor, index) =>
        this.standIn(tensor, { from: 'loop', loop, index: index + 1 }, loop.carried),
      );
      results = this.inLoop(() => body(round, inside));
    } finally {
      this.operations = outer;
      this.depth--;
    }
    results.forEach((result, index) => {
      const before = entryOf(carried, index);
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
    return results.map((result) => this.result(operation, result));
  }

  /** Frees the tensors that stood in for others. */
  release(): void {
    for (const id of this.shapes.values()) this.native.deleteTensor(id);
    this.shapes.clear();
  }

  /** A tensor that stands for the next output of an operation, of the shape of another tensor. */
  private result<T extends tf.Tensor>(operation: Operation, like: T): T {
    const source: Source = { from: 'operation', operation, output: operation.outputs.length };
    return this.standIn(like, source, operation.outputs);
  }

  /** A tensor of the shape of another that stands for a value, which is added to a list. */
  private standIn<T extends tf.Tensor>(like: T, source: Source, list: Value[]): T {
    const metadata = this.copy(idOf(this.backend, like));
    const tensor = this.stand<T>(source, metadata);
    list.push(entryOf(this.values, metadata.id));
    return tensor;
  }

  private stand<T extends tf.Tensor>(source: Source, metadata: TensorMetadata): T {
    this.values.set(metadata.id, { shape: metadata.shape, type: metadata.dtype, ...source });
    return this.backend.createOutputTensor(metadata) as T;
  }

  private copy(id: number): TensorMetadata {
    return executeOne(this.native, 'Identity', [], [id]);
  }

  /** The numbers of a tensor on the host; refused for a computed one. */
  private read(id: number): ReturnType<Binding['tensorDataSync']> {
    const value = this.values.get(id);
    const numbers = () => this.native.tensorDataSync(id);
    if (!value || value.from === 'constant') return numbers();
    if (this.readsZeros) return new Int32Array(numbers().length);
    this.refused = new UserError(
      `The traced function ${this.name} reads the value of a tensor (from ${sourceText(value)})`,
      'Keep the computation in tensors, or return the tensor and read it outside',
    );
    throw this.refused;
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

  /** Executes an op for the shapes of its results; computed indices to gather from are zero. */
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
    const { type: value } = this.valueOf(indices);
    const type = { name: 'T', type: attributeKinds.type, value };
    const zeros = executeOne(this.native, 'ZerosLike', [type], [indices]);
    const places = inputs.map((id, index) => (index === 1 ? zeros.id : id));
    try {
      return this.native.executeOp(op, attributes, places, outputs);
    } finally {
      this.native.deleteTensor(zeros.id);
    }
  }

  /**
   * In place of a large tensor, the first one of its shape under a number of its own. Only shapes
   * matter, so a trace needs the memory of one tensor of each.
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
    // Shapes, axes, permutations and masks recur, masks in every layer.
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

/** Where a value comes from, if it is no constant. */
type Source =
  | { from: 'input' | 'variable'; name: string }
  | { from: 'operation'; operation: Operation; output: number }
  | { from: 'loop'; loop: Loop; index: number };

function sourceText(source: Source): string {
  switch (source.from) {
    case 'operation':
      return source.operation.op;
    case 'loop':
      return 'a loop';
    default:
      return source.name;
  }
}

/** The names of the binding's kinds of attributes, which are also those of {@link Attribute}. */
const kindNames = new Map<number, string>(
  Object.entries(attributeKinds).map(([name, kind]) => [kind, name]),
);

function attribute({ type, value }: BindingAttribute): Attribute {
  return { [entryOf(kindNames, type)]: value } as Attribute;
}
