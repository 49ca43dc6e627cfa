import { counted, UserError } from '../core/errors.js';
import type { FeatureMoments, FeatureRows } from '../evaluation/feature-statistics.js';
import { featureStatistics } from '../evaluation/feature-statistics.js';
import { frechetDistance } from '../evaluation/frechet-distance.js';
import { statisticsOfImages } from '../evaluation/image-features.js';
import {
  type KernelInceptionDistance,
  kernelInceptionDistance,
  subsetSize,
} from '../evaluation/kid.js';
import { type NeighbourMeasures, neighbourMeasures } from '../evaluation/neighbours.js';
import { resamplingError } from '../evaluation/resampling-error.js';
import type { StoredStatistics } from '../evaluation/statistics-file.js';
import type { FeatureNetwork } from '../pretrained/feature-network.js';
import { startProgress } from '../show/progress.js';
import { featuresOfSet, type ImageSet, keptStatisticsOf, seen } from './image-sets.js';

/** What is told of one set of images beside the real ones. */
export interface Comparison extends Partial<NeighbourMeasures> {
  images: number;
  frechet: number;
  /** Its standard error over other samples, where it was asked for. */
  frechetError?: number | undefined;
  /** Without a deviation where the subsets are all images of a set: it would say nothing of that set. */
  kernel?: Pick<KernelInceptionDistance, 'mean'> & Partial<KernelInceptionDistance>;
}

/** What images are compared with: real images, or what a file tells of them. */
export type Real = { set: ImageSet; images: number } | StoredStatistics;

/** Compares the first images of a set, be they real or not, with the real ones. */
export type Compare = (set: ImageSet, images: number, kind?: 'real') => Promise<Comparison>;

/** How images are compared. */
export interface ComparisonOptions {
  frechetOnly: boolean;
  seed: number;
  /** How often images are drawn anew for a standard error. */
  errors?: number;
}

/** Prepares comparisons with real images: by their features, or by their mean and covariance alone. */
export async function comparer(
  network: FeatureNetwork,
  real: Real,
  { frechetOnly, seed, errors: draws }: ComparisonOptions,
): Promise<Compare> {
  const features = (set: ImageSet, count: number) => featuresOfSet(network, set, count);
  const error = (rows: FeatureRows, reference: FeatureMoments): number | undefined =>
    draws === undefined ? undefined : frechetError(rows, reference, draws, seed);
  if ('set' in real && !frechetOnly) {
    const reference = await features(real.set, real.images);
    const moments = featureStatistics(reference);
    return async (set, images) => {
      const rows = await features(set, images);
      const { mean, deviation } = kernelInceptionDistance(rows, reference, { seed });
      const choosesSubsets = Math.min(images, reference.shape[0]) > subsetSize;
      return {
        images,
        frechet: frechetDistance(rows, moments),
        frechetError: error(rows, moments),
        kernel: choosesSubsets ? { mean, deviation } : { mean },
        ...neighbourMeasures(reference, rows),
      };
    };
  }
  const reference = 'set' in real ? await keptStatisticsOf(network, real.set, real.images) : real;
  return async (set, images, kind) => {
    if (draws !== undefined || set.parts) {
      const rows = await features(set, images);
      const frechet = frechetDistance(rows, reference);
      return { images, frechet, frechetError: error(rows, reference) };
    }
    const own =
      kind === 'real'
        ? await keptStatisticsOf(network, set, images)
        : await seen(set, images, (some, options) => statisticsOfImages(network, some, options));
    return { images, frechet: frechetDistance(own, reference) };
  };
}

/** The standard error of a Fréchet distance, with a progress bar. */
function frechetError(
  features: FeatureRows,
  reference: FeatureMoments,
  draws: number,
  seed: number,
): number {
  const progress = startProgress({ title: 'Drawing anew', total: draws, unit: 'draws' });
  let done = 0;
  const measure = (rows: FeatureRows): number => {
    const distance = frechetDistance(rows, reference);
    progress.update(++done);
    return distance;
  };
  try {
    return resamplingError([features], measure, { draws, seed });
  } finally {
    progress.finish();
  }
}

/** Images that each figure takes at least: a covariance two, a k-th neighbour k + 1. */
export const least = { moments: 2, images: 4, real: 6 };

export function checkEnough(name: string, images: number, needed: number): void {
  if (images >= needed) return;
  throw new UserError(
    `${counted(images, 'image')} of ${name} ${images === 1 ? 'is' : 'are'} compared`,
    needed > least.moments
      ? `Expected at least ${needed}, or at least ${least.moments} with --frechet-only`
      : `Expected at least ${needed}`,
  );
}

export function checkFloor(floor: ImageSet | undefined, images: number): void {
  if (!floor || floor.length >= images) return;
  throw new UserError(
    `${floor.name} has ${counted(floor.length, 'image')} for a floor of ${images}`,
    `Take more of them, or give --count ${floor.length}`,
  );
}

export function checkWidth(
  network: FeatureNetwork,
  file: string,
  statistics: StoredStatistics,
): void {
  if (statistics.mean.length === network.width) return;
  throw new UserError(
    `${file} has statistics of ${statistics.mean.length} features, ${network.name} has ${network.width}`,
    'Give the network that they are of by --network; 2048 features are those of inception-v3:FILE',
  );
}
