import { randomKey } from '../core/random.js';
import { tf } from '../core/tf.js';
import { type Leaves, leaves, type Tree, withLeaves } from '../core/tree.js';
import { checkWeights } from '../formats/network-weights.js';
import { built, shapesOf } from '../nn/specs.js';
import type { Family, Model, ModelConfig } from './model.js';

/** A tensor of a state dict: one of the engine, or its shape and its numbers. */
export type StateTensor = tf.Tensor | { shape: readonly number[]; data: ArrayLike<number> };

/**
 * A model from a state dict: its buffers and parameters by their names. The tensors of the dict stay
 * the caller's.
 *
 * @param source what to call the dict in errors, e.g. its path
 * @returns a model that the caller frees
 * @throws UserError with the names of tensors that are missing, unexpected or of another shape
 */
export function modelOfState<C extends ModelConfig, P extends Tree>(
  family: Family<C, P>,
  config: C,
  state: Record<string, StateTensor>,
  source: string,
): Model<C, P> {
  const specs = family.specs(config, randomKey(0));
  const expected = { ...shapesOf(specs.buffers), ...shapesOf(specs.parameters) };
  checkState(family, config, expected, { path: source, tensors: state });
  const made: tf.Tensor[] = [];
  const take = ({ shape }: { shape: readonly number[] }, name: string): tf.Tensor => {
    const tensor = state[name] as StateTensor;
    const taken =
      tensor instanceof tf.Tensor
        ? tensor.clone()
        : tf.tensor(Float32Array.from(tensor.data), [...shape]);
    made.push(taken);
    return taken;
  };
  try {
    const parameters = built<P>(specs.parameters, take);
    const buffers = built<Leaves>(specs.buffers, take);
    return { family, config, parameters, buffers };
  } catch (error) {
    tf.dispose(made);
    throw error;
  }
}

/** Checks all tensors before any is taken; the remedy is one for a model whose configuration is known. */
function checkState<C extends ModelConfig, P extends Tree>(
  family: Family<C, P>,
  config: C,
  expected: Record<string, readonly number[]>,
  file: Parameters<typeof checkWeights>[0],
): void {
  checkWeights(
    file,
    {
      network: `a model of kind '${family.kind}' (${family.title(config)})`,
      remedy:
        'Take a complete file, or check the numbers of blocks, layers and classes of the configuration',
    },
    expected,
    (name) => family.published?.ignored.test(name) ?? false,
  );
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
