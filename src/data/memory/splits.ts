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
