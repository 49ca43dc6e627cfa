import { createHash } from 'node:crypto';
import type { Attribute, Value } from '../trace/operations.js';
import { signatureOf } from '../trace/signatures.js';
import type { Node, Reference } from './graph.js';
import { Message } from './protobuf.js';

/** The tag under which a program's graph is saved and loaded. */
export const tag = 'graph';

/** A function in the library of a graph: arguments, results, nodes, and nodes that have to run. */
export interface FunctionDefinition {
  name: string;
  inputs: { name: string; type: number }[];
  outputs: { name: string; type: number; value: Reference }[];
  nodes: Node[];
  effects: string[];
  attributes: Record<string, Attribute>;
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
  const byName = new Map(definition.nodes.map((node) => [node.name, node]));
  // Inside a function, a tensor is named by its node, the name of the result and its place in it.
  const write = (reference: Reference) => {
    if ('argument' in reference) return reference.argument;
    const node = byName.get(reference.node) as Node;
    let output = reference.output;
    for (const { name, countAttribute, listAttribute } of signatureOf(node.op)?.outputs ?? []) {
      const list = node.attributes[listAttribute ?? ''] as { type: number[] } | undefined;
      const count = list
        ? list.type.length
        : countAttribute === undefined
          ? 1
          : countOf(node, countAttribute);
      if (output < count) return `${node.name}:${name}:${output}`;
      output -= count;
    }
    throw new Error(`${node.op} has no output ${reference.output}.`);
  };
  const argument = ({ name, type }: { name: string; type: number }) =>
    new Message().bytes(1, name).varint(3, type);

  const signature = new Message().bytes(1, definition.name);
  for (const input of definition.inputs) signature.bytes(2, argument(input));
  for (const output of definition.outputs) signature.bytes(3, argument(output));
  for (const index of definition.effects.keys()) signature.bytes(20, `effect_${index}`);
  if (definition.effects.length > 0) signature.varint(17, 1);

  const message = new Message().bytes(1, signature);
  for (const node of definition.nodes) message.bytes(3, nodeMessage(node, write));
  for (const { name, value } of definition.outputs) message.entry(4, name, write(value));
  for (const [name, value] of Object.entries(definition.attributes)) {
    message.entry(5, name, attributeMessage(value));
  }
  for (const [index, node] of definition.effects.entries()) {
    message.entry(6, `effect_${index}`, node);
  }
  return message;
}

function countOf(node: Node, attribute: string): number {
  const value = node.attributes[attribute];
  if (value === undefined || !('int' in value)) throw new Error(`${node.op} lacks ${attribute}.`);
  return value.int as number;
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
