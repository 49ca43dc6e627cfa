import { beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../../src/core/engine.js';
import { tf } from '../../../src/core/tf.js';
import { featureStatistics } from '../../../src/evaluation/feature-statistics.js';
import { classifierFeatures, disposeClassifier } from '../../../src/models/classifier/family.js';
import { trainClassifier } from '../../../src/models/classifier/train.js';
import { classifierStatistics } from '../../../workbook/measures/class-judge.js';
import { pixelDistance } from '../../../workbook/measures/pixel-distance.js';
import { madeUpImages } from '../../training/small.js';

beforeAll(async () => {
  await startEngine();
});

test('statistics of features are those of a classifier', async () => {
  const data = madeUpImages('train', 128);
  const classifier = await trainClassifier(data, { convolutions: [], features: 0, epochs: 1 });
  const before = tf.memory().numTensors;
  const images = tf.randomUniform([20, 1, 4, 4], -1, 1, 'float32', 1) as tf.Tensor4D;
  const { features, logits } = classifierFeatures(classifier, images);
  expect(classifierStatistics(classifier, images)).toEqual(featureStatistics(features));
  tf.dispose([features, logits, images]);
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
  const wider = tf.zeros([2, 1, 1, 3]) as tf.Tensor4D;
  expect(() => pixelDistance(images, wider)).toThrow('Images of 1×1×2 and of 1×1×3 came');
  tf.dispose([images, others, wider]);
  expect(tf.memory().numTensors).toBe(before);
});
