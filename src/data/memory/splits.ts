import type { Split } from '../source.js';

/**
 * Marks the last samples of each class: `counts[c]` of class c. It depends on the order of the set
 * alone, so that other programs can draw the same line.
 */
export function lastOfEachClass(labels: ArrayLike<number>, counts: readonly number[]): boolean[] {
  const left = [...counts];
  const marks = new Array<boolean>(labels.length).fill(false);
  for (let i = labels.length - 1; i >= 0; i--) {
    const label = labels[i] as number;
    if (left[label] === 0) continue;
    left[label] = (left[label] as number) - 1;
    marks[i] = true;
  }
  return marks;
}

/**
 * Whether a sample of the part that may be trained on belongs to a split.
 *
 * @param heldOut true where it is one of those held out for validation
 */
export function isIn(split: Split, heldOut: boolean | undefined): boolean {
  return split === 'train+validation' || heldOut === (split === 'validation');
}

/**
 * How many samples of each class are held out for validation: `most`, or the tenth part, rounded down,
 * of a class that has fewer than ten times as many.
 *
 * @param labels 0 … classes − 1
 */
export function heldOutCounts(labels: ArrayLike<number>, classes: number, most: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (let i = 0; i < labels.length; i++) (counts[labels[i] as number] as number)++;
  return counts.map((count) => Math.min(most, Math.floor(count / 10)));
}

/**
 * The indices of a split of samples that may all be trained on, in their order: of each class the last
 * ones are held out ({@link heldOutCounts}), where there are no classes the last ones of all.
 */
export function splitIndices(
  split: Exclude<Split, 'test'>,
  labels: ArrayLike<number>,
  { classes, heldOut }: { classes: number; heldOut: number },
): Int32Array {
  const known = classes === 0 ? new Int32Array(labels.length) : labels;
  const counts = heldOutCounts(known, Math.max(1, classes), heldOut);
  const marks = lastOfEachClass(known, counts);
  return Int32Array.from(marks.keys()).filter((index) => isIn(split, marks[index]));
}

/**
 * Samples with one of each class in turn, as long as each has some, those of a class in their order:
 * so the first samples are of all classes.
 */
export function inTurn(labels: ArrayLike<number>, chosen: Int32Array): Int32Array {
  const ofClass = new Map<number, number[]>();
  for (const index of chosen) {
    const label = labels[index] as number;
    const own = ofClass.get(label);
    if (own) own.push(index);
    else ofClass.set(label, [index]);
  }
  const classes = [...ofClass].sort(([a], [b]) => a - b).map(([, own]) => own);
  const longest = classes.reduce((most, { length }) => Math.max(most, length), 0);
  const order = new Int32Array(chosen.length);
  for (let rank = 0, at = 0; rank < longest; rank++) {
    for (const own of classes) {
      if (rank < own.length) order[at++] = own[rank] as number;
    }
  }
  return order;
}
