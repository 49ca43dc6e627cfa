import { expect, test } from 'vitest';
import { startEngine } from '../../../src/core/engine.js';
import { tf } from '../../../src/core/tf.js';
import { imagesTensor, loadDataset } from '../../../src/data/index.js';
import {
  accuracy,
  classifierFeatures,
  disposeClassifier,
} from '../../../src/models/classifier/family.js';
import { fashionClassifier } from '../../../workbook/notebook/models.js';

test('the classifier that results/ keeps knows clothes that it never saw', async () => {
  await startEngine();
  const before = tf.memory().numTensors;
  const classifier = await fashionClassifier();
  const data = await loadDataset('fashion-mnist', 'validation');
  const images = imagesTensor(
    data,
    Array.from({ length: 500 }, (_, i) => i),
  );
  const { features, logits } = classifierFeatures(classifier, images);
  expect(features.shape).toEqual([500, 64]);
  expect(accuracy(logits, data.labels)).toBeGreaterThan(0.88);
  tf.dispose([features, logits, images]);
  disposeClassifier(classifier);
  expect(tf.memory().numTensors).toBe(before);
});
