import { checkGiven, UserError } from '../core/errors.js';
import type { tf } from '../core/tf.js';
import { type Classes, classMixture, classOf, type Label, type NamedLabel } from './labels.js';

/** What samples are conditioned on: a class, or a caption. */
export interface Context {
  /** Class per sample; −1 or absent reads as no label. */
  label?: Label | undefined;
  /** The states of captions (batch, entries, width); absent reads as the empty caption. */
  text?: tf.Tensor3D | undefined;
}

/** A context as a user writes it: a model that was loaded knows the names of its classes. */
export interface NamedContext extends Omit<Context, 'label'> {
  /** Class per sample, by its number or its name; −1 or absent reads as no label. */
  label?: NamedLabel | undefined;
}

/** Options with labels as numbers. */
export type Numbered<T> = Omit<T, 'label'> & { label?: Label | undefined };

/**
 * Options with the classes of a model in place of their names.
 * @throws UserError for a name that is none
 */
export function numbered<T extends NamedContext>(
  model: { config: Classes; details?: { classNames?: readonly string[] | undefined } | undefined },
  options: T,
): Numbered<T> {
  checkGiven('The model', model, 'config');
  checkGiven('What stands for options', options);
  const numberOf = (one: string | number) =>
    typeof one === 'string' ? classOf(one, model.config, model.details?.classNames) : one;
  const { label, ...rest } = options;
  if (label === undefined || label instanceof Int32Array) return { ...rest, label };
  return { ...rest, label: typeof label === 'object' ? label.map(numberOf) : numberOf(label) };
}

/** The buffer of a model that reads captions that has the states of the empty one (entries, width). */
export const emptyCaption = 'empty_text';

/** What of a model's configuration says on what it can be conditioned. */
export interface Conditioned extends Classes {
  text?: { entries: number; width: number } | undefined;
}

/** A context in the form that models read: mixtures of classes, states of captions. */
export type ContextTensors = { classes?: tf.Tensor2D; text?: tf.Tensor3D };

/**
 * Labels and captions in the form that a model reads.
 *
 * @returns new tensors, which the caller frees; none for what is absent
 * @throws UserError for labels or captions that do not fit the model or the batch
 */
export function contextTensors(
  config: Conditioned,
  { label, text }: Context,
  batch: number,
): ContextTensors {
  if (text) checkText(config, text, batch);
  const classes = classMixture(config, label, batch);
  return { ...(classes && { classes }), ...(text && { text: text.clone() }) };
}

function checkText({ text: shape }: Conditioned, text: tf.Tensor3D, batch: number): void {
  if (!shape) {
    throw new UserError('A caption came for a model that reads none', 'Leave the caption out');
  }
  const expected = [batch, shape.entries, shape.width];
  if (text.shape.join() === expected.join()) return;
  throw new UserError(
    `The states of captions have shape (${text.shape.join(', ')})`,
    `Expected (${expected.join(', ')}): batch, entries, width`,
  );
}
