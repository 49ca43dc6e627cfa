import * as path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeCaptionStates } from '../../../src/conditions/text/captioned-latents.js';
import { openTextEncoder } from '../../../src/conditions/text/named-encoder.js';
import { tf } from '../../../src/core/tf.js';
import { openLatents } from '../../../src/data/index.js';
import { readSafetensors, writeSafetensors } from '../../../src/formats/safetensors.js';
import type { CaptionEncoder } from '../../../src/pretrained/caption-encoder.js';
import { writeSmallBert } from '../../pretrained/small-bert.js';
import { sharedFolder } from '../../temporary-folder.js';

const folder = sharedFolder();
const from = path.join(folder, 'latents.safetensors');
const to = path.join(folder, 'train.safetensors');
const numbers = Float32Array.from({ length: 3 * 4 }, (_, i) => i);
let encoder: CaptionEncoder;

beforeAll(async () => {
  await writeSmallBert(folder);
  encoder = await openTextEncoder(`bert:${folder}`);
  await writeSafetensors(
    from,
    { latents: { dtype: 'F16', shape: [3, 1, 2, 2], data: numbers } },
    { name: 'few', licence: 'CC0' },
  );
});

afterAll(() => {
  encoder.dispose();
});

test('latents get the states of their captions, and those of the empty one', async () => {
  const captions = ['a red heart', '', 'cat'];
  const before = tf.memory().numTensors;
  await writeCaptionStates({ from, to, captions, encoder, entries: 6 });
  expect(tf.memory().numTensors).toBe(before);
  const { tensors } = await readSafetensors(to);
  expect(Object.entries(tensors).map(([name, { dtype, shape }]) => [name, dtype, shape])).toEqual(
    expect.arrayContaining([
      ['latents', 'F16', [3, 1, 2, 2]],
      ['text', 'F16', [3, 6, 24]],
      ['empty_text', 'F32', [6, 24]],
    ]),
  );
  const data = await openLatents(to, 'train');
  const { name, weights } = encoder;
  expect(data).toMatchObject({ name: 'few', licence: 'CC0', text: { encoder: { name, weights } } });
  const { values, text } = await data.read([2, 1]);
  expect(values).toEqual(Float32Array.of(8, 9, 10, 11, 4, 5, 6, 7));
  const expected = await encoder.encode(['cat', ''], { entries: 6 });
  expected.dataSync().forEach((value, i) => {
    expect(text?.states[i]).toBeCloseTo(value, 2);
  });
  expected
    .dataSync()
    .slice(6 * 24)
    .forEach((value, i) => {
      expect(text?.empty[i]).toBeCloseTo(value, 5);
    });
});

test('captions that are not as many, and a file onto itself', async () => {
  const captions = ['cat'];
  await expect(writeCaptionStates({ from, to, captions, encoder, entries: 6 })).rejects.toThrow(
    '1 captions came for 3 latents in',
  );
  await expect(
    writeCaptionStates({ from, to: from, captions, encoder, entries: 6 }),
  ).rejects.toThrow('cannot be read and written at once');
});
