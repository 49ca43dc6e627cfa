import { afterEach, beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { tf } from '../../src/core/tf.js';
import { liveGrid } from '../../workbook/live-grid.js';
import { leaveNotebook, pretendNotebook } from './kernel.js';

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
