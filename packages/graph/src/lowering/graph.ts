import type { Attribute } from '../trace/operations.js';

/** A tensor in a graph: an output of a node, or an argument of the function that the nodes form. */
export type Reference = { node: string; output: number } | { argument: string };

export interface Node {
  name: string;
  op: string;
  inputs: Reference[];
  /** Nodes that have to run before this one. */
  after: string[];
  attributes: Record<string, Attribute>;
}

/** The nodes of a graph, or of the body of a function, in an order in which they can run. */
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

/** Attributes of a node whose function XLA compiles. */
export const compiledCall: Record<string, Attribute> = { _XlaMustCompile: { bool: true } };

/**
 * Attributes of the function itself. The second one keeps the graph optimiser away, whose temporary
 * variables XLA refuses.
 */
export const compiledDefinition: Record<string, Attribute> = {
  ...compiledCall,
  _tf_data_function: { bool: true },
};
