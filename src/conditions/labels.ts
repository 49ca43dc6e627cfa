import { UserError } from '../backend/errors.js';
import { tf } from '../backend/tf.js';

/**
 * Class labels: one for the whole batch, or one per sample. −1 is a dropped label, which the model
 * reads as the mean of all classes; so is an absent label.
 */
export type Label = number | readonly number[] | Int32Array;

/**
 * Labels as mixtures of classes: a one-hot row for a label, a uniform row for a dropped one. A
 * product with it takes rows of the class table on every engine, and spreads the gradient of a
 * dropped label over all classes.
 *
 * @returns (batch, classes), or nothing where no label is given or the model has no classes
 * @throws UserError for a label out of range, a wrong number of labels, or labels for a model
 *   without classes
 */
export function classMixture(
  { classes }: { classes: number },
  label: Label | undefined,
  batch: number,
): tf.Tensor2D | undefined {
  if (label === undefined) return undefined;
  if (classes === 0) {
    throw new UserError('A label came for a model without classes', 'Leave the label away');
  }
  return tf.tensor2d(mixtureRows(label, batch, classes), [batch, classes]);
}

/** The mixture of dropped labels for some rows, by name; nothing where the model has no classes. */
export function droppedClasses(
  { classes }: { classes: number },
  rows: number,
): { classes?: tf.Tensor2D } {
  if (classes === 0) return {};
  return { classes: tf.fill([rows, classes], 1 / classes) as tf.Tensor2D };
}

/** The numbers of {@link classMixture}, row by row. */
export function mixtureRows(label: Label, batch: number, classes: number): Float32Array {
  const labels = typeof label === 'number' ? new Array<number>(batch).fill(label) : label;
  if (labels.length !== batch) {
    throw new UserError(`${labels.length} labels came for ${batch} samples`, 'Give one for each');
  }
  const rows = new Float32Array(batch * classes);
  labels.forEach((value: number, sample: number) => {
    if (!Number.isInteger(value) || value < -1 || value >= classes) {
      throw new UserError(
        `Label ${value} of sample ${sample} is out of range`,
        `This model has ${classes} classes: expected 0 to ${classes - 1}, or -1 for a dropped label`,
      );
    }
    if (value < 0) rows.fill(1 / classes, sample * classes, (sample + 1) * classes);
    else rows[sample * classes + value] = 1;
  });
  return rows;
}
