import { expect, test } from 'vitest';
import { normal, randomKey } from '../../src/core/random.js';
import { type DataSource, imageDataset, withCaptionStates } from '../../src/data/index.js';
import { sourceOf } from '../../src/data/open.js';

const image = { channels: 1, height: 2, width: 2 };
const length = 600;
const captions = Array.from({ length }, (_, i) => ['a cat', 'a red heart', ''][i % 3] as string);
const images = imageDataset({
  ...{ name: 'grey', split: 'train', image, classes: ['one'], licence: 'none' },
  pixels: Uint8Array.from(normal(randomKey(1), length * 4), (value) => 127 + 20 * value),
  labels: new Int32Array(length),
  captions,
});

/** States that say how long the words of a caption are; how often captions were asked for. */
function counting() {
  const asked: string[] = [];
  const encode = async (some: readonly string[]) => {
    asked.push(...some);
    return Float32Array.from(
      some.flatMap((caption) => {
        const words = caption.split(' ').map((word) => word.length);
        return [...words, 0, 0, 0].slice(0, 4);
      }),
    );
  };
  return {
    asked,
    states: { encode, entries: 2, width: 2, encoder: { name: 'lengths', weights: 'a' } },
  };
}

test('samples come with the states of their captions, each of which is encoded once', async () => {
  const { asked, states } = counting();
  const shares: number[] = [];
  const source = await withCaptionStates(images, { ...states, onProgress: (s) => shares.push(s) });
  expect([...asked].sort()).toEqual(['', '', 'a cat', 'a red heart']);
  expect(shares).toEqual([1]);
  expect(source).toMatchObject({ name: 'grey', length, split: 'train', classes: ['one'] });
  expect(source.text).toEqual({
    ...{ entries: 2, width: 2, encoder: { name: 'lengths', weights: 'a' } },
    empty: Float32Array.of(0, 0, 0, 0),
  });
  const batch = await source.read([301, 2, 0]);
  const plain = images.read([301, 2, 0]);
  expect(batch).toMatchObject({ values: plain.values, labels: plain.labels });
  expect(batch.captions).toEqual(['a red heart', '', 'a cat']);
  expect([...(batch.text?.states ?? [])]).toEqual([1, 3, 5, 0, 0, 0, 0, 0, 1, 3, 0, 0]);
  expect(batch.text?.empty).toEqual(Float32Array.of(0, 0, 0, 0));
  await expect(source.read([600])).rejects.toThrow(RangeError);
});

test('another thread opens the same source from its description', async () => {
  const source = await withCaptionStates(images, counting().states);
  const copy = sourceOf(structuredClone(source.description));
  expect(await copy.read([4, 3])).toEqual(await source.read([4, 3]));
  const { description } = source;
  if (description.kind !== 'captioned') throw new Error('Expected a captioned source.');
  expect(description.states.buffer).toBeInstanceOf(SharedArrayBuffer);
});

test('what is missing or there already is told', async () => {
  const { captions: _, ...bare } = images;
  const uncaptioned: DataSource = imageDataset(bare as typeof images);
  const { states } = counting();
  await expect(withCaptionStates(uncaptioned, states)).rejects.toThrow('grey has no captions');
  const once = await withCaptionStates(images, states);
  await expect(withCaptionStates(once, states)).rejects.toThrow('has the states of its captions');
  const failing = { ...states, encode: () => Promise.reject(new Error('no words')) };
  await expect(withCaptionStates(images, failing)).rejects.toThrow('no words');
});
