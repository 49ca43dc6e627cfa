import type { DataSource } from '../source.js';

/**
 * The indices of the first images of each class, `perClass` of each.
 *
 * @param options.skip how many of each class to leave out before
 * @param options.inTurn false: class by class; true: one image of each class in turn
 * @throws RangeError where a class has too few
 */
export function firstOfEachClass(
  data: Pick<DataSource, 'name' | 'labels' | 'classes'>,
  perClass = 1,
  { skip = 0, inTurn = false }: { skip?: number; inTurn?: boolean } = {},
): number[] {
  const ofClass = data.classes.map((): number[] => []);
  data.labels.forEach((label, index) => {
    if ((ofClass[label] as number[]).length < skip + perClass) ofClass[label]?.push(index);
  });
  const chosen = ofClass.map((indices, label) => {
    if (indices.length === skip + perClass) return indices.slice(skip);
    throw new RangeError(
      `${data.name} has ${indices.length} images of ${data.classes[label]}, and ${skip + perClass} are asked for. Ask for fewer a class, or load more images.`,
    );
  });
  if (!inTurn) return chosen.flat();
  return Array.from({ length: perClass }, (_, i) =>
    chosen.map((indices) => indices[i] as number),
  ).flat();
}
