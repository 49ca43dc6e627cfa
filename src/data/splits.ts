import type { DataSource, Split } from './source.js';

/**
 * Marks the last samples of each class: `counts[c]` of class c. It depends on the order of the set
 * alone, so that other programs can draw the same line.
 */
export function lastOfEachClass(labels: ArrayLike<number>, counts: readonly number[]): boolean[] {
  const left = [...counts];
  const marks = new Array<boolean>(labels.length).fill(false);
  for (let i = labels.length - 1; i >= 0; i--) {
    const label = labels[i]!;
    if (left[label] === 0) continue;
    left[label]!--;
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
 * The indices of a split, in their order. The samples of the split `test` are a collection of their own,
 * all of which belong to it. Of samples that may all be trained on the last ones of each class are held out
 * for validation: `heldOut` of each, or the tenth part, rounded down, of a class that has fewer than ten
 * times as many. Without classes they are the last ones of all.
 *
 * @param labels 0 … classes − 1
 */
export function splitIndices(
  split: Split,
  labels: ArrayLike<number>,
  { classes, heldOut }: { classes: number; heldOut: number },
): Int32Array {
  const all = Int32Array.from({ length: labels.length }, (_, index) => index);
  if (split === 'test') return all;
  const known = classes === 0 ? new Int32Array(labels.length) : labels;
  const counts = new Array<number>(Math.max(1, classes)).fill(0);
  for (const index of all) counts[known[index]!]!++;
  const held = counts.map((count) => Math.min(heldOut, Math.floor(count / 10)));
  const marks = lastOfEachClass(known, held);
  return all.filter((index) => isIn(split, marks[index]));
}

/**
 * Samples with one of each class in turn, as long as each has some, those of a class in their order:
 * so the first samples are of all classes.
 */
export function inTurn(labels: ArrayLike<number>, chosen: Iterable<number>): Int32Array {
  const ofClass = new Map<number, number[]>();
  for (const index of chosen) {
    const own = ofClass.get(labels[index]!) ?? [];
    own.push(index);
    ofClass.set(labels[index]!, own);
  }
  const classes = [...ofClass].sort(([a], [b]) => a - b).map(([, own]) => own);
  const order: number[] = [];
  for (let rank = 0; classes.some((own) => rank < own.length); rank++) {
    for (const own of classes) if (rank < own.length) order.push(own[rank]!);
  }
  return Int32Array.from(order);
}

/**
 * The indices of images of each class: the first `perClass` after `skip` of them. They come class by class,
 * or with `inTurn` one image of each class in turn. Images without a label (−1) are passed over.
 *
 * @returns none where the source has no classes
 * @throws RangeError where a class has fewer than `skip + perClass`
 */
export function firstOfEachClass(
  { name, labels, classes }: Pick<DataSource, 'name' | 'labels' | 'classes'>,
  perClass = 1,
  { skip = 0, inTurn: isInTurn = false }: { skip?: number; inTurn?: boolean } = {},
): number[] {
  const ofClass = classes.map((): number[] => []);
  labels.forEach((label, index) => {
    const own = ofClass[label];
    if (own && own.length < skip + perClass) own.push(index);
  });
  const chosen = ofClass.flatMap((indices, label) => {
    if (indices.length === skip + perClass) return indices.slice(skip);
    throw new RangeError(
      `${name} has ${indices.length} images of ${classes[label]}, and ${skip + perClass} are asked for. Ask for fewer of each class, or load more images.`,
    );
  });
  return isInTurn ? [...inTurn(labels, chosen)] : chosen;
}
