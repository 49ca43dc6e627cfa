import { UserError } from '../backend/errors.js';
import { randomKey } from '../backend/random.js';
import { tf } from '../backend/tf.js';
import { type Leaves, leaves, type Tree, withLeaves } from '../backend/tree.js';
import { built } from '../nn/specs.js';
import type { Family, Model, ModelConfig } from './model.js';

/** A tensor of a state dict: one of the engine, or its shape and its numbers. */
export type StateTensor = tf.Tensor | { shape: readonly number[]; data: ArrayLike<number> };

/**
 * A model from a state dict: its buffers and parameters by their names. The tensors of the dict stay
 * the caller's.
 *
 * @param source what to call the dict in errors, e.g. its path
 * @returns a model that the caller frees
 * @throws UserError that names a tensor that is missing, left over or of the wrong shape
 */
export function modelOfState<C extends ModelConfig, P extends Tree>(
  family: Family<C, P>,
  config: C,
  state: Record<string, StateTensor>,
  source: string,
): Model<C, P> {
  const { ignored } = family.published ?? {};
  const unread = new Set(Object.keys(state).filter((name) => !ignored?.test(name)));
  const made: tf.Tensor[] = [];
  const take = ({ shape }: { shape: readonly number[] }, name: string): tf.Tensor => {
    const tensor = state[name];
    if (!tensor) {
      throw new UserError(
        `${source}: tensor ${name} is missing`,
        `Expected it with shape (${shape.join(', ')})`,
      );
    }
    if (tensor.shape.join() !== shape.join()) {
      throw new UserError(
        `${source}: tensor ${name} has shape (${tensor.shape.join(', ')})`,
        `Expected (${shape.join(', ')}) for this configuration`,
      );
    }
    unread.delete(name);
    const taken =
      tensor instanceof tf.Tensor
        ? tensor.clone()
        : tf.tensor(Float32Array.from(tensor.data), [...shape]);
    made.push(taken);
    return taken;
  };
  try {
    const specs = family.specs(config, randomKey(0));
    const parameters = built<P>(specs.parameters, take);
    const buffers = built<Leaves>(specs.buffers, take);
    if (unread.size > 0) {
      throw new UserError(
        `${source}: ${unread.size} tensors do not belong to this model, the first of them ${[...unread][0]}`,
        'Check the numbers of blocks, layers and classes of the configuration',
      );
    }
    return { family, config, parameters, buffers };
  } catch (error) {
    tf.dispose(made);
    throw error;
  }
}

/** The same model with other tensors under the names of its state dict. */
export function withStateDict(model: Model, state: Leaves): Model {
  const parameters = withLeaves(model.parameters, state);
  return { ...model, parameters, buffers: withLeaves(model.buffers, state) };
}

/** The state dict of a model: buffers and parameters by their names; the tensors stay the model's. */
export function stateDict({ buffers, parameters }: Model): Record<string, tf.Tensor> {
  return { ...buffers, ...leaves(parameters) };
}
