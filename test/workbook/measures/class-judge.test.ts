import { expect, test } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { accuracy, classifierFeatures, loadClassifier } from '../../../src/models/index.js';
import { finiteImages, judgeImages } from '../../../workbook/measures/class-judge.js';
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
});

test('images with a value that is not finite are found', () => {
  const images = tf.tensor4d(
    [1, 2, Number.NaN, 0, 5, Number.POSITIVE_INFINITY, 7, 8],
    [4, 1, 1, 2],
  );
  expect(finiteImages(images)).toEqual([0, 3]);
});
