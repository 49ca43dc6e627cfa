import type { Command } from 'commander';
import { startEngine } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { tf } from '../core/tf.js';
import {
  type FeatureMoments,
  type FeatureRows,
  featureStatistics,
} from '../evaluation/distances/features.js';
import { frechetDistance } from '../evaluation/distances/frechet.js';
import { kernelDistance, subsetSize } from '../evaluation/distances/kernel.js';
import { neighbourMeasures } from '../evaluation/distances/neighbours.js';
import { resamplingError } from '../evaluation/distances/resampling-error.js';
import {
  isStatisticsFile,
  readStatistics,
  type StoredStatistics,
} from '../evaluation/distances/statistics-file.js';
import { keptStatistics } from '../evaluation/features/kept-statistics.js';
import { featureNetworkNames, openFeatureNetwork } from '../evaluation/features/named-network.js';
import {
  type FeatureNetwork,
  type FeaturesOptions,
  featuresOf,
  type ImagesToSee,
  statisticsOfImages,
} from '../evaluation/features/network.js';
import { startProgress } from '../show/progress.js';
import { count, wholeNumber } from './arguments.js';
import { type Comparison, type DistanceOutcome, distanceText } from './distance-text.js';
import { type ImageSet, imageSetForms, openImageSet } from './image-sets.js';

interface DistanceOptions {
  network: string;
  floor?: string;
  count?: number;
  size?: number;
  seed: number;
  frechetOnly: boolean;
  errors?: number;
  json: boolean;
}

/** What images are compared with: real images, or what a file tells of them. */
type Real = { set: ImageSet; statistics?: undefined } | { statistics: StoredStatistics };

/** `tarflow distance`: how far images are from real ones, by the features of a network. */
export function addDistance(program: Command): void {
  program
    .command('distance')
    .description('compare images with real ones by the features of a network')
    .argument('<images>', imageSetForms)
    .argument('<real>', 'likewise, or a file of statistics (.pth, .pt, .safetensors)')
    .option('--network <name>', featureNetworkNames.join(' or '), 'efficientnet-lite0')
    .option(
      '--floor <real>',
      'other real images: the distance of as many of them is printed beside, as the least to expect',
    )
    .option('--count <n>', 'only the first images of each set (default: all)', count)
    .option(
      '--size <pixels>',
      'bring pictures, and data sets in files, to so many squared (default, of sets: as the images)',
      count,
    )
    .option('--seed <n>', 'of the subsets of the kernel distance, and of --errors', wholeNumber, 0)
    .option(
      '--errors <draws>',
      'a standard error of the Fréchet distance, by drawing the images anew so often (40, for example)',
      count,
    )
    .option(
      '--frechet-only',
      'only the Fréchet distance; statistics of real images are kept in the cache folder',
      false,
    )
    .option('--json', 'print JSON', false)
    .addHelpText('after', helpText)
    .action(run);
}

const helpText = `
Prints the Fréchet distance (lower is better; biased upwards when images are few), the kernel distance
(unbiased; mean and standard deviation over 100 subsets of 1,000; sets of 1,000 images or fewer have no
deviation), precision and recall (3 neighbours), density and coverage (5 neighbours). They depend on the
network and on the numbers of images, which stand beside each figure. By Inception-v3 alone the first two
are called FID and KID.

--errors draws as many images from the set, with replacement, and takes the deviation of the distance over
the draws. That is the error over other samples of the same model. It is too large near the floor, by up to
√3, and knows nothing of how well the real images are known.

Networks whose weights you have in a file:
  inception-v3:FILE  that of FID, pt_inception-2015-12-05-6726825d.pth of pytorch-fid and torch-fidelity
  dinov2:FILE        dinov2_vitb14_pretrain.pth or dinov2_vitl14_pretrain.pth of facebookresearch/dinov2,
                     or model.safetensors of Dinov2Model
  classifier:FILE    a classifier of ours in a checkpoint

A file of statistics in place of real images holds a mean and a covariance (mean or mu; covariance, cov or
sigma), or the state of torchmetrics' FID, as *_fid_stats.pth of the published code, which holds the
network of FID, too. It allows a Fréchet distance and no other figure.

Examples:
  $ tarflow sample results/checkpoints/fashion-mnist-conditional-8x2.safetensors --count 1000 \\
      --label 0,1,2,3,4,5,6,7,8,9 --denoise --out samples.safetensors
  $ tarflow distance samples.safetensors fashion-mnist/train --floor fashion-mnist/validation \\
      --network classifier:results/checkpoints/fashion-mnist-classifier.safetensors
  $ tarflow distance pictures/ emoji-base-32/train --count 500
  $ tarflow distance pictures/ folder/ --frechet-only \\
      --network inception-v3:pt_inception-2015-12-05-6726825d.pth
  $ tarflow distance pictures/ imagenet_64_fid_stats.pth --network inception-v3:imagenet_64_fid_stats.pth
  $ tarflow distance samples.safetensors imagenet:data/imagenet/train+validation --count 50000`;

async function run(imagesName: string, realName: string, options: DistanceOptions): Promise<void> {
  if (options.errors === 1) {
    throw new UserError('--errors is 1, which has no deviation', 'Expected 2 draws or more');
  }
  await startEngine();
  const opened: ImageSet[] = [];
  const { size } = options;
  const asked = size === undefined ? undefined : { channels: 3, height: size, width: size };
  const open = async (name: string): Promise<ImageSet> => {
    const set = await openImageSet(name, { asked, usual: opened[0]?.image });
    opened.push(set);
    return set;
  };
  let network: FeatureNetwork | undefined;
  try {
    const images = await open(imagesName);
    const real: Real = (await isStatisticsFile(realName))
      ? { statistics: await readStatistics(realName) }
      : { set: await open(realName) };
    const floor = options.floor === undefined ? undefined : await open(options.floor);
    const counted = ({ length }: ImageSet) => Math.min(length, options.count ?? length);
    checkFloor(floor, counted(images));
    const byMoments = options.frechetOnly || real.statistics !== undefined;
    checkEnough(images.name, counted(images), byMoments ? least.moments : least.images);
    if (!real.statistics) {
      const { set } = real;
      checkEnough(set.name, counted(set), byMoments ? least.moments : least.real);
    }
    network = await openFeatureNetwork(options.network);
    checkWidth(network, realName, real.statistics);
    const compare = await comparer(network, real, counted, options);
    const outcome: DistanceOutcome = {
      ...{ real: realName, network: network.name },
      realImages: real.statistics ? real.statistics.count : counted(real.set),
      ...(await compare(images, counted(images))),
      ...(floor && {
        floor: { real: floor.name, ...(await compare(floor, counted(images), 'real')) },
      }),
      ...(real.statistics && { unavailable: needingImages(network) }),
    };
    const text = () => distanceText(outcome, network?.distances);
    console.log(options.json ? JSON.stringify(outcome, null, 2) : text());
  } finally {
    network?.dispose();
    for (const set of opened) set.dispose();
  }
}

/** What a mean and a covariance do not tell. */
function needingImages({ distances }: FeatureNetwork): string[] {
  return [distances?.kernel ?? 'kernel distance', 'precision', 'recall', 'density', 'coverage'];
}

/** Compares the first images of a set, be they real or not, with the real ones. */
type Compare = (set: ImageSet, number: number, kind?: 'real') => Promise<Comparison>;

async function comparer(
  network: FeatureNetwork,
  real: Real,
  counted: (set: ImageSet) => number,
  { frechetOnly, seed, errors: draws }: DistanceOptions,
): Promise<Compare> {
  const features = (set: ImageSet, number: number) =>
    seen(set, number, (images, options) => featuresOf(network, images, options));
  const drawn = (rows: FeatureRows, reference: FeatureMoments): Pick<Comparison, 'frechetError'> =>
    draws === undefined ? {} : { frechetError: frechetError(rows, reference, { draws, seed }) };
  if (frechetOnly || real.statistics) {
    const kept = (set: ImageSet, number: number) =>
      seen(set, number, (images, options) =>
        keptStatistics(network, images, { ...options, name: set.name }),
      );
    const reference = real.statistics ?? (await kept(real.set, counted(real.set)));
    const statistics = (set: ImageSet, number: number) =>
      seen(set, number, (images, options) => statisticsOfImages(network, images, options));
    return async (set, number, kind) => {
      if (draws !== undefined) {
        const rows = await features(set, number);
        const frechet = frechetDistance(rows, reference);
        return { images: number, frechet, ...drawn(rows, reference) };
      }
      const own = await (kind === 'real' ? kept : statistics)(set, number);
      return { images: number, frechet: frechetDistance(own, reference) };
    };
  }
  const reference = await features(real.set, counted(real.set));
  const moments = featureStatistics(reference);
  return async (set, number) => {
    const rows = await features(set, number);
    return { ...comparison(rows, reference, moments, seed), ...drawn(rows, moments) };
  };
}

/** Images that each figure takes at least: a covariance two, a k-th neighbour k + 1. */
const least = { moments: 2, images: 4, real: 6 };

function checkEnough(name: string, images: number, needed: number): void {
  if (images >= needed) return;
  throw new UserError(
    `Of ${name} ${images} ${images === 1 ? 'image is' : 'images are'} compared`,
    needed > least.moments
      ? `Expected at least ${needed}, or at least ${least.moments} with --frechet-only`
      : `Expected at least ${needed}`,
  );
}

function checkFloor(floor: ImageSet | undefined, images: number): void {
  if (!floor || floor.length >= images) return;
  throw new UserError(
    `${floor.name} has ${floor.length} images for a floor of ${images}`,
    `Take more of them, or give --count ${floor.length}`,
  );
}

function checkWidth(
  network: FeatureNetwork,
  file: string,
  statistics: StoredStatistics | undefined,
): void {
  if (!statistics || statistics.mean.length === network.width) return;
  throw new UserError(
    `${file} has statistics of ${statistics.mean.length} features, ${network.name} has ${network.width}`,
    'Give the network that they are of by --network; 2048 features are those of inception-v3:FILE',
  );
}

/** What `f` makes of the first images of a set, with a progress bar. */
async function seen<R>(
  set: ImageSet,
  number: number,
  f: (images: ImagesToSee, options: FeaturesOptions) => Promise<R>,
): Promise<R> {
  const progress = startProgress({
    title: `Features of ${set.name}`,
    total: number,
    unit: 'images',
  });
  const images = set.first(number);
  try {
    return await f(images, {
      onProgress: (share) => progress.update(Math.round(share * number)),
    });
  } finally {
    progress.finish();
    if (images instanceof tf.Tensor) images.dispose();
  }
}

/** The standard error of a Fréchet distance, with a progress bar. */
function frechetError(
  features: FeatureRows,
  reference: FeatureMoments,
  { draws, seed }: { draws: number; seed: number },
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

function comparison(
  features: FeatureRows,
  real: FeatureRows,
  moments: FeatureMoments,
  seed: number,
): Comparison {
  const { mean, deviation } = kernelDistance(features, real, { seed });
  const choosesSubsets = Math.min(features.shape[0], real.shape[0]) > subsetSize;
  return {
    images: features.shape[0],
    frechet: frechetDistance(features, moments),
    kernel: { mean, ...(choosesSubsets && { deviation }) },
    ...neighbourMeasures(real, features),
  };
}
