import { startEngine } from '../core/engine.js';
import { UserError } from '../core/errors.js';
import { openFeatureNetwork } from '../evaluation/named-network.js';
import { isStatisticsFile, readStatistics } from '../evaluation/statistics-file.js';
import type { FeatureNetwork } from '../pretrained/feature-network.js';
import type { Part } from '../sampling/parts.js';
import { tableText } from '../show/table.js';
import { withOwned } from './command.js';
import {
  type Comparison,
  type ComparisonOptions,
  checkEnough,
  checkFloor,
  checkWidth,
  comparer,
  least,
  type Real,
} from './comparison.js';
import { type ImageSet, openImageSet } from './image-sets.js';
import { drawingOf, featuresOfPart, partFile } from './sample-parts.js';

/** What the options of `tarflow distance` give. */
export interface DistanceOptions extends ComparisonOptions {
  network: string;
  floor?: string;
  count?: number;
  size?: number;
  part?: Part;
}

/** All that `tarflow distance` tells, as `--json` prints it. */
export interface DistanceOutcome extends Comparison {
  real: string;
  network: string;
  /** Undefined where a file of statistics does not say it. */
  realImages: number | undefined;
  floor?: (Comparison & { real: string }) | undefined;
  /** Figures that a file of statistics does not allow. */
  unavailable?: readonly string[] | undefined;
}

/**
 * Compares images with real ones, and with a floor where there is one.
 * @returns the outcome, and what the network calls its distances
 * @throws UserError for sets that are not there, too small, or not of this network
 */
export async function distanceOutcome(
  imagesName: string,
  realName: string,
  options: DistanceOptions,
): Promise<{ outcome: DistanceOutcome; names: FeatureNetwork['distances'] }> {
  if (options.errors === 1) {
    throw new UserError('--errors is 1, which has no deviation', 'Expected 2 draws or more');
  }
  await startEngine();
  return withOwned(async (own) => {
    const { size } = options;
    const asked = size === undefined ? undefined : { channels: 3, height: size, width: size };
    const images = own(await openImageSet(imagesName, { asked }));
    const open = async (name: string) =>
      own(await openImageSet(name, { asked, usual: images.image }));
    const counted = ({ length }: ImageSet) => Math.min(length, options.count ?? length);
    const real = await openReal(realName, open, counted);
    const floor = options.floor === undefined ? undefined : await open(options.floor);
    const number = counted(images);
    checkFloor(floor, number);
    const byMoments = options.frechetOnly || !('set' in real);
    checkEnough(images.name, number, byMoments ? least.moments : least.images);
    if ('set' in real) {
      checkEnough(real.set.name, real.images, byMoments ? least.moments : least.real);
    }
    const network = own(await openFeatureNetwork(options.network));
    if (!('set' in real)) checkWidth(network, realName, real);
    const compare = await comparer(network, real, options);
    const outcome: DistanceOutcome = {
      real: realName,
      network: network.name,
      realImages: 'set' in real ? real.images : real.count,
      ...(await compare(images, number)),
      floor: floor && { real: floor.name, ...(await compare(floor, number, 'real')) },
      unavailable: 'set' in real ? undefined : needingImages(network),
    };
    return { outcome, names: network.distances };
  });
}

async function openReal(
  name: string,
  open: (name: string) => Promise<ImageSet>,
  counted: (set: ImageSet) => number,
): Promise<Real> {
  if (await isStatisticsFile(name)) return readStatistics(name);
  const set = await open(name);
  return { set, images: counted(set) };
}

/**
 * Computes the features of a part of samples alone, which are kept beside them.
 * @returns how many images they are of, and by which network
 * @throws UserError where the part is not there
 */
export async function keepFeatures(
  folder: string,
  part: Part,
  network: string,
): Promise<{ file: string; images: number; network: string }> {
  const file = partFile(folder, part);
  await startEngine();
  // Before the network is opened: that the part is there.
  await drawingOf(file);
  return withOwned(async (own) => {
    const opened = own(await openFeatureNetwork(network));
    const { shape } = await featuresOfPart(opened, file);
    return { file, images: shape[0], network: opened.name };
  });
}

/** What a mean and a covariance do not tell. */
function needingImages({ distances }: FeatureNetwork): string[] {
  return [distances?.kernel ?? 'kernel distance', 'precision', 'recall', 'density', 'coverage'];
}

/**
 * A table of the figures, each with the network and the numbers of images beside it.
 * @param names of the two distances by this network, where they have names of their own
 */
export function distanceText(
  outcome: DistanceOutcome,
  names: Required<FeatureNetwork>['distances'] = {
    frechet: 'Fréchet distance',
    kernel: 'kernel distance',
  },
): string {
  const { network, realImages, floor, unavailable } = outcome;
  const known = realImages ?? 'an unknown number of';
  const about = `(${network}, n = ${outcome.images} and ${realImages ?? 'unknown'})`;
  const row = (title: string, text: (one: Comparison) => string | undefined): object[] => {
    const [images, ofFloor] = [outcome, floor].map((one) => one && text(one));
    const figure = `${title} ${about}`;
    return images === undefined ? [] : [{ figure, images, ...(floor && { floor: ofFloor }) }];
  };
  const rows = [
    ...row(names.frechet, ({ frechet, frechetError: error }) =>
      error === undefined ? frechet.toFixed(3) : `${frechet.toFixed(3)} ± ${error.toFixed(3)}`,
    ),
    ...row(names.kernel, ({ kernel }) => kernel && kernelText(kernel)),
    ...(['precision', 'recall', 'density', 'coverage'] as const).flatMap((measure) =>
      row(measure, (one) => one[measure]?.toFixed(3)),
    ),
  ];
  const caption = `${network}, ${outcome.images} images against ${known} real ones`;
  const lacking = `${outcome.real} holds no images: ${unavailable?.join(', ')} are unavailable`;
  return [tableText(rows, { caption }), ...(unavailable ? [lacking] : [])].join('\n');
}

function kernelText({ mean, deviation }: Required<Comparison>['kernel']): string {
  const error = deviation === undefined ? '' : ` ± ${deviation.toExponential(1)}`;
  return `${mean.toExponential(2)}${error}`;
}
