import type { Leaves } from '@tarflow/graph';
import { UserError } from './errors.js';
import { tf } from './tf.js';

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
  mapTree(tree, (tensor, name) => {
    found[name] = tensor;
    return tensor;
  });
  return found;
}

/** The tree of records whose leaves have these dotted names, the way back of {@link leaves}. */
export function nested<T extends Tree>(tensors: Leaves): T {
  const alone = Object.entries(tensors).filter(([name]) => !name.includes('.'));
  const groups = Object.entries(grouped(tensors));
  const inner = groups.map(([name, group]): [string, Tree] => [name, nested(group)]);
  return Object.fromEntries([...alone, ...inner]) as Tree as T;
}

/**
 * Named tensors by what stands before the first dot of their names, as `leaves` joins records of them.
 * Names without a dot are left out.
 */
export function grouped(tensors: Leaves): Record<string, Leaves> {
  const groups: Record<string, Leaves> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const dot = name.indexOf('.');
    if (dot < 0) continue;
    const group = name.slice(0, dot);
    groups[group] ??= {};
    groups[group][name.slice(dot + 1)] = tensor;
  }
  return groups;
}

/**
 * A leaf by its name, with the type of its rank.
 * @throws UserError where it is missing or has another rank
 */
export function leaf<R extends keyof tf.Ranked>(
  found: Leaves,
  name: string,
  rank: R,
): tf.Ranked[R] {
  const tensor = found[name];
  if (tensor && hasRank(tensor, rank)) return tensor;
  const came = tensor ? `has shape (${tensor.shape})` : 'is missing';
  throw new UserError(`The tensor ${name} ${came}`, `Expected one of ${rank} axes`);
}

function hasRank<R extends keyof tf.Ranked>(tensor: tf.Tensor, rank: R): tensor is tf.Ranked[R] {
  return tensor.rank === rank;
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
  return mapNodes(tree, isTensor, f) as T;
}

/** {@link mapTree} for leaves of any kind. */
export function mapNodes<L>(
  node: unknown,
  isLeaf: (node: unknown) => node is L,
  f: (leaf: L, name: string) => unknown,
  name = '',
): unknown {
  if (isLeaf(node)) return f(node, name);
  const inner = (child: unknown, key: string | number): unknown =>
    mapNodes(child, isLeaf, f, name === '' ? `${key}` : `${name}.${key}`);
  if (Array.isArray(node)) return node.map(inner);
  const present = Object.entries(node as object).filter(([, child]) => child !== undefined);
  return Object.fromEntries(present.map(([key, child]) => [key, inner(child, key)]));
}

function isTensor(node: unknown): node is tf.Tensor {
  return node instanceof tf.Tensor;
}

/** Frees every leaf. */
export function disposeTree(tree: Tree): void {
  tf.dispose(leaves(tree));
}

/** How many numbers a tree holds. */
export function treeSize(tree: Tree): number {
  return Object.values(leaves(tree)).reduce((sum, { size }) => sum + size, 0);
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
  const inputs = Object.values(parameters);
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
  const gradient = Object.fromEntries(
    Object.entries(parameters).map(([name, input], index): [string, tf.Tensor] => [
      name,
      result.grads[index] ?? tf.zerosLike(input),
    ]),
  );
  return { value: result.value, gradient, auxiliary };
}
