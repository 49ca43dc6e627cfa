import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { disposeTree, type Leaves } from '../core/tree.js';
import type { LatentFacts } from '../data/description.js';
import type { ModelConfig } from '../flow/model.js';
import type { StartingPoint } from './run-description.js';
import { prefixes } from './state.js';

/** A starting point with what a run takes from it. */
export interface LoadedStartingPoint extends StartingPoint {
  config: ModelConfig;
  /** Of what latents it was trained on, as far as its file says it. */
  latents?: LatentFacts | undefined;
  /** Under the names of a training state: parameters, and their running mean where there is one. */
  state: Leaves;
}

/**
 * The state that a run begins with: a fresh one with all that a starting point has in its place. The
 * running mean, where the run keeps one, is the starting point's, or where that has none its
 * parameters; moments stay fresh. Parameters that the run does not train begin with their mean, where
 * there is one: they stay what they are in the other run's checkpoint.
 *
 * @param fresh is freed
 * @param given a starting point's state, which stays the caller's
 * @throws UserError where they are of different models
 */
export function beginningState(fresh: Leaves, given: Leaves): Leaves {
  try {
    const left = Object.keys(given).find(
      (name) => !(name in fresh) && !name.startsWith(prefixes.average),
    );
    if (left !== undefined) throw ofAnotherModel(left, given[left], undefined);
    return tidy(() => {
      const begun = Object.entries(fresh).map(([name, leaf]): [string, tf.Tensor] => {
        const found = namesToTake(name, fresh).flatMap((one) => given[one] ?? [])[0];
        const isTaken = found !== undefined || name.startsWith(prefixes.parameter);
        if (isTaken && found?.shape.join() !== leaf.shape.join()) {
          throw ofAnotherModel(name, found, leaf);
        }
        return [name, tf.clone(found ?? leaf)];
      });
      return Object.fromEntries(begun);
    });
  } finally {
    disposeTree(fresh);
  }
}

/** Under which names a starting point may have what a run begins with, the best first. */
function namesToTake(name: string, fresh: Leaves): string[] {
  const { parameter, average, first } = prefixes;
  if (name.startsWith(average)) return [name, parameter + name.slice(average.length)];
  const leaf = name.startsWith(parameter) ? name.slice(parameter.length) : undefined;
  const untrained = leaf !== undefined && !(first + leaf in fresh);
  return untrained ? [average + leaf, name] : [name];
}

function ofAnotherModel(
  name: string,
  came: tf.Tensor | undefined,
  expected: tf.Tensor | undefined,
): UserError {
  const shown = (tensor: tf.Tensor | undefined) =>
    tensor ? `(${tensor.shape.join(', ')})` : 'none';
  return new UserError(
    `What the run begins with has ${name} of shape ${shown(came)}, the run's model ${shown(expected)}`,
    'Begin with a file of the same model',
  );
}
