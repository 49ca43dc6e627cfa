import { expect, test } from 'vitest';
import { foldIn, randomKey, tf, UserError } from '../../src/core/index.js';
import { imageDataset } from '../../src/data/index.js';
import { imagesWithNoise } from '../../src/evaluation/bits-per-dimension.js';
import { anomalyScores, datasetBitsPerDimension } from '../../src/evaluation/index.js';
import { score } from '../../src/flow/density.js';
import { disposeModel } from '../../src/flow/index.js';
import { smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { madeUpImages } from '../training/small.js';

const data = madeUpImages('train', 70);

test('every score is what it is called, across batches', async () => {
  expectNoTensorsLeft();
  const [flow, other] = [smallFlow(), smallFlow({}, 2)];
  const { values: bits } = await datasetBitsPerDimension(flow, data, { seed: 3 });
  const { values: others } = await datasetBitsPerDimension(other, data, { seed: 3 });
  const scores = await anomalyScores(flow, data, { seed: 3, background: other, reference: 9 });
  expect(Object.keys(scores)).toHaveLength(5);
  for (let i = 0; i < 70; i++) {
    expect(scores.bitsPerDimension![i]).toBeCloseTo(bits[i]!, 4);
    expect(scores.likelihoodRatio![i]).toBeCloseTo(bits[i]! - others[i]!, 4);
    expect(scores.typicality![i]).toBeCloseTo(Math.abs(bits[i]! - 9), 4);
  }
  const key = foldIn(randomKey(3), 'dequantise');
  const noisy = imagesWithNoise(
    data.read([69]).values as Uint8Array,
    [69],
    16,
    { kind: 'uniform' },
    key,
  );
  const norm = tf.tidy(() => tf.norm(score(flow, tf.tensor4d(noisy, [1, 1, 4, 4]))).dataSync()[0]!);
  expect(scores.scoreNorm![69]! / norm).toBeCloseTo(1, 4);
  disposeModel(flow);
  disposeModel(other);
});

test('an image of many bits is corrected by more than one of few', async () => {
  const image = { channels: 3, height: 8, width: 8 };
  const flow = smallFlow({ image });
  const noise = Array.from({ length: 192 }, (_, i) => (i * i * 61 + 17 * i) % 256);
  const pixels = Uint8Array.from([...noise, ...noise.map(() => 90)]);
  const about = { name: 'two', split: 'test' as const, classes: [], licence: 'none' };
  const two = imageDataset({ ...about, image, pixels, labels: Int32Array.of(-1, -1) });
  const {
    bitsPerDimension: bits,
    complexityCorrected: corrected,
    ...rest
  } = await anomalyScores(flow, two);
  expect(Object.keys(rest)).toEqual(['scoreNorm']);
  const [many, few] = [0, 1].map((i) => bits![i]! - corrected![i]!);
  expect(many).toBeGreaterThan(5);
  // A file of a few bytes.
  expect(few).toBeLessThan(4);
  disposeModel(flow);
});

test('a model of another size is refused', async () => {
  const [flow, other] = [smallFlow(), smallFlow({ image: { channels: 1, height: 8, width: 4 } })];
  await expect(anomalyScores(other, data)).rejects.toThrow(UserError);
  await expect(anomalyScores(flow, data, { background: other })).rejects.toThrow(/takes 1×8×4/);
  disposeModel(flow);
  disposeModel(other);
});
