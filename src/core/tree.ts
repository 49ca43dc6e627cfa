import type { Leaves } from '@tarflow/graph';
import { UserError } from './errors.js';
import { tf, tidy } from './tf.js';

/**
 * A parameter tree: tensors in nested records and lists. The name of a leaf is its dotted path
 * (`blocks.0.proj_in.weight`), which for a flow is the name in the published state dicts.
 */
export type Tree = tf.Tensor | readonly Tree[] | { readonly [key: string]: Tree | undefined };

/** The leaves of a tree by name, in a fixed order. */
export type { Leaves };

/** The leaves of a tree by their dotted names, in the order of the tree. */
export function leaves(tree: Tree): Leaves {
  const found: Leaves = {};
  visit(tree, '', (name, leaf) => {
    found[name] = leaf;
  });
  return found;
}

/** What of named tensors stands under a prefix, without it. */
export function under(tensors: Leaves, prefix: string): Leaves {
  return Object.fromEntries(
    Object.entries(tensors)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, tensor]) => [name.slice(prefix.length), tensor]),
  );
}

/** Named tensors under a prefix. */
export function withPrefix(tensors: Leaves, prefix: string): Leaves {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [prefix + name, tensor]),
  );
}

/**
 * A tree of the same form with each leaf replaced by the tensor of its name. The tree shares the
 * tensors of `replacement`; additional ones are not used.
 *
 * @throws UserError for a leaf that is missing or has another shape
 */
export function withLeaves<T extends Tree>(tree: T, replacement: Leaves): T {
  return mapTree(tree, (leaf, name) => {
    const value = replacement[name];
    if (!value) {
      throw new UserError(
        `There is no tensor for the leaf ${name}`,
        `Give one of shape (${leaf.shape}) under this name`,
      );
    }
    if (value.shape.join() !== leaf.shape.join()) {
      throw new UserError(
        `The leaf ${name} got a tensor of shape (${value.shape})`,
        `Expected (${leaf.shape})`,
      );
    }
    return value;
  });
}

/** A tree of the same form with `f` applied to each leaf. */
export function mapTree<T extends Tree>(
  tree: T,
  f: (leaf: tf.Tensor, name: string) => tf.Tensor,
): T {
  return mapFrom(tree, '', f) as T;
}

/** Frees every leaf. */
export function disposeTree(tree: Tree): void {
  visit(tree, '', (_, leaf) => leaf.dispose());
}

/**
 * All leaves as one vector, in their order, so that a cost per tensor, as in the update of an
 * optimiser, is paid once.
 */
export function packed(given: Leaves): tf.Tensor1D {
  return tidy(() => tf.concat1d(Object.values(given).map((leaf) => tf.reshape(leaf, [-1]))));
}

/**
 * The leaves that `packed` joined into a vector; `like` has their names and shapes.
 *
 * @throws UserError for a vector of another length
 */
export function unpacked(
  vector: tf.Tensor1D,
  like: Record<string, { readonly shape: readonly number[]; readonly size: number }>,
): Leaves {
  const entries = Object.entries(like);
  const sizes = entries.map(([, { size }]) => size);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (vector.size !== total) {
    throw new UserError(
      `${vector.size} numbers came for ${entries.length} leaves`,
      `Expected ${total}, as \`packed\` joins these leaves`,
    );
  }
  return tidy(() => {
    const pieces = tf.split(vector, sizes) as tf.Tensor1D[];
    return Object.fromEntries(
      entries.map(([name, { shape }], i) => [
        name,
        tf.reshape(pieces[i] as tf.Tensor1D, [...shape]),
      ]),
    );
  });
}

/** How many numbers a tree holds. */
export function treeSize(tree: Tree): number {
  let size = 0;
  visit(tree, '', (_, leaf) => {
    size += leaf.size;
  });
  return size;
}

/**
 * The value of a scalar function and its gradient with respect to every leaf.
 *
 * Unlike `tf.variableGrads` it takes plain tensors, so parameters need not be global variables.
 * The gradient of a leaf on which the value does not depend is zero. Auxiliary tensors of `f` are
 * returned too. The caller owns all of these tensors.
 */
export function valueAndGradient<A extends Record<string, tf.Tensor>>(
  f: (parameters: Leaves) => { value: tf.Scalar; auxiliary: A },
  parameters: Leaves,
): { value: tf.Scalar; gradient: Leaves; auxiliary: A } {
  const names = Object.keys(parameters);
  const inputs = names.map((name) => parameters[name] as tf.Tensor);
  let auxiliary = {} as A;
  const result = tf.engine().gradients(
    () => {
      const outcome = f(parameters);
      auxiliary = { ...outcome.auxiliary };
      for (const tensor of Object.values(auxiliary)) tf.keep(tensor);
      return outcome.value;
    },
    inputs,
    undefined,
    true,
  );
  for (const [name, kept] of Object.entries(auxiliary)) {
    // A clone belongs to the caller's scope, where `tidy` can free it.
    (auxiliary as Record<string, tf.Tensor>)[name] = tf.clone(kept);
    kept.dispose();
  }
  const gradient: Leaves = {};
  names.forEach((name, index) => {
    gradient[name] = (result.grads[index] ?? tf.zerosLike(inputs[index] as tf.Tensor)) as tf.Tensor;
  });
  return { value: result.value as tf.Scalar, gradient, auxiliary };
}

function visit(tree: Tree, name: string, f: (name: string, leaf: tf.Tensor) => void): void {
  if (tree instanceof tf.Tensor) {
    f(name, tree);
    return;
  }
  for (const [key, child] of Object.entries(tree) as [string, Tree | undefined][]) {
    if (child !== undefined) visit(child, join(name, key), f);
  }
}

function mapFrom(tree: Tree, name: string, f: (leaf: tf.Tensor, name: string) => tf.Tensor): Tree {
  if (tree instanceof tf.Tensor) return f(tree, name);
  if (Array.isArray(tree)) {
    return (tree as readonly Tree[]).map((child, i) => mapFrom(child, join(name, String(i)), f));
  }
  const mapped: Record<string, Tree> = {};
  for (const [key, child] of Object.entries(tree) as [string, Tree | undefined][]) {
    if (child !== undefined) mapped[key] = mapFrom(child, join(name, key), f);
  }
  return mapped;
}

function join(name: string, key: string): string {
  return name === '' ? key : `${name}.${key}`;
}
