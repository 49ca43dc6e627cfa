import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { foldIn, integers, leaves, normal, randomKey, tf } from '../../src/core/index.js';
import { type ImageDataset, imageDataset, imagesTensor } from '../../src/data/index.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import {
  accuracy,
  classifierFeatures,
  disposeClassifier,
  loadClassifier,
} from '../../src/models/index.js';
import {
  type ClassifierTrainingOptions,
  saveClassifier,
  trainClassifier,
} from '../../workbook/measures/train-classifier.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { sharedFolder } from '../temporary-folder.js';

const folder = sharedFolder();

/** Noise with a bright bar: lying in class 0, standing in class 1, at any place. */
function bars(length: number, seed: number): ImageDataset {
  const side = 8;
  const key = randomKey(seed);
  const pixels = Uint8Array.from(integers(key, length * side * side, 0, 120));
  const places = integers(foldIn(key, 'place'), length, 0, side);
  const labels = Int32Array.from({ length }, (_, i) => i % 2);
  for (let i = 0; i < length; i++) {
    for (let k = 0; k < side; k++) {
      const [row, column] = i % 2 === 0 ? [places[i] as number, k] : [k, places[i] as number];
      pixels[i * side * side + row * side + column] = 255;
    }
  }
  return imageDataset({
    name: 'bars',
    split: 'train',
    image: { channels: 1, height: side, width: side },
    classes: ['lying', 'standing'],
    pixels,
    labels,
    licence: 'none',
  });
}

const every = (data: ImageDataset) =>
  imagesTensor(
    data,
    Array.from({ length: data.length }, (_, i) => i),
  );

const small: ClassifierTrainingOptions = {
  convolutions: [4, 8],
  features: 8,
  epochs: 4,
  batchSize: 16,
  learningRate: 1e-2,
};

describe('a convolutional classifier', () => {
  test('learns what it is shown, and leaks nothing', async () => {
    const [data, unseen] = [bars(320, 1), bars(100, 2)];
    const before = tf.memory().numTensors;
    const losses: number[] = [];
    const classifier = await trainClassifier(data, {
      ...small,
      onProgress: ({ step, steps, loss }) => {
        expect(steps).toBe(80);
        expect(step).toBe(losses.length + 1);
        losses.push(loss);
      },
    });
    expect(tf.memory().numTensors).toBe(before + Object.keys(leaves(classifier.parameters)).length);
    // The output layer starts at zero: every class is as likely.
    expect(losses[0]).toBeCloseTo(Math.log(2), 5);
    const images = every(unseen);
    const { features, logits } = classifierFeatures(classifier, images);
    expect(features.shape).toEqual([100, 8]);
    expect(logits.shape).toEqual([100, 2]);
    expect(accuracy(logits, unseen.labels)).toBeGreaterThan(0.95);
    tf.dispose([images, features, logits]);
    disposeClassifier(classifier);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('takes many images in parts', async () => {
    const data = bars(64, 1);
    const classifier = await trainClassifier(data, { ...small, epochs: 1 });
    const images = tf.tile(every(data), [9, 1, 1, 1]);
    const { logits } = classifierFeatures(classifier, images);
    const values = logits.dataSync();
    expect(values.length).toBe(9 * 64 * 2);
    values.forEach((value, i) => {
      expect(value).toBeCloseTo(values[i % 128] as number, 5);
    });
  });

  test('stops on a signal, and frees what it holds', async () => {
    expectNoTensorsLeft();
    const controller = new AbortController();
    const training = trainClassifier(bars(64, 1), {
      ...small,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(training).rejects.toThrow('enough');
  });

  test('comes back from its file, rounded to half precision', async () => {
    const file = path.join(folder, 'bars.safetensors');
    const classifier = await trainClassifier(bars(64, 1), { ...small, epochs: 1 });
    await saveClassifier(classifier, file);
    expectNoTensorsLeft();
    const loaded = await loadClassifier(file);
    expect(loaded.config).toEqual(classifier.config);
    const saved = leaves(classifier.parameters);
    for (const [name, leaf] of Object.entries(leaves(loaded.parameters))) {
      const original = (saved[name] as tf.Tensor).dataSync();
      leaf.dataSync().forEach((value, i) => {
        const exact = original[i] as number;
        expect(Math.abs(value - exact)).toBeLessThanOrEqual(2 ** -11 * Math.abs(exact) + 1e-7);
      });
    }
    disposeClassifier(loaded);
  });
});

test('logistic regression is the classifier without layers before the last', async () => {
  // Brightness tells the classes apart, which a linear map can see.
  const key = randomKey(3);
  const labels = Int32Array.from({ length: 200 }, (_, i) => i % 2);
  const noise = normal(key, 200 * 16);
  const data = imageDataset({
    ...bars(2, 1),
    image: { channels: 1, height: 4, width: 4 },
    labels,
    pixels: Uint8Array.from(noise, (value, i) => {
      const bright = labels[Math.floor(i / 16)] === 1 ? 170 : 80;
      return Math.max(0, Math.min(255, bright + 20 * value));
    }),
  });
  const classifier = await trainClassifier(data, {
    ...small,
    convolutions: [],
    features: 0,
  });
  expect(Object.keys(leaves(classifier.parameters))).toEqual(['output.weight', 'output.bias']);
  const images = every(data);
  const { features, logits } = classifierFeatures(classifier, images);
  expect([...features.dataSync()]).toEqual([...images.dataSync()]);
  expect(accuracy(logits, labels)).toBe(1);
});

test('accuracy counts the rows whose largest logit is the label', () => {
  const logits = tf.tensor2d([0, 1, 2, 5, 4, 3, 0, -1, -2, 1, 3, 2], [4, 3]);
  expect(accuracy(logits, [2, 0, 1, 1])).toBe(0.75);
});

describe('what does not fit is refused', () => {
  const data = bars(32, 1);

  test('a shape or a number of steps', async () => {
    const train = (options: ClassifierTrainingOptions) => trainClassifier(data, options);
    expectNoTensorsLeft();
    await expect(train({ convolutions: [4, 4, 4, 4] })).rejects.toThrow(/\[4, 4, 4, 4\] channels/);
    await expect(train({ convolutions: [0] })).rejects.toThrow(
      /convolutions\.0 is 0 \(expected a whole number above 0\)/,
    );
    await expect(train({ features: -1 })).rejects.toThrow(/features is -1/);
    await expect(train({ batchSize: 33 })).rejects.toThrow(/make no step/);
    await expect(train({ epochs: 0 })).rejects.toThrow(/make no step/);
  });

  test('images of another size', async () => {
    const classifier = await trainClassifier(data, { ...small, epochs: 1 });
    expect(() => classifierFeatures(classifier, tf.zeros([2, 1, 8, 4]))).toThrow(
      /shape \(2, 1, 8, 4\) came.*\(batch, 1, 8, 8\)/,
    );
    expect(() => classifierFeatures(classifier, tf.zeros([0, 1, 8, 8]))).toThrow(
      'number of images is 0',
    );
  });

  test('a file that holds something else', async () => {
    const file = path.join(folder, 'other.safetensors');
    const tensor = { shape: [1], dtype: 'F32', data: Float32Array.of(1) } as const;
    await writeSafetensors(file, { x: { ...tensor, shape: [1] } }, { format: 'tarflow' });
    await expect(loadClassifier(file)).rejects.toThrow(
      /does not say what model.*kind 'classifier'/,
    );
    const config = {
      kind: 'classifier',
      image: data.image,
      classes: 2,
      convolutions: [],
      features: 0,
    };
    const named = { 'output.bias': { ...tensor, shape: [1] } };
    await writeSafetensors(file, named, { config: JSON.stringify(config) });
    expectNoTensorsLeft();
    await expect(loadClassifier(file)).rejects.toThrow(
      /lacks output\.weight; it has output\.bias \(1\) for \(2\)\./,
    );
  });
});
