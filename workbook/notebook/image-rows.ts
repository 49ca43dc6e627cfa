import { tf, tidy } from '../../src/core/tf.js';
import { type GridOptions, saveImageGrid, showImages } from '../../src/show/image-grid.js';

/** A line of a picture: its label, and a batch of images, of which the first ones are shown. */
export type ImageRow = readonly [label: string, images: tf.Tensor4D];

/**
 * Shows batches of images one below the other, each with its label, for example the same noise by
 * several solvers.
 *
 * @param rows not disposed
 * @param options `columns`: how many of each batch are shown; `file`: a PNG file to write as well; the others
 *   are those of `showImages`
 * @throws UserError as `imageGrid`, and where a batch has fewer images than columns
 */
export async function showImageRows(
  rows: readonly ImageRow[],
  options: Omit<GridOptions, 'rowLabels'> & { columns: number; file?: string | undefined },
): Promise<void> {
  const { file, ...shown } = options;
  const grid = tidy(() =>
    tf.concat(
      rows.map(([, images]) => tf.slice(images, [0, 0, 0, 0], [options.columns, -1, -1, -1])),
      0,
    ),
  );
  const labelled = { ...shown, rowLabels: rows.map(([label]) => label) };
  try {
    await showImages(grid, labelled);
    if (file !== undefined) await saveImageGrid(grid, file, labelled);
  } finally {
    grid.dispose();
  }
}
