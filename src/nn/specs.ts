import { normal, type RandomKey, uniform } from '../core/random.js';
import { tf } from '../core/tf.js';
import { mapNodes } from '../core/tree.js';

/** A parameter before it exists: its shape, and how its first numbers are made. */
export interface LeafSpec {
  readonly shape: readonly number[];
  /** The first numbers, row by row. Nothing is drawn before this is called. */
  values(): Float32Array;
}

/** A tree of parameters before they exist: the same form, a {@link LeafSpec} for each tensor. */
export type Specs<P> = P extends tf.Tensor
  ? LeafSpec
  : P extends readonly (infer E)[]
    ? Specs<E>[]
    : { [key in keyof P]: Specs<P[key]> };

/** All numbers zero. */
export function zeros(shape: readonly number[]): LeafSpec {
  return { shape, values: () => new Float32Array(sizeOf(shape)) };
}

/** All numbers one. */
export function ones(shape: readonly number[]): LeafSpec {
  return { shape, values: () => new Float32Array(sizeOf(shape)).fill(1) };
}

/** Normal numbers of mean 0 and the given standard deviation. */
export function normals(key: RandomKey, shape: readonly number[], deviation: number): LeafSpec {
  return {
    shape,
    values: () => normal(key, sizeOf(shape)).map((value) => value * deviation),
  };
}

/** Uniform numbers from −bound to bound. */
export function uniforms(key: RandomKey, shape: readonly number[], bound: number): LeafSpec {
  return {
    shape,
    values: () => uniform(key, sizeOf(shape)).map((value) => (2 * value - 1) * bound),
  };
}

/** The shapes of a tree's leaves by their dotted names, in the order of the tree. */
export function shapesOf(specs: unknown): Record<string, readonly number[]> {
  const shapes: Record<string, readonly number[]> = {};
  mapNodes(specs, isLeaf, (leaf, name) => {
    shapes[name] = leaf.shape;
  });
  return shapes;
}

/**
 * The tree that specifications describe, with a tensor for each.
 *
 * @param make called with each leaf and its dotted name; by default it makes the first numbers
 */
export function built<P>(
  specs: Specs<P>,
  make: (leaf: LeafSpec, name: string) => tf.Tensor = (leaf) =>
    tf.tensor(leaf.values(), [...leaf.shape]),
): P {
  return mapNodes(specs, isLeaf, make) as P;
}

function isLeaf(node: unknown): node is LeafSpec {
  // Arrays have a function of that name, too.
  return !Array.isArray(node) && typeof (node as LeafSpec).values === 'function';
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, side) => size * side, 1);
}
