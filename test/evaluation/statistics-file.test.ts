import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { frechetDistance } from '../../src/evaluation/frechet-distance.js';
import {
  isStatisticsFile,
  readStatistics,
  writeStatistics,
} from '../../src/evaluation/statistics-file.js';
import { type TensorSource, writeSafetensors } from '../../src/formats/safetensors.js';
import { temporaryFolder } from '../temporary-folder.js';

const reference = JSON.parse(
  fs.readFileSync(path.join(__dirname, 'fid_stats.json'), 'utf8'),
) as Record<'mean' | 'covariance' | 'fake', number[]> & { distance: number; count: number };

const published = path.join(__dirname, 'fid_stats.pth');

function expectClose(values: Float64Array, expected: readonly number[]): void {
  expect(values.length).toBe(expected.length);
  values.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i] as number, 10);
  });
}

async function written(tensors: Record<string, TensorSource>): Promise<string> {
  const folder = temporaryFolder();
  const file = path.join(folder, 'made.safetensors');
  await writeSafetensors(file, tensors);
  return file;
}

const numbers = (shape: number[], ...data: number[]): TensorSource => ({
  ...{ dtype: 'F64', shape, data: Float64Array.from(data) },
});

describe('statistics of features in a file', () => {
  test('are read from the state of torchmetrics, as the published code keeps it', async () => {
    expect(await isStatisticsFile(published)).toBe(true);
    const { count, mean, covariance } = await readStatistics(published);
    expect(count).toBe(reference.count);
    expectClose(mean, reference.mean);
    expectClose(covariance, reference.covariance);
  });

  test('give the distance that torchmetrics computes from them', async () => {
    const fake = { data: reference.fake, shape: [40, 6] } as const;
    const distance = frechetDistance(fake, await readStatistics(published));
    expect(Math.abs(distance / reference.distance - 1)).toBeLessThan(1e-5);
  });

  test('are read by the names mu and sigma, of an unknown number of images', async () => {
    const file = path.join(__dirname, 'moments.pth');
    expect(await isStatisticsFile(file)).toBe(true);
    const { count, mean, covariance } = await readStatistics(file);
    expect(count).toBeUndefined();
    expectClose(mean, reference.mean);
    expectClose(covariance, reference.covariance);
  });

  test('come back as they were written', async () => {
    const statistics = {
      count: 50,
      mean: Float64Array.from(reference.mean),
      covariance: Float64Array.from(reference.covariance),
    };
    const file = await written({ other: numbers([1], 1) });
    expect(await isStatisticsFile(file)).toBe(false);
    await writeStatistics(file, statistics, { network: 'made up' });
    expect(await isStatisticsFile(file)).toBe(true);
    expect(await readStatistics(file)).toEqual(statistics);
  });

  test('that are none are refused by name', async () => {
    expect(await isStatisticsFile('fashion-mnist/train')).toBe(false);
    expect(await isStatisticsFile('no-such.pth')).toBe(false);
    const refused = async (tensors: Record<string, TensorSource>, message: RegExp) =>
      expect(readStatistics(await written(tensors))).rejects.toThrow(message);
    await refused({ cov: numbers([1, 1], 1) }, /no tensor mean or mu.*real_features_cov_sum/);
    await refused(
      { mu: numbers([2], 1, 2), sigma: numbers([1, 1], 1) },
      /sigma of shape \(1, 1\).*sigma of shape \(2, 2\)/,
    );
    await refused(
      { mu: numbers([1], 1), sigma: numbers([1, 1], Number.NaN) },
      /statistics that are not finite/,
    );
    await refused(
      {
        real_features_sum: numbers([1], 0),
        real_features_cov_sum: numbers([1, 1], 0),
        real_features_num_samples: { dtype: 'I64', shape: [], data: Float64Array.of(0) },
      },
      /statistics of 0 real images/,
    );
    await refused(
      {
        real_features_cov_sum: numbers([1, 1], 0),
        real_features_num_samples: { dtype: 'I64', shape: [], data: Float64Array.of(2) },
      },
      /has no real_features_sum/,
    );
  });
});
