import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { startEngine } from '../../../src/core/engine.js';
import { tf } from '../../../src/core/tf.js';
import { imageGrid } from '../../../src/show/image-grid.js';
import { liveGrid, showImageRows } from '../../../workbook/notebook/image-rows.js';
import { leaveNotebook, pretendNotebook } from '../kernel.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-'));
beforeAll(async () => {
  await startEngine();
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

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

beforeAll(async () => {
  await startEngine();
});
afterEach(leaveNotebook);

test('a grid grows in place, and moves to the cell where it begins again', async () => {
  const outputs = pretendNotebook();
  const images = tf.zeros([2, 1, 4, 4]) as tf.Tensor4D;
  const grid = liveGrid({ title: 'Samples', columnLabels: ['a', 'b'] });
  await grid.add('step 0', images);
  expect(outputs).toEqual([]);
  await grid.begin();
  await grid.add('step 10', images);
  expect(outputs.map(({ update }) => update)).toEqual([false, true]);
  expect(outputs[1]?.data['text/plain']).toBe('[images] Samples, up to step 10');
  await grid.begin();
  expect(outputs[2]?.update).toBe(false);
  expect(outputs[2]?.transient).not.toEqual(outputs[1]?.transient);
  expect(outputs[2]?.data['image/png']).toBe(outputs[1]?.data['image/png']);
  images.dispose();
});
