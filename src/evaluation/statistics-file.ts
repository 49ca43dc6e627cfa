import { existsSync } from 'node:fs';
import { UserError } from '../core/errors.js';
import { writeSafetensors } from '../formats/safetensors.js';
import { type TensorFile, withTensorFile } from '../formats/tensor-file.js';
import type { FeatureMoments, FeatureStatistics } from './feature-statistics.js';

/** Statistics of features as a file holds them. */
export interface StoredStatistics extends FeatureMoments {
  /** The number of images; undefined where the file does not say it. */
  count: number | undefined;
}

/** The sums in the state of torchmetrics' FID, in double precision. */
const sums = {
  count: 'real_features_num_samples',
  first: 'real_features_sum',
  second: 'real_features_cov_sum',
} as const;

/** What the same numbers are called in other files. */
const names = {
  count: ['count', 'n', 'num_samples'],
  mean: ['mean', 'mu'],
  covariance: ['covariance', 'cov', 'sigma'],
} as const;

/**
 * Whether a file holds statistics of features: it is named as a file of tensors, and has those that
 * {@link readStatistics} reads.
 *
 * @throws UserError for a damaged file of such a name
 */
export async function isStatisticsFile(path: string): Promise<boolean> {
  if (!/\.(pth|pt|safetensors)$/.test(path) || !existsSync(path)) return false;
  return withTensorFile(
    path,
    async (file) => sums.second in file.tensors || nameIn(file, names.covariance) !== undefined,
  );
}

/**
 * Reads mean and covariance of features: the state of torchmetrics' FID, which the published code of
 * TarFlow keeps as `*_fid_stats.pth`, or a file with `mean` or `mu` (width), `covariance`, `cov` or
 * `sigma` (width, width) and perhaps `count`, `n` or `num_samples`. A state dict of PyTorch or
 * safetensors.
 *
 * In the published files 63 of the 256 grey levels of the images are seen as the level below, because
 * `(255 * image).byte()` cuts off what float32 rounds down.
 *
 * @throws UserError where tensors are missing or do not fit, or numbers are not finite
 */
export async function readStatistics(path: string): Promise<StoredStatistics> {
  const found = await withTensorFile(path, (file) =>
    sums.second in file.tensors ? fromSums(file) : fromMoments(file),
  );
  const { mean, covariance } = found;
  if ([mean, covariance].every((values) => values.every(Number.isFinite))) return found;
  throw new UserError(`${path} has statistics that are not finite`, 'Compute them again');
}

/**
 * Writes statistics of features as safetensors, in double precision.
 * @param metadata what else the file says of them
 * @throws UserError where it cannot be written
 */
export async function writeStatistics(
  path: string,
  { count, mean, covariance }: FeatureStatistics,
  metadata: Record<string, string> = {},
): Promise<void> {
  const width = mean.length;
  await writeSafetensors(
    path,
    {
      count: { dtype: 'I64', shape: [], data: Float64Array.of(count) },
      mean: { dtype: 'F64', shape: [width], data: mean },
      covariance: { dtype: 'F64', shape: [width, width], data: covariance },
    },
    metadata,
  );
}

async function fromSums(file: TensorFile): Promise<StoredStatistics> {
  const [count = 0] = await numbers(file, sums.count, []);
  if (!(Number.isInteger(count) && count >= 2)) {
    throw new UserError(
      `${file.path} has statistics of ${count} real images`,
      'Expected those of two or more, as `fid.update(images, real=True)` counts them',
    );
  }
  const width = file.tensors[sums.second]?.shape[0] ?? 0;
  const mean = (await numbers(file, sums.first, [width])).map((value) => value / count);
  const second = await numbers(file, sums.second, [width, width]);
  const covariance = second.map((value, at) => {
    const product = mean[Math.floor(at / width)]! * mean[at % width]!;
    return (value - count * product) / (count - 1);
  });
  return { count, mean, covariance };
}

async function fromMoments(file: TensorFile): Promise<StoredStatistics> {
  const nameOf = (known: readonly string[]): string => {
    const name = nameIn(file, known);
    if (name !== undefined) return name;
    throw new UserError(
      `${file.path} holds no statistics of features: it has no tensor ${known.join(' or ')}`,
      `Expected a mean and a covariance, or ${Object.values(sums).join(', ')}`,
    );
  };
  const width = file.tensors[nameOf(names.mean)]?.shape[0] ?? 0;
  const mean = await numbers(file, nameOf(names.mean), [width]);
  const covariance = await numbers(file, nameOf(names.covariance), [width, width]);
  const counted = nameIn(file, names.count);
  const count = counted === undefined ? undefined : (await file.read(counted)).data[0];
  return { count, mean, covariance };
}

function nameIn({ tensors }: TensorFile, known: readonly string[]): string | undefined {
  return known.find((name) => Object.hasOwn(tensors, name));
}

async function numbers(
  file: TensorFile,
  name: string,
  shape: readonly number[],
): Promise<Float64Array> {
  const found = Object.hasOwn(file.tensors, name) ? file.tensors[name]?.shape : undefined;
  if (found?.join() === shape.join()) return Float64Array.from((await file.read(name)).data);
  throw new UserError(
    `${file.path} has ${found ? `${name} of shape (${found.join(', ')})` : `no ${name}`}`,
    `Expected statistics of features, with ${name} of shape (${shape.join(', ')})`,
  );
}
