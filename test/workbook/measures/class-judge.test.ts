import { expect, test } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { accuracy, classifierFeatures, loadClassifier } from '../../../src/models/index.js';
import {
  classDiversity,
  finiteImages,
  judgeImages,
} from '../../../workbook/measures/class-judge.js';
import { resultsFolder } from '../../../workbook/records/results-folder.js';

test('images are judged as the classifier says', async () => {
  const classifier = await loadClassifier(
    `${resultsFolder()}/checkpoints/fashion-mnist-classifier.safetensors`,
  );
  const images = tf.randomUniform([6, 1, 28, 28], -1, 1, 'float32', 3) as tf.Tensor4D;
  const { features, logits } = classifierFeatures(classifier, images);
  const guesses = Array.from(tf.tidy(() => tf.argMax(logits, 1).dataSync()));
  const labels = guesses.map((guess, i) => (i < 2 ? (guess + 1) % 10 : guess));
  const before = tf.memory().numTensors;
  const judged = judgeImages(classifier, images, labels);
  expect(tf.memory().numTensors).toBe(before);
  expect(judged.accuracy).toBe(accuracy(logits, labels));
  expect(judged.accuracy).toBeCloseTo(4 / 6, 12);
  expect(judged.guesses).toEqual(guesses);
  expect(judged.features.shape).toEqual(features.shape);
  expect([...judged.features.data]).toEqual([...features.dataSync()]);
  expect(judged.shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
  expect(judged.shares[guesses[0] as number]).toBeGreaterThan(0);
  expect(judged.confidence).toBeGreaterThan(0.1);
  expect(judged.confidence).toBeLessThanOrEqual(1);
});

test('diversity is within classes', () => {
  const data = Float32Array.of(0, 0, 100, 100, 3, 4, 100, 112);
  const judged = { features: { data, shape: [4, 2] as [number, number] }, labels: [0, 1, 0, 1] };
  const { distance, variances } = classDiversity(judged, 3);
  expect(distance).toBe((5 + 12) / 2);
  // The variance of two values is half their squared distance.
  expect(variances.slice(0, 2)).toEqual([12.5, 72]);
  expect(variances[2]).toBeNaN();
});

test('images with a value that is not finite are found', () => {
  const images = tf.tensor4d(
    [1, 2, Number.NaN, 0, 5, Number.POSITIVE_INFINITY, 7, 8],
    [4, 1, 1, 2],
  );
  expect(finiteImages(images)).toEqual([0, 3]);
});
