import { UserError } from '../errors.js';
import { tf } from '../tf.js';

/** Tensors by name. */
export type Leaves = Record<string, tf.Tensor>;

/** Shape and element type of a tensor. */
export interface TensorSpec {
  readonly shape: readonly number[];
  readonly dtype: 'float32' | 'int32' | 'bool';
}

/**
 * How a program's functions run.
 * - `graph`: as TensorFlow graphs. On the processor XLA compiles large elementwise operations and
 *   normalisations within them, so that their numbers pass through memory once.
 * - `xla`: as TensorFlow graphs that XLA compiles as a whole. That takes seconds at the first call
 *   and pays off for small tensors.
 * - `eager`: op by op, on every engine. This is the reference for the other two.
 */
export type Mode = 'graph' | 'xla' | 'eager';

/** Whether matrix products take their arguments in float32, or cast to bfloat16. */
export type Precision = 'float32' | 'bfloat16';

/** What a function of a program returns: tensors, and new values of variables by their names. */
export interface Outcome {
  outputs: Record<string, tf.Tensor>;
  updates?: Record<string, tf.Tensor>;
}

/** A function of a program, without its static types. */
export type Body = (
  variables: Record<string, tf.Tensor>,
  inputs: Record<string, tf.Tensor>,
) => Outcome;

/** A program's functions by name, without their static types. */
export type Functions = Record<string, { inputs: Record<string, TensorSpec>; body: Body }>;

/**
 * The outputs and updates of a body.
 * @throws UserError for anything but tensors, and for an update that does not fit its variable
 */
export function checkedOutcome(
  name: string,
  outcome: Outcome,
  variables: Record<string, tf.Tensor>,
): Required<Outcome> {
  const { outputs, updates = {} } = outcome ?? {};
  if (typeof outputs !== 'object' || outputs === null) {
    throw new UserError(
      `The function ${name} returned no outputs`,
      'Expected { outputs, updates? } of tensors by name, not a promise',
    );
  }
  for (const [kind, tensors] of Object.entries({ output: outputs, update: updates })) {
    for (const [key, tensor] of Object.entries(tensors)) {
      if (tensor instanceof tf.Tensor) continue;
      throw new UserError(
        `The function ${name} returned ${described(tensor)} as the ${kind} ${key}`,
        'Expected a tensor',
      );
    }
  }
  for (const [key, update] of Object.entries(updates)) {
    const variable = variables[key];
    if (!variable) throw new UserError(`${name} updates ${key}`, 'Expected the name of a variable');
    if (update.dtype !== variable.dtype || !tf.util.arraysEqual(update.shape, variable.shape)) {
      throw new UserError(
        `${name} updates ${key} by ${update.dtype} (${update.shape})`,
        `Expected ${variable.dtype} (${variable.shape})`,
      );
    }
  }
  return { outputs, updates };
}

/** In words, what was given in place of a tensor. */
export function described(value: unknown): string {
  if (typeof value !== 'object' || value === null) return `${value}`;
  const kind = value.constructor?.name ?? 'Object';
  return 'length' in value ? `${kind} of ${value.length}` : `a ${kind}`;
}
