import { beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { randomKey } from '../../src/core/random.js';
import { pixelBatch } from '../../src/data/index.js';
import { noisyImages } from '../../src/training/batches/index.js';
import { noisyTensor } from '../../workbook/noisy-tensor.js';
import { madeUpImages } from '../training/small.js';

beforeAll(async () => {
  await startEngine();
});

test('images with the noise of training, as a tensor', () => {
  const data = madeUpImages('test', 5);
  const noise = { kind: 'gaussian', sigma: 0.1 } as const;
  const x = noisyTensor(data, [4, 1], noise, randomKey(3));
  expect(x.shape).toEqual([2, 1, 4, 4]);
  expect([...x.dataSync()]).toEqual([
    ...noisyImages(pixelBatch(data, [4, 1]), noise, randomKey(3)),
  ]);
  x.dispose();
});
