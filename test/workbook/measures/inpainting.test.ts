import { expect, test } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { imagesTensor } from '../../../src/data/index.js';
import { disposeModel } from '../../../src/flow/index.js';
import { measureInpainting } from '../../../workbook/measures/inpainting.js';
import { smallFlow } from '../../flow/small-flow.js';
import { expectNoTensorsLeft } from '../../leaks.js';
import { madeUpImages } from '../../training/small.js';

test('pictures are compared with their image within the mask, drawn and pasted', async () => {
  expectNoTensorsLeft();
  const data = madeUpImages('train', 12);
  const flow = smallFlow({ classes: data.classes.length, directions: 'same' });
  const mask = tf.tensor4d(Array(16).fill(0).fill(1, 8), [1, 1, 4, 4]);
  const { rows, pictures } = await measureInpainting(flow, data, {
    ...{ indices: [2, 7], mask, count: 2, sigma: 0 },
    features: (images) => tf.reshape(images, [images.shape[0], 16]),
  });
  expect(rows.map(({ image, how }) => `${image} ${how}`)).toEqual([
    '2 drawn',
    '2 pasted',
    '7 drawn',
    '7 pasted',
  ]);
  const image = imagesTensor(data, [7]);
  const [known, made] = [await image.data(), await pictures.data()];
  const drawn = [2, 3].map((i) =>
    Array.from(made.slice(16 * i, 16 * i + 16), (x) => Math.min(1, Math.max(-1, x))),
  );
  const square = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from({ length: 8 }, (_, i) => (a[8 + i]! - b[8 + i]!) ** 2).reduce((x, y) => x + y) / 8;
  const psnr = drawn.map((picture) => 10 * Math.log10(4 / square(picture, known)));
  expect(rows[2]!.psnr).toBeCloseTo((psnr[0]! + psnr[1]!) / 2, 3);
  expect(rows[2]!.diversity).toBeCloseTo(Math.sqrt(square(drawn[0]!, drawn[1]!)), 4);
  expect(rows[2]!.distance).toBeGreaterThan(0);
  tf.dispose([image, mask, pictures]);
  disposeModel(flow);
});
