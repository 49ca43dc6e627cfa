import type { DataSource } from '../source.js';

/**
 * The indices of the first images of each class, `perClass` of each. Images without a label (−1) are
 * passed over.
 *
 * @param options.skip how many of each class to leave out before
 * @param options.inTurn false: class by class; true: one image of each class in turn
 * @returns none where the source has no classes
 * @throws RangeError where a class has fewer than `skip + perClass`
 */
export function firstOfEachClass(
  data: Pick<DataSource, 'name' | 'labels' | 'classes'>,
  perClass = 1,
  { skip = 0, inTurn = false }: { skip?: number; inTurn?: boolean } = {},
): number[] {
  const ofClass = data.classes.map((): number[] => []);
  data.labels.forEach((label, index) => {
    const own = ofClass[label];
    if (own && own.length < skip + perClass) own.push(index);
  });
  const chosen = ofClass.map((indices, label) => {
    if (indices.length === skip + perClass) return indices.slice(skip);
    throw new RangeError(
      `${data.name} has ${indices.length} images of ${data.classes[label]}, and ${skip + perClass} are asked for. Ask for fewer of each class, or load more images.`,
    );
  });
  if (!inTurn) return chosen.flat();
  return Array.from({ length: perClass }, (_, i) =>
    chosen.map((indices) => indices[i] as number),
  ).flat();
}
