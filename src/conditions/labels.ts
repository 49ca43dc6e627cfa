import { counted, didYouMean, UserError } from '../core/errors.js';
import { tf } from '../core/tf.js';

/**
 * Class labels: one for the whole batch, or one per sample. −1 is a dropped label: the model reads it as
 * the mean of all classes, or as a class of its own where it has one for that. It reads an absent label in
 * the same way.
 */
export type Label = number | readonly number[] | Int32Array;

/** Labels as a user writes them: names of classes, too. */
export type NamedLabel = Label | string | readonly string[];

/**
 * The class that a name stands for, whatever its capitals; a number in words stands for itself.
 * @throws UserError that names the nearest class
 */
export function classOf(name: string, { classes }: Classes, names: readonly string[] = []): number {
  if (classes === 0) {
    throw new UserError('A label came for a model without classes', 'Leave the label out');
  }
  const named = names.findIndex((one) => one.toLowerCase() === name.toLowerCase());
  const index = named >= 0 ? named : /^\d+$/.test(name) ? Number(name) : -1;
  if (index >= 0 && index < classes) return index;
  throw new UserError(
    `This model has no label '${name}'`,
    `${didYouMean(name, names)}Expected 0 to ${classes - 1}` +
      (names.length > 0 ? ` (${names.join(', ')})` : ''),
  );
}

/** What of a model's configuration says how labels are read. */
export interface Classes {
  classes: number;
  /** True where a dropped label is a class of its own, the last one. */
  nullClass?: boolean | undefined;
}

/** The length of a mixture of classes: their number, and one more where a dropped label has its own. */
export function mixtureWidth({ classes, nullClass = false }: Classes): number {
  return classes === 0 ? 0 : classes + (nullClass ? 1 : 0);
}

/**
 * Labels as mixtures of classes: a one-hot row for a label, and for a dropped one a uniform row, or
 * that of its own class. A product with it takes rows of the class table on every engine, and spreads the
 * gradient of a dropped label over all classes.
 *
 * @returns (batch, classes), or (batch, classes + 1) where a dropped label has a class of its own; undefined
 *   without a label. The caller frees it
 * @throws UserError for a label out of range, a wrong number of labels, or labels for a model
 *   without classes
 */
export function classMixture(
  config: Classes,
  label: Label | undefined,
  batch: number,
): tf.Tensor2D | undefined {
  if (label === undefined) return undefined;
  if (config.classes === 0) {
    throw new UserError('A label came for a model without classes', 'Leave the label out');
  }
  return tf.tensor2d(mixtureRows(label, batch, config), [batch, mixtureWidth(config)]);
}

/** The mixture of dropped labels for some rows, by name; nothing where the model has no classes. */
export function droppedClasses(config: Classes, rows: number): { classes?: tf.Tensor2D } {
  const { classes, nullClass = false } = config;
  if (classes === 0) return {};
  if (!nullClass) return { classes: tf.fill([rows, classes], 1 / classes) };
  return { classes: tf.tensor2d(mixtureRows(-1, rows, config), [rows, classes + 1]) };
}

/** The numbers of {@link classMixture}, row by row. */
export function mixtureRows(label: Label, batch: number, config: Classes): Float32Array {
  const { classes, nullClass = false } = config;
  const width = mixtureWidth(config);
  const labels = typeof label === 'number' ? new Array<number>(batch).fill(label) : label;
  if (labels.length !== batch) {
    throw new UserError(
      `${counted(labels.length, 'label')} came for ${counted(batch, 'sample')}`,
      'Give one for each',
    );
  }
  const rows = new Float32Array(batch * width);
  labels.forEach((value: number, sample: number) => {
    if (!Number.isInteger(value) || value < -1 || value >= classes) {
      throw new UserError(
        `Label ${value} of sample ${sample} is out of range`,
        `This model has ${classes} classes: expected 0 to ${classes - 1}, or -1 for a dropped label`,
      );
    }
    if (value >= 0) rows[sample * width + value] = 1;
    else if (nullClass) rows[(sample + 1) * width - 1] = 1;
    else rows.fill(1 / classes, sample * width, (sample + 1) * width);
  });
  return rows;
}
