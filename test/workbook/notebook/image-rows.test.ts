import * as path from 'node:path';
import sharp from 'sharp';
import { afterEach, expect, test, vi } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { imageGrid } from '../../../src/show/image-grid.js';
import { showImageRows } from '../../../workbook/notebook/image-rows.js';
import { sharedFolder } from '../../temporary-folder.js';
import { leaveNotebook } from '../kernel.js';

const folder = sharedFolder();
test('batches stand one below the other, the first images of each', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  const before = tf.memory().numTensors;
  const batch = (value: number) => tf.fill([3, 1, 2, 2], value) as tf.Tensor4D;
  const [black, white] = [batch(-1), batch(1)];
  const file = path.join(folder, 'rows.png');
  const options = { columns: 2, scale: 4, title: 'Two rows' };
  await showImageRows(
    [
      ['black', black],
      ['white', white],
    ] as const,
    { ...options, file },
  );
  expect(log).toHaveBeenCalledWith('[images] 4 × 1 × 2 × 2 Two rows');
  const together = tf.tensor4d(
    [-1, -1, 1, 1].flatMap((value) => Array(4).fill(value)),
    [4, 1, 2, 2],
  );
  const expected = await imageGrid(together, { ...options, rowLabels: ['black', 'white'] });
  const pixels = (picture: string | Buffer) => sharp(picture).raw().toBuffer();
  expect((await pixels(file)).equals(await pixels(expected))).toBe(true);
  await expect(showImageRows([['black', black]], { columns: 4 })).rejects.toThrow();
  tf.dispose([black, white, together]);
  expect(tf.memory().numTensors).toBe(before);
});

afterEach(leaveNotebook);
