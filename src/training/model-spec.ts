import { UserError } from '../core/errors.js';
import { randomKey } from '../core/random.js';
import type { tf } from '../core/tf.js';
import type { Leaves, Tree } from '../core/tree.js';
import type { Family, Model, ModelConfig, Objective } from '../flow/model.js';
import { built, type LeafSpec, shapesOf } from '../nn/specs.js';

/** A model without its numbers, and what trains it. */
export interface ModelSpec<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  readonly family: Family<C, P>;
  readonly config: C;
  /** Shapes of all parameters, in their order. */
  readonly shapes: Record<string, readonly number[]>;
  /** Names of the buffers. */
  readonly buffers: readonly string[];
  /** In the order of a step. No two train the same leaf. */
  readonly tasks: readonly Task<C, P>[];
  /** A model that has the given tensors, which it shares. */
  model(parameters: Leaves, buffers: Leaves): Model<C, P>;
}

/** An objective, and the names of the leaves that it trains. */
export interface Task<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  readonly objective: Objective<C, P>;
  readonly leaves: readonly string[];
}

/** What a family says of its models of one configuration. It allocates nothing. */
export function modelSpec<C extends ModelConfig, P extends Tree>(
  family: Family<C, P>,
  config: C,
): ModelSpec<C, P> {
  // The key decides first numbers, and none are drawn.
  const specs = family.specs(config, randomKey(0));
  const shapes = shapesOf(specs.parameters);
  const names = Object.keys(shapes);
  const tasks = family.objectives(config).map((objective) => ({
    objective,
    leaves: names.filter((name) => objective.trains(name)),
  }));
  checkTasks(config.kind, tasks);
  return {
    family,
    config,
    shapes,
    buffers: Object.keys(specs.buffers),
    tasks,
    model: (parameters, buffers) => ({
      family,
      config,
      parameters: built(specs.parameters, (leaf, name) => fitting(parameters, leaf, name)),
      buffers: Object.fromEntries(
        Object.entries(specs.buffers).map(([name, leaf]) => [name, fitting(buffers, leaf, name)]),
      ),
    }),
  };
}

function fitting(tensors: Leaves, { shape }: LeafSpec, name: string): tf.Tensor {
  const tensor = tensors[name];
  if (!tensor) {
    throw new UserError(`There is no tensor for ${name}`, `Expected one of shape (${shape})`);
  }
  if (tensor.shape.join() !== shape.join()) {
    throw new UserError(`The tensor ${name} has shape (${tensor.shape})`, `Expected (${shape})`);
  }
  return tensor;
}

/** A family that does not keep to the rules is a mistake in its code. */
function checkTasks(kind: string, tasks: readonly Task<never, never>[]): void {
  const owners = new Map<string, string>();
  const names = new Set<string>();
  for (const { objective, leaves } of tasks) {
    const { name } = objective;
    if (!/^[A-Za-z]+$/.test(name) || names.has(name)) {
      throw new Error(`${kind} has an objective '${name}': expected letters, each name once.`);
    }
    names.add(name);
    if (leaves.length === 0) throw new Error(`The objective ${name} of ${kind} trains nothing.`);
    for (const leaf of leaves) {
      const other = owners.get(leaf);
      if (other) throw new Error(`The objectives ${other} and ${name} of ${kind} train ${leaf}.`);
      owners.set(leaf, name);
    }
  }
  if (tasks.length === 0) throw new Error(`${kind} has no objective.`);
}
