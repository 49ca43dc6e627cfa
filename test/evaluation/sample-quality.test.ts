import { beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../src/backend/engine.js';
import { tf } from '../../src/backend/tf.js';
import { featureStatistics, frechetDistance } from '../../src/evaluation/frechet.js';
import {
  classifierStatistics,
  pixelDistance,
  sampleQuality,
} from '../../src/evaluation/sample-quality.js';
import {
  accuracy,
  classifierFeatures,
  disposeClassifier,
  trainClassifier,
} from '../../src/models/classifier/index.js';
import { madeUpImages } from '../training/small.js';

beforeAll(async () => {
  await startEngine();
});

test('samples are judged by the guesses of a classifier and by its features', async () => {
  const data = madeUpImages('train', 128);
  const classifier = await trainClassifier(data, { convolutions: [], features: 0, epochs: 1 });
  const before = tf.memory().numTensors;
  const [images, real] = [1, 2].map((seed) =>
    tf.randomUniform([20, 1, 4, 4], -1, 1, 'float32', seed),
  ) as [tf.Tensor4D, tf.Tensor4D];
  const labels = Array.from({ length: 20 }, (_, i) => i % 3);
  const reference = classifierStatistics(classifier, real);
  const judged = sampleQuality(classifier, images, labels, reference);
  const { features, logits } = classifierFeatures(classifier, images);
  expect(judged.inClass).toBe(accuracy(logits, labels));
  expect(judged.distance).toBeCloseTo(frechetDistance(featureStatistics(features), reference), 8);
  expect(judged.distance).toBeGreaterThan(0);
  expect(sampleQuality(classifier, real, labels, reference).distance).toBeCloseTo(0, 6);
  tf.dispose([features, logits, images, real]);
  expect(tf.memory().numTensors).toBe(before);
  disposeClassifier(classifier);
});

test('pixels are apart by their means and deviations, as shares of the data range', () => {
  const before = tf.memory().numTensors;
  const images = tf.tensor4d([-1, 1, 0, 0], [2, 1, 1, 2]);
  const others = tf.tensor4d([0, 1, 1, 0], [2, 1, 1, 2]);
  // Means −0.5, 0.5 against 0.5, 0.5; deviations 0.5, 0.5 against the same.
  const { mean, deviation } = pixelDistance(images, others);
  expect(mean).toBeCloseTo(Math.sqrt((1 + 0) / 2) / 2, 6);
  expect(deviation).toBeCloseTo(0, 6);
  tf.dispose([images, others]);
  expect(tf.memory().numTensors).toBe(before);
});
