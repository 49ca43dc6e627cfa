import { createHash } from 'node:crypto';
import { entryOf } from '../records.js';
import type { Attribute, Value } from '../trace/operations.js';
import { signatureOf } from '../trace/signatures.js';
import type { Node, Reference } from './graph.js';

/** The tag under which a program's graph is saved and loaded. */
export const tag = 'graph';

/** A function in the library of a graph. */
export interface FunctionDefinition {
  name: string;
  /** The types of what it takes; its nodes refer to them by {@link argument}. */
  inputs: readonly number[];
  outputs: readonly { type: number; value: Reference }[];
  nodes: Node[];
  /** Nodes that have to run besides those that the outputs need. */
  effects?: string[];
  attributes?: Record<string, Attribute>;
}

/** What a function gets as one of its arguments, inside of it. */
export function argument(index: number): { argument: string } {
  return { argument: `argument_${index}` };
}

/**
 * A TensorFlow SavedModel without the values of its variables, as the bytes of saved_model.pb
 * (tensorflow/core/protobuf/saved_model.proto and the files that it imports).
 */
export function encodeSavedModel(
  nodes: Node[],
  functions: FunctionDefinition[],
  tensorflowVersion: string,
): Uint8Array {
  // The GraphDef version of TensorFlow 2.21, which selects the behaviour of ops that changed.
  const versions = new Message().varint(1, 2474);
  const library = new Message();
  for (const definition of functions) library.bytes(1, functionMessage(definition));
  const graph = new Message();
  for (const node of nodes) graph.bytes(1, nodeMessage(node, graphReference));
  graph.bytes(4, versions).bytes(2, library);
  const information = new Message().bytes(4, tag).bytes(5, tensorflowVersion);
  const metaGraph = new Message().bytes(1, information).bytes(2, graph);
  return new Message().varint(1, 1).bytes(2, metaGraph).encode();
}

/**
 * Puts a function into a library under a digest of its content, so that equal ones are stored once:
 * XLA then compiles them once, whatever variables they are called with.
 */
export function addToLibrary(
  library: FunctionDefinition[],
  definition: Omit<FunctionDefinition, 'name'>,
): string {
  const content = functionMessage({ ...definition, name: '' }).encode();
  const name = `f_${createHash('sha256').update(content).digest('hex').slice(0, 24)}`;
  if (!library.some((other) => other.name === name)) library.push({ ...definition, name });
  return name;
}

function nodeMessage(node: Node, write: (reference: Reference) => string): Message {
  const message = new Message().bytes(1, node.name).bytes(2, node.op);
  for (const input of node.inputs) message.bytes(3, write(input));
  for (const name of node.after) message.bytes(3, `^${name}`);
  for (const [name, value] of Object.entries(node.attributes)) {
    message.entry(5, name, attributeMessage(value));
  }
  return message;
}

function graphReference(reference: Reference): string {
  if ('argument' in reference) return reference.argument;
  return reference.output === 0 ? reference.node : `${reference.node}:${reference.output}`;
}

function functionMessage(definition: FunctionDefinition): Message {
  const { effects = [], attributes = {} } = definition;
  const byName = new Map(definition.nodes.map((node) => [node.name, node]));
  // Inside a function, a tensor is named by its node, the name of the result and its place in it.
  const write = (reference: Reference) => {
    if ('argument' in reference) return reference.argument;
    const node = entryOf(byName, reference.node);
    let output = reference.output;
    for (const { name, countAttribute, listAttribute } of signatureOf(node.op)?.outputs ?? []) {
      const count = countOf(node, listAttribute ?? countAttribute);
      if (output < count) return `${node.name}:${name}:${output}`;
      output -= count;
    }
    throw new Error(`${node.op} has no output ${reference.output}.`);
  };
  const typed = (name: string, type: number) => new Message().bytes(1, name).varint(3, type);

  const signature = new Message().bytes(1, definition.name);
  for (const [index, type] of definition.inputs.entries()) {
    signature.bytes(2, typed(argument(index).argument, type));
  }
  for (const [index, { type }] of definition.outputs.entries()) {
    signature.bytes(3, typed(`result_${index}`, type));
  }
  for (const index of effects.keys()) signature.bytes(20, `effect_${index}`);
  if (effects.length > 0) signature.varint(17, 1);

  const message = new Message().bytes(1, signature);
  for (const node of definition.nodes) message.bytes(3, nodeMessage(node, write));
  for (const [index, { value }] of definition.outputs.entries()) {
    message.entry(4, `result_${index}`, write(value));
  }
  for (const [name, value] of Object.entries(attributes)) {
    message.entry(5, name, attributeMessage(value));
  }
  for (const [index, node] of effects.entries()) {
    message.entry(6, `effect_${index}`, node);
  }
  return message;
}

/** How many tensors a result has: one, or as many as an attribute says. */
function countOf(node: Node, attribute: string | undefined): number {
  if (attribute === undefined) return 1;
  const value = node.attributes[attribute];
  if (value && 'int' in value && typeof value.int === 'number') return value.int;
  if (value && 'type' in value && Array.isArray(value.type)) return value.type.length;
  throw new Error(`${node.op} lacks ${attribute}.`);
}

/** An AttrValue (attr_value.proto): the field number is the kind; 1 is a list of any kind. */
function attributeMessage(attribute: Attribute): Message {
  if ('string' in attribute) return new Message().bytes(2, attribute.string);
  if ('shape' in attribute) return new Message().bytes(7, shapeMessage(attribute.shape));
  if ('constant' in attribute) return new Message().bytes(8, tensorMessage(attribute.constant));
  if ('function' in attribute) {
    return new Message().bytes(10, new Message().bytes(1, attribute.function));
  }
  if ('float' in attribute) {
    return list(attribute.float, (message, value, field) => message.float(field, value), 4);
  }
  if ('int' in attribute) {
    return list(attribute.int, (message, value, field) => message.varint(field, value), 3);
  }
  if ('bool' in attribute) {
    return list(attribute.bool, (message, value, field) => message.varint(field, value ? 1 : 0), 5);
  }
  return list(attribute.type, (message, value, field) => message.varint(field, value), 6);
}

function list<T>(
  value: T | T[],
  write: (message: Message, value: T, field: number) => Message,
  field: number,
): Message {
  if (!Array.isArray(value)) return write(new Message(), value, field);
  const items = new Message();
  for (const item of value) write(items, item, field);
  return new Message().bytes(1, items);
}

function shapeMessage(shape: readonly number[]): Message {
  const message = new Message();
  for (const size of shape) message.bytes(2, new Message().varint(1, size));
  return message;
}

function tensorMessage(value: Value & { from: 'constant' }): Message {
  return new Message()
    .varint(1, value.type)
    .bytes(2, shapeMessage(value.shape))
    .bytes(4, value.content);
}

/**
 * A message of the protocol-buffer wire format: a list of fields, each a number with its content, in
 * memory that doubles when it is full. TensorFlow's .proto files define the numbers.
 */
class Message {
  private memory = Buffer.allocUnsafe(64);
  private length = 0;

  /** An integer, an enum or a bool. */
  varint(field: number, value: number | bigint): this {
    this.number(field << 3);
    this.number(value);
    return this;
  }

  /** A single-precision number. */
  float(field: number, value: number): this {
    this.number((field << 3) | 5);
    this.reserve(4);
    this.length = this.memory.writeFloatLE(value, this.length);
    return this;
  }

  /** A string, bytes, or a message. */
  bytes(field: number, value: string | Uint8Array | Message): this {
    const content =
      typeof value === 'string'
        ? Buffer.from(value)
        : value instanceof Message
          ? value.encode()
          : value;
    this.number((field << 3) | 2);
    this.number(content.length);
    this.reserve(content.length);
    this.memory.set(content, this.length);
    this.length += content.length;
    return this;
  }

  /** An entry of a map with string keys. */
  entry(field: number, key: string, value: string | Message): this {
    return this.bytes(field, new Message().bytes(1, key).bytes(2, value));
  }

  /** The bytes, in the message's own memory. */
  encode(): Uint8Array {
    return this.memory.subarray(0, this.length);
  }

  /** Seven bits per byte, lowest first; negative numbers in 64-bit two's complement. */
  private number(value: number | bigint): void {
    this.reserve(10);
    let rest = BigInt.asUintN(64, BigInt(value));
    do {
      const low = Number(rest & 127n);
      rest >>= 7n;
      this.memory[this.length++] = rest === 0n ? low : low | 128;
    } while (rest !== 0n);
  }

  private reserve(bytes: number): void {
    const needed = this.length + bytes;
    if (needed <= this.memory.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.memory.length));
    this.memory.copy(larger, 0, 0, this.length);
    this.memory = larger;
  }
}
