import { normal, type RandomKey, uniform } from '../core/random.js';
import { tf } from '../core/tf.js';
import { mapNodes } from '../core/tree.js';

/** A parameter before it exists: its shape, and how its first numbers are made. */
export interface LeafSpec<T extends tf.Tensor = tf.Tensor> {
  readonly shape: readonly number[];
  /** The first numbers, row by row. Nothing is drawn before this is called. */
  values(): Float32Array;
  /** Says to the compiler which tensor it becomes; there is never one. */
  readonly becomes?: T;
}

/** A tree of parameters before they exist: the same form, a {@link LeafSpec} for each tensor. */
export type Specs<P> = P extends tf.Tensor
  ? LeafSpec<P>
  : P extends readonly (infer E)[]
    ? Specs<E>[]
    : { [key in keyof P]: Specs<P[key]> };

/** The tree of parameters that specifications describe, the way back of {@link Specs}. */
export type Specified<S> =
  S extends LeafSpec<infer T>
    ? T
    : S extends readonly (infer E)[]
      ? Specified<E>[]
      : { [key in keyof S]: Specified<S[key]> };

/** A specification of the rank of a shape. */
type Shaped<S extends tf.Shape> = LeafSpec<tf.Ranked[S['length']]>;

/** All numbers zero. */
export function zeros<const S extends tf.Shape>(shape: S): Shaped<S> {
  return { shape, values: () => new Float32Array(sizeOf(shape)) };
}

/** All numbers one. */
export function ones<const S extends tf.Shape>(shape: S): Shaped<S> {
  return { shape, values: () => new Float32Array(sizeOf(shape)).fill(1) };
}

/** Normal numbers of mean 0 and the given standard deviation. */
export function normals<const S extends tf.Shape>(
  key: RandomKey,
  shape: S,
  deviation: number,
): Shaped<S> {
  return {
    shape,
    values: () => normal(key, sizeOf(shape)).map((value) => value * deviation),
  };
}

/** Uniform numbers from −bound to bound. */
export function uniforms<const S extends tf.Shape>(
  key: RandomKey,
  shape: S,
  bound: number,
): Shaped<S> {
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
