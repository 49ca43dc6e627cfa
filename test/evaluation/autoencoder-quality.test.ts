import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import { normal, randomKey, tf, tidy } from '../../src/core/index.js';
import { type DataSource, imageDataset, imagesTensor, writeLatents } from '../../src/data/index.js';
import { autoencoderQuality, featureStatistics, psnr } from '../../src/evaluation/index.js';
import type { AutoencoderAbility, Family, Model } from '../../src/flow/model.js';
import type { FeatureNetwork } from '../../src/pretrained/feature-network.js';
import { encodeDataset, encodedWhileWritten } from '../../src/sampling/encode-dataset.js';
import { temporaryFolder } from '../cli/command-line.js';
import { expectNoTensorsLeft } from '../leaks.js';

const image = { channels: 1, height: 4, width: 4 };
const count = 40;
const data = imageDataset({
  ...{ name: 'grey', split: 'train', image, classes: [], licence: 'none' },
  pixels: Uint8Array.from(
    normal(randomKey(3), count * 16),
    (value) => 127.5 + 60 * Math.tanh(value),
  ),
  labels: new Int32Array(count).fill(-1),
  captions: Array.from({ length: count }, (_, i) => `image ${i}`),
});

/** Its latents are four times the pixels, plus 1; with a certainty of exp(−4). */
const linear: AutoencoderAbility = {
  encode: (_, images) => ({
    mean: tf.add(tf.mul(images, 4), 1),
    logVariance: tf.fill(images.shape, -8),
  }),
  decode: (_, latents) => tf.div(tf.sub(latents, 1), 4),
  latents: (_, size) => size,
  images: (_, size) => size,
  activation: () => 16,
  scale: () => undefined,
};
const family = { kind: 'linear', autoencoder: linear } as unknown as Family;
const model: Model = {
  family,
  config: { kind: 'linear', image, classes: 0 },
  parameters: {},
  buffers: {},
};

/** Features are four of the pixels. */
const network: FeatureNetwork = {
  name: 'corners',
  width: 4,
  features: (images) => tidy(() => tf.slice2d(tf.reshape(images, [-1, 16]), [0, 0], [-1, 4])),
  dispose() {},
};

const every = () =>
  imagesTensor(
    data,
    Array.from({ length: count }, (_, i) => i),
  );

test('the ratio of peak signal to noise is that of its definition', () => {
  tf.tidy(() => {
    const originals = tf.tensor4d([0, 0.5, -1, 1, 0, 0], [2, 1, 1, 3]);
    const images = tf.tensor4d([0.2, 0.5, -3, 1, 0, 0], [2, 1, 1, 3]);
    const [first, exact] = psnr(images, originals);
    expect(first).toBeCloseTo(10 * Math.log10(4 / (0.04 / 3)), 4);
    expect(exact).toBeCloseTo(100, 4);
    expect(() => psnr(images, tf.zeros([1, 1, 1, 3]))).toThrow(/same shape/);
  });
});

test('latents are scaled to unit variance, with labels and captions; draws spread as they say', async () => {
  expectNoTensorsLeft();
  const set = await encodeDataset(model, data, { batchSize: 16, mode: 'eager' });
  const mean = set.latents.reduce((sum, value) => sum + value, 0) / set.latents.length;
  const square = set.latents.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  expect(square / set.latents.length).toBeCloseTo(1, 4);
  expect(set).toMatchObject({ image, name: 'grey latents', captions: data.captions });
  const some = await encodeDataset(model, data, { count: 10, scale: 2, mode: 'eager' });
  expect(some.scale).toBe(2);
  expect(some.labels).toHaveLength(10);
  const drawn = await encodeDataset(model, data, { scale: 2, draw: 1, mode: 'eager' });
  const again = await encodeDataset(model, data, {
    scale: 2,
    draw: 1,
    batchSize: 7,
    mode: 'eager',
  });
  expect(again.latents).toEqual(drawn.latents);
  const apart = drawn.latents.map((value, i) => value / 2 - (set.latents[i] as number) / set.scale);
  const spread = Math.sqrt(apart.reduce((sum, value) => sum + value ** 2, 0) / apart.length);
  expect(spread / Math.exp(-4)).toBeCloseTo(1, 1);
});

test('images are encoded in the order asked for, some of them mirrored', async () => {
  expectNoTensorsLeft();
  const images = [3, 1, 3].map((index, place) => ({ index, mirrored: place === 2 }));
  const usual = { scale: 0.25, mode: 'eager' } as const;
  const set = await encodeDataset(model, data, { ...usual, images });
  expect(set.captions).toEqual(['image 3', 'image 1', 'image 3']);
  const all = await encodeDataset(model, data, usual);
  const rowOf = (from: Float32Array, i: number) =>
    [0, 4, 8, 12].map((y) => [...from.subarray(16 * i + y, 16 * i + y + 4)]);
  expect(rowOf(set.latents, 0)).toEqual(rowOf(all.latents, 3));
  expect(rowOf(set.latents, 1)).toEqual(rowOf(all.latents, 1));
  expect(rowOf(set.latents, 2)).toEqual(rowOf(all.latents, 3).map((line) => line.reverse()));
  // A draw belongs to an image, whatever is encoded with it; that of the mirrored one is another.
  const drawn = await encodeDataset(model, data, { ...usual, images, draw: 1, batchSize: 2 });
  const whole = await encodeDataset(model, data, { ...usual, draw: 1 });
  expect(rowOf(drawn.latents, 0)).toEqual(rowOf(whole.latents, 3));
  expect(rowOf(drawn.latents, 2)).not.toEqual(
    rowOf(whole.latents, 3).map((line) => line.reverse()),
  );
  await expect(encodeDataset(model, data, { ...usual, images: [] })).rejects.toThrow(
    'None of the 40 images of grey is to be encoded',
  );
  const both = encodeDataset(model, data, { ...usual, images, count: 2 });
  await expect(both).rejects.toThrow('Both count and images came');
  for (const batchSize of [0, -1, 1.5]) {
    const refusal = `The batch size is ${batchSize}. Expected a whole number above 0.`;
    await expect(encodeDataset(model, data, { ...usual, batchSize })).rejects.toThrow(refusal);
    expect(() => encodedWhileWritten(model, data, { ...usual, batchSize })).toThrow(refusal);
  }
});

test('latents that are encoded while they are written make the same file', async () => {
  expectNoTensorsLeft();
  const folder = temporaryFolder();
  const uncaptioned: DataSource = {
    ...data,
    read: async (indices) => {
      const { captions: _, ...raw } = await data.read(indices);
      return raw;
    },
  };
  const how = { scale: 2, draw: 1, batchSize: 7, count: 33, mode: 'eager' } as const;
  const done: number[] = [];
  const onProgress = (share: number) => void done.push(Math.round(33 * share));
  const files = ['whole', 'parts'].map((name) => path.join(folder, `${name}.safetensors`));
  const [whole = '', parts = ''] = files;
  await writeLatents(whole, await encodeDataset(model, uncaptioned, how));
  const written = encodedWhileWritten(model, uncaptioned, { ...how, onProgress });
  expect(done).toEqual([]);
  await writeLatents(parts, written);
  expect(done).toEqual([7, 14, 21, 28, 33]);
  expect(fs.readFileSync(parts).equals(fs.readFileSync(whole))).toBe(true);
  // What stops leaves no file.
  const stopped = encodedWhileWritten(model, uncaptioned, { ...how, signal: AbortSignal.abort() });
  const third = path.join(folder, 'third.safetensors');
  await expect(writeLatents(third, stopped)).rejects.toMatchObject({ name: 'AbortError' });
  expect(fs.readdirSync(folder).sort()).toEqual(['parts.safetensors', 'whole.safetensors']);
});

test('an autoencoder that loses nothing is as far from real images as the images are', async () => {
  const images = every();
  const real = tidy(() => featureStatistics(network.features(images)));
  expectNoTensorsLeft();
  const quality = await autoencoderQuality(model, data, {
    ...{ batchSize: 16, mode: 'eager', distance: { network, real } },
  });
  expect(quality.images).toBe(count);
  expect(quality.psnr).toBeGreaterThan(90);
  expect(quality.standardError).toBeGreaterThanOrEqual(0);
  // One image tells nothing about it.
  const one = await autoencoderQuality(model, data, { count: 1, mode: 'eager' });
  expect(one).toEqual({ images: 1, psnr: expect.any(Number) });
  expect(quality.floor).toBeCloseTo(0, 5);
  expect(quality.frechet).toBeCloseTo(0, 5);
});

test('noise on latents is as large as it says, and what takes it away sees unit variance', async () => {
  const { scale } = await encodeDataset(model, data, { mode: 'eager' });
  const noisy = { noise: 0.3, scale, mode: 'eager' } as const;
  const quality = await autoencoderQuality(model, data, noisy);
  // Noise of 0.3 is 0.3/scale on the latents, and a fourth of that on pixels, but for clipping.
  expect(Math.abs(quality.psnr - 10 * Math.log10(4 / (0.3 / scale / 4) ** 2))).toBeLessThan(1);
  const halved = await autoencoderQuality(model, data, {
    ...noisy,
    denoise: (latents) => {
      const { variance } = tf.moments(latents);
      expect(variance.dataSync()[0]).toBeCloseTo(1.09, 0);
      return latents;
    },
  });
  expect(halved).toEqual(quality);
  await expect(autoencoderQuality(model, data, { noise: 0.3 })).rejects.toThrow(
    /without the scale/,
  );
  for (const batchSize of [0, -1, 1.5]) {
    await expect(autoencoderQuality(model, data, { batchSize, mode: 'eager' })).rejects.toThrow(
      `The batch size is ${batchSize}. Expected a whole number above 0.`,
    );
  }
});
