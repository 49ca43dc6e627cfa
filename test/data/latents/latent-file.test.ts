import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { normal, randomKey, UserError } from '../../../src/core/index.js';
import {
  imagesTensor,
  labelBatch,
  latentScale,
  openDataset,
  openLatents,
  pixelBatch,
  writeLatents,
} from '../../../src/data/index.js';
import { sourceOf } from '../../../src/data/open.js';
import {
  type HostDtype,
  type HostTensor,
  writeSafetensors,
} from '../../../src/formats/safetensors.js';
import { batchSource, noisyImageFeeds } from '../../../src/training/batches/index.js';
import { sharedFolder } from '../../temporary-folder.js';
import { smallConfig, smallSettings } from '../../training/small.js';

const folder = sharedFolder();
const file = path.join(folder, 'train.safetensors');
const shape = [6, 2, 2, 3];
const size = 12;
const numbers = normal(randomKey(1), 6 * size);
const labels: HostTensor = { shape: [6], dtype: 'I64', data: Float64Array.of(0, 1, 2, 1, -1, 0) };

async function write(
  tensors: Record<string, HostTensor> = {},
  metadata: Record<string, string> = {},
  dtype: HostDtype = 'F32',
): Promise<void> {
  const latents: HostTensor = { shape, dtype, data: numbers };
  await writeSafetensors(file, { latents, labels, ...tensors }, metadata);
}

const rows = (indices: number[], of = numbers) =>
  Float32Array.from(indices.flatMap((i) => [...of.subarray(i * size, (i + 1) * size)]));

test('latents are read by index, as they are, with their labels', async () => {
  await write({}, { name: 'tiny', licence: 'CC0', classes: '["a","b","c"]' });
  const data = await openDataset(`latents:${folder}`, 'train');
  expect(data).toMatchObject({
    name: 'tiny',
    split: 'train',
    image: { channels: 2, height: 2, width: 3 },
    classes: ['a', 'b', 'c'],
    length: 6,
    licence: 'CC0',
  });
  // Alone, in runs, backwards, twice.
  const indices = [5, 1, 2, 3, 0, 0];
  const raw = await data.read(indices);
  expect(raw).toEqual({
    count: 6,
    image: data.image,
    values: rows(indices),
    labels: Int32Array.of(0, 1, 2, 1, 0, 0),
  });
  expect([...labelBatch(data, [4, 1])]).toEqual([-1, 1]);
  expect((await data.read([])).count).toBe(0);
});

test.each([
  ['BF16', 2 ** -8],
  ['F16', 2 ** -11],
] as const)('%s is read as the nearest float32', async (dtype, precision) => {
  await write({}, {}, dtype);
  const { values } = await (await openLatents(file, 'train')).read([4, 2]);
  rows([4, 2]).forEach((value, i) => {
    expect(Math.abs(value - (values[i] as number))).toBeLessThanOrEqual(
      precision * Math.abs(value) + 1e-7,
    );
  });
});

test('without labels there are no classes; without names they are numbers', async () => {
  await write();
  expect((await openLatents(file, 'train')).classes).toEqual(['0', '1', '2']);
  await writeSafetensors(file, { latents: { shape, dtype: 'F32', data: numbers } });
  const data = await openLatents(file, 'train');
  expect(data).toMatchObject({ name: 'train', classes: [], licence: 'not stated' });
  expect([...(await data.read([0, 5])).labels]).toEqual([-1, -1]);
});

test('what they are latents of is known where the file says it', async () => {
  await write();
  expect((await openLatents(file, 'train')).latents).toBeUndefined();
  await write({}, { scale: '0.5', autoencoder: 'abc' });
  const { latents, description } = await openLatents(file, 'train');
  expect(latents).toEqual({ scale: 0.5, autoencoder: 'abc' });
  expect((await sourceOf(description)).latents).toEqual(latents);
  await write({}, { scale: 'wide' });
  await expect(openLatents(file, 'train')).rejects.toThrow(/scale.*is wide\. Expected a number/);
});

test('another thread opens them by their path', async () => {
  await write();
  const data = await openLatents(file, 'train');
  const description = structuredClone(data.description);
  expect(description.labels.buffer).toBeInstanceOf(SharedArrayBuffer);
  expect(await sourceOf(description).read([3, 1])).toEqual(await data.read([3, 1]));
});

describe('captions', () => {
  const states = normal(randomKey(2), 6 * 2 * 3);
  const text: HostTensor = { shape: [6, 2, 3], dtype: 'F32', data: states };
  const empty: HostTensor = { shape: [2, 3], dtype: 'F32', data: states.slice(6, 12) };
  const encoder = { name: 'minilm', weights: 'abc' };

  test('come with their samples as states, with those of the empty one', async () => {
    await write({ text, empty_text: empty }, { textEncoder: JSON.stringify(encoder) });
    const data = await openLatents(file, 'train');
    expect(data.text).toEqual({ entries: 2, width: 3, empty: empty.data, encoder });
    const row = (i: number) => [...states.subarray(6 * i, 6 * i + 6)];
    const indices = [4, 5, 0];
    const raw = await data.read(indices);
    expect(raw.text).toEqual({
      states: Float32Array.from(indices.flatMap(row)),
      empty: empty.data,
    });
    expect(raw.values).toEqual(rows(indices));
    expect(await sourceOf(structuredClone(data.description)).read(indices)).toEqual(raw);
    await write({ text: { ...text, dtype: 'F16' }, empty_text: empty });
    const half = await openLatents(file, 'train');
    expect(half.text?.encoder).toBeUndefined();
    expect((await half.read([3])).text?.states[0]).toBeCloseTo(states[18] as number, 2);
  });

  test.each<[string, Record<string, HostTensor>, Record<string, string>, RegExp]>([
    [
      'too few',
      { text: { ...text, shape: [4, 3, 3] }, empty_text: empty },
      {},
      /are \(4, 3, 3\) of/,
    ],
    ['without the empty one', { text }, {}, /has no empty_text\. Expected .* \(2, 3\)/],
    [
      'with another empty one',
      { text, empty_text: { ...empty, shape: [3, 2] } },
      {},
      /has empty_text \(3, 2\)/,
    ],
    [
      'of whom knows what',
      { text, empty_text: empty },
      { textEncoder: 'minilm' },
      /textEncoder.*is minilm\. Expected/,
    ],
  ])('that are %s are refused', async (_what, tensors, metadata, message) => {
    await write(tensors, metadata);
    await expect(openLatents(file, 'train')).rejects.toThrow(message);
  });
});

test('a tensor of them is what they are; pixels they have none', async () => {
  await write();
  const data = await openLatents(file, 'train');
  const tensor = await imagesTensor(data, [2, 4]);
  expect(tensor.shape).toEqual([2, 2, 2, 3]);
  expect(tensor.dataSync()).toEqual(rows([2, 4]));
  await expect(pixelBatch(data, [0])).rejects.toThrow(/train holds latents/);
});

test('batches of them are made in a thread of its own', async () => {
  await write();
  const data = await openLatents(file, 'train');
  const image = data.image;
  const plan = {
    config: { ...smallConfig, image },
    objectives: [{ name: 'likelihood', feeds: noisyImageFeeds }],
    settings: { ...smallSettings, batchSize: 6, noise: { kind: 'none' } as const },
    data,
  };
  const source = batchSource(plan, 0, 200);
  const { likelihood } = await source.next();
  await source.close();
  const found = Array.from({ length: 6 }, (_, i) =>
    likelihood?.images?.subarray(i * size, (i + 1) * size).join(),
  );
  const expected = Array.from({ length: 6 }, (_, i) => rows([i]).join());
  expect(found.sort()).toEqual(expected.sort());
});

test('a file above 2 GiB is read at any place', async () => {
  const large = path.join(folder, 'large.safetensors');
  const [count, channels, side] = [70_000, 8, 32];
  const bytes = channels * side * side * 4;
  const header = JSON.stringify({
    latents: {
      dtype: 'F32',
      shape: [count, channels, side, side],
      data_offsets: [0, count * bytes],
    },
  }).padEnd(128);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  // All but the last sample is a hole in the file.
  const handle = fs.openSync(large, 'w');
  fs.writeSync(handle, Buffer.concat([prefix, Buffer.from(header)]), 0, 136, 0);
  const last = new Float32Array(bytes / 4).fill(2.5);
  fs.writeSync(handle, last, 0, bytes, 136 + (count - 1) * bytes);
  fs.closeSync(handle);
  expect(fs.statSync(large).size).toBeGreaterThan(2 ** 31);
  const data = await openLatents(large, 'train');
  expect(data.length).toBe(count);
  const { values } = await data.read([count - 1, 0]);
  expect([values[0], values[bytes / 4 - 1], values[bytes / 4]]).toEqual([2.5, 2.5, 0]);
});

describe('what does not fit is refused', () => {
  test.each<[string, Record<string, HostTensor>, Record<string, string>, RegExp]>([
    [
      'of another rank',
      { latents: { shape: [6, 12], dtype: 'F32', data: numbers } },
      {},
      /latents of .* are \(6, 12\) of F32\. Expected a tensor latents \(n, channels/,
    ],
    [
      'of doubles',
      { latents: { shape, dtype: 'F64', data: Float64Array.from(numbers) } },
      {},
      /of F64\. Expected/,
    ],
    [
      'with too few labels',
      { labels: { shape: [2], dtype: 'I32', data: Int32Array.of(0, 1) } },
      {},
      /labels of .* are \(2\) of I32\. Expected a whole number for each of the 6/,
    ],
    [
      'with classes that are no list',
      {},
      { classes: 'a, b' },
      /classes.*is a, b\. Expected a JSON/,
    ],
    ['with too few classes', {}, { classes: '["a"]' }, /names 1 classes and has labels up to 2/],
  ])('%s', async (_what, tensors, metadata, message) => {
    await write(tensors, metadata);
    const error = await openLatents(file, 'train').catch((thrown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(message);
  });

  test('without latents', async () => {
    await writeSafetensors(file, { labels });
    await expect(openLatents(file, 'train')).rejects.toThrow(/holds labels\. Expected a tensor/);
  });

  test('a file that is not there', async () => {
    await expect(openDataset(`latents:${folder}`, 'test')).rejects.toThrow(
      /test\.safetensors cannot be read \(it does not exist\)/,
    );
  });

  test('a file that became another while it is read', async () => {
    await write();
    const data = await openLatents(file, 'train');
    await writeSafetensors(file, {
      latents: { shape: [5, 2, 2, 3], dtype: 'F32', data: numbers.subarray(0, 60) },
    });
    await expect(data.read([0])).rejects.toThrow(/train\.safetensors have become others/);
  });

  test.each([-1, 6, 0.5])('index %s', async (index) => {
    await write();
    await expect((await openLatents(file, 'train')).read([index])).rejects.toThrow(
      `Sample ${index} of train (train): expected 0 to 5.`,
    );
  });
});

test('they are written with labels, captions and scale, as they are read', async () => {
  const image = { channels: 2, height: 2, width: 3 };
  const captions = ['a heart', 'a red heart', 'ein Herz ♥', '', 'e', 'f'];
  const set = {
    ...{ latents: numbers, image, labels: Int32Array.of(0, 1, 1, 0, -1, 0), captions },
    ...{ classes: ['x', 'y'], name: 'hearts latents', licence: 'CC0', scale: 0.25 },
  };
  await writeLatents(file, set, { autoencoder: 'abc' });
  expect(await latentScale(file)).toBe(0.25);
  const data = await openLatents(file, 'train');
  expect(data).toMatchObject({
    name: 'hearts latents',
    classes: ['x', 'y'],
    licence: 'CC0',
    image,
  });
  const raw = await data.read([2, 0, 4]);
  expect(raw).toMatchObject({
    values: rows([2, 0, 4]),
    labels: Int32Array.of(1, 0, -1),
    captions: ['ein Herz ♥', 'a heart', 'e'],
  });
  expect(await sourceOf(structuredClone(data.description)).read([2, 0, 4])).toEqual(raw);
});

test('captions that do not fit, and a file without a scale, are refused', async () => {
  await write({}, { captions: '["one"]' });
  await expect(openLatents(file, 'train')).rejects.toThrow(/captions.* for each of 6 latents/);
  await write({}, { captions: '[1, 2, 3, 4, 5, 6]' });
  await expect(openLatents(file, 'train')).rejects.toThrow(/captions.* for each of 6 latents/);
  await expect(latentScale(file)).rejects.toThrow(/does not say by what .*tarflow encode/);
});
