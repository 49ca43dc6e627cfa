import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { featuresOf } from '../../src/evaluation/image-features.js';
import { type TensorSource, writeSafetensors } from '../../src/formats/safetensors.js';
import type { FeatureNetwork } from '../../src/pretrained/feature-network.js';
import { loadInceptionV3 } from '../../src/pretrained/inception-v3.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { sharedFolder } from '../temporary-folder.js';
import { countedImages, filled, relativeDifference } from './counted-weights.js';

const reference = JSON.parse(
  fs.readFileSync(path.join(__dirname, 'inception-v3.json'), 'utf8'),
) as { shapes: Record<string, number[]>; features: Record<string, number[][]> };

const folder = sharedFolder();
const weights = path.join(folder, 'weights.safetensors');
let network: FeatureNetwork;

/** The weights under other names, or with some of them replaced. */
function tensors(
  prefix = '',
  change: Record<string, TensorSource | undefined> = {},
): Record<string, TensorSource> {
  const all = Object.entries(reference.shapes).map(([name, shape]): [string, TensorSource] => [
    `${prefix}${name}`,
    { dtype: 'F32', shape, data: () => filled(name, shape).data },
  ]);
  const changed = { ...Object.fromEntries(all), ...change };
  return Object.fromEntries(
    Object.entries(changed).filter((entry): entry is [string, TensorSource] => !!entry[1]),
  );
}

beforeAll(async () => {
  await writeSafetensors(weights, tensors());
  network = await loadInceptionV3(weights);
});

afterAll(() => {
  network.dispose();
});

describe('Inception-v3', () => {
  test.each([
    ['small', [2, 3, 64, 48]],
    ['large', [1, 3, 310, 340]],
    ['equal', [1, 3, 299, 299]],
  ] as const)('has the features of torch-fidelity, images that are %s', async (name, shape) => {
    const images = tf.tensor4d(countedImages(name, shape), [...shape]);
    const before = tf.memory().numTensors;
    const { data, shape: found } = await featuresOf(network, images, { batchSize: 1 });
    expect(tf.memory().numTensors).toBe(before);
    expect(found).toEqual([shape[0], 2048]);
    reference.features[name]?.forEach((expected, image) => {
      const features = expected.map((_, i) => data[image * 2048 + 16 * i] as number);
      expect(relativeDifference(features, expected)).toBeLessThan(1e-5);
    });
  });

  test('sees grey images as three equal channels, and parts of a grey level cut off', () => {
    tf.tidy(() => {
      const levels = tf.tensor4d([0, 7, 100, 255], [1, 1, 2, 2]);
      const images = (shift: number) =>
        tf.sub(tf.div(tf.add(levels, shift), 127.5), 1) as tf.Tensor4D;
      const exact = network.features(images(0));
      const difference = (other: tf.Tensor4D) =>
        tf.max(tf.abs(tf.sub(network.features(other), exact))).dataSync()[0];
      expect(difference(tf.tile(images(0), [1, 3, 1, 1]))).toBe(0);
      expect(difference(images(0.9))).toBe(0);
      expect(difference(images(1))).toBeGreaterThan(0);
      expect(() => network.features(tf.zeros([1, 2, 8, 8]))).toThrow(/2 channels.*\n?.*1 or 3/);
    });
  });

  test('says what its distances are called, and which weights it has', async () => {
    expect(network).toMatchObject({
      name: 'Inception-v3',
      width: 2048,
      weights: expect.stringMatching(/^[0-9a-f]{64}$/),
      distances: { frechet: 'FID', kernel: 'KID' },
    });
  });

  test('is read from the published statistics, which hold it too', async () => {
    const file = path.join(folder, 'statistics.safetensors');
    const sum: TensorSource = { dtype: 'F64', shape: [2], data: new Float64Array(2) };
    await writeSafetensors(file, tensors('inception.', { real_features_sum: sum }));
    const other = await loadInceptionV3(file);
    tf.tidy(() => {
      const images = tf.randomUniform<tf.Rank.R4>([1, 3, 9, 9], -1, 1, 'float32', 4);
      const [a, b] = [network, other].map((one) => one.features(images).dataSync());
      expect(a).toEqual(b);
    });
  });

  test('refuses other weights by name, and frees what it had', async () => {
    expectNoTensorsLeft();
    const file = path.join(folder, 'other.safetensors');
    await writeSafetensors(
      file,
      tensors('', {
        'Mixed_5b.branch1x1.conv.weight': undefined,
        'Mixed_7c.branch_pool.bn.bias': filled('a', [3]),
        'AuxLogits.fc.bias': filled('a', [3]),
      }),
    );
    await expect(loadInceptionV3(file)).rejects.toThrow(
      /lacks Mixed_5b\.branch1x1\.conv\.weight; it has Mixed_7c\.branch_pool\.bn\.bias \(3\) for \(192\); it has besides AuxLogits\.fc\.bias\. .*github\.com\/mseitzer/,
    );
    await expect(loadInceptionV3(path.join(folder, 'none.pth'))).rejects.toThrow(
      /no file .*none\.pth with the weights of Inception-v3.*github\.com\/mseitzer/,
    );
  });
});
