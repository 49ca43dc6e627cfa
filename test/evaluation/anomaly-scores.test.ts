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
  const { values: bits } = await datasetBitsPerDimension(flow, data);
  const { values: others } = await datasetBitsPerDimension(other, data);
  const scores = await anomalyScores(flow, data, { background: other, reference: 9 });
  expect(scores).toHaveLength(70);
  for (const [i, score] of scores.entries()) {
    expect(score.bitsPerDimension).toBeCloseTo(bits[i]!, 4);
    expect(score.likelihoodRatio).toBeCloseTo(bits[i]! - others[i]!, 4);
    expect(score.typicality).toBeCloseTo(Math.abs(bits[i]! - 9), 4);
  }
  // As many as the last batch of all has, and so of one graph.
  const some = await anomalyScores(flow, data, { indices: [69, 3, 1, 2, 4, 5] });
  expect(some.slice(0, 2).map((one) => one.bitsPerDimension)).toEqual([
    expect.closeTo(bits[69]!, 4),
    expect.closeTo(bits[3]!, 4),
  ]);
  const key = foldIn(randomKey(0), 'dequantise');
  const noisy = imagesWithNoise(
    data.read([69]).values as Uint8Array,
    [69],
    16,
    { kind: 'uniform' },
    key,
  );
  const norm = tf.tidy(() => tf.norm(score(flow, tf.tensor4d(noisy, [1, 1, 4, 4]))).dataSync()[0]!);
  expect(scores[69]!.scoreNorm / norm).toBeCloseTo(1, 4);
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
  const scores = await anomalyScores(flow, two);
  expect(Object.keys(scores[0]!)).toEqual(['bitsPerDimension', 'complexityCorrected', 'scoreNorm']);
  const [many, few] = scores.map((one) => one.bitsPerDimension - one.complexityCorrected);
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
