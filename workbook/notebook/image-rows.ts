import { tf, tidy } from '../../src/core/tf.js';
import { newDisplay, type UpdatableDisplay } from '../../src/show/display.js';
import {
  type GridOptions,
  imageGrid,
  saveImageGrid,
  showImages,
} from '../../src/show/image-grid.js';

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

/** A grid of images that grows while something goes on, row by row. */
export interface LiveGrid {
  /** Shows the grid below the cell that runs now, with the rows that it has. */
  begin(): Promise<void>;
  /** Adds a row; the images are not disposed. */
  add(label: string, images: tf.Tensor4D): Promise<void>;
}

/** An empty grid; every row has as many images as the first. */
export function liveGrid(options: Pick<GridOptions, 'title' | 'columnLabels'>): LiveGrid {
  const rows: { label: string; values: Float32Array; shape: tf.Tensor4D['shape'] }[] = [];
  let place: UpdatableDisplay | undefined;
  const show = async (): Promise<void> => {
    const [first] = rows;
    if (!place || !first) return;
    const [columns, ...size] = first.shape;
    const data = new Float32Array(rows.length * first.values.length);
    rows.forEach(({ values }, row) => {
      data.set(values, row * first.values.length);
    });
    const shape = [rows.length * columns, ...size] as const;
    const rowLabels = rows.map(({ label }) => label);
    const png = await imageGrid({ data, shape }, { ...options, columns, rowLabels });
    const text = `[images] ${options.title ?? ''}, up to ${rowLabels.at(-1)}`;
    place.show({ 'image/png': png.toString('base64'), 'text/plain': text });
  };
  return {
    begin() {
      place = newDisplay();
      return show();
    },
    async add(label, images) {
      rows.push({ label, values: Float32Array.from(await images.data()), shape: images.shape });
      await show();
    },
  };
}
