import type { Command } from 'commander';
import { startEngine } from '../backend/engine.js';
import { UserError } from '../backend/errors.js';
import { tf } from '../backend/tf.js';
import type { FeatureRows } from '../evaluation/distances/features.js';
import { frechetDistance } from '../evaluation/distances/frechet.js';
import { type KernelDistance, kernelDistance } from '../evaluation/distances/kernel.js';
import { type NeighbourMeasures, neighbourMeasures } from '../evaluation/distances/neighbours.js';
import { featureNetworkNames, openFeatureNetwork } from '../evaluation/features/named-network.js';
import { type FeatureNetwork, featuresOf } from '../evaluation/features/network.js';
import { startProgress } from '../workbook/progress.js';
import { count, wholeNumber } from './arguments.js';
import { type ImageSet, imageSetForms, openImageSet } from './image-sets.js';

interface DistanceOptions {
  network: string;
  floor?: string;
  count?: number;
  size?: number;
  seed: number;
  json: boolean;
}

/** What is told of one set of images beside the real ones. */
interface Comparison extends NeighbourMeasures {
  images: number;
  frechet: number;
  kernel: KernelDistance;
}

/** `tarflow distance`: how far images are from real ones, by the features of a network. */
export function addDistance(program: Command): void {
  program
    .command('distance')
    .description('compare images with real ones by the features of a network')
    .argument('<images>', imageSetForms)
    .argument('<real>', 'likewise')
    .option('--network <name>', featureNetworkNames.join(' or '), 'efficientnet-lite0')
    .option(
      '--floor <real>',
      'other real images: as many of them as there are images stand beside, as the best to hope for',
    )
    .option('--count <n>', 'only the first images of each set (default: all)', count)
    .option(
      '--size <pixels>',
      'bring pictures, and data sets in files, to so many squared (default, of sets: as the images)',
      count,
    )
    .option('--seed <n>', 'of the subsets of the kernel distance', wholeNumber, 0)
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
Told are the Fréchet distance (lower is better, and biased upwards when images are few), the kernel
distance (unbiased; mean and standard deviation over 100 subsets of up to 1,000), precision and recall
(3 neighbours), density and coverage (5 neighbours). They depend on the network and on the numbers of
images, so quote both, and never as FID or KID, which are of the Inception network.

Examples:
  $ tarflow sample results/checkpoints/fashion-mnist-conditional.safetensors --count 1000 \\
      --label 0,1,2,3,4,5,6,7,8,9 --denoise --out samples.safetensors
  $ tarflow distance samples.safetensors fashion-mnist/train --floor fashion-mnist/validation \\
      --network classifier:results/checkpoints/fashion-mnist-classifier.safetensors
  $ tarflow distance pictures/ emoji-base-32/train --count 500
  $ tarflow distance samples.safetensors imagenet:data/imagenet/train+validation --count 50000`,
    )
    .action(run);
}

async function run(imagesName: string, realName: string, options: DistanceOptions): Promise<void> {
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
    const [images, real] = [await open(imagesName), await open(realName)];
    const floor = options.floor === undefined ? undefined : await open(options.floor);
    const counted = ({ length }: ImageSet) => Math.min(length, options.count ?? length);
    checkFloor(floor, counted(images));
    network = await openFeatureNetwork(options.network);
    const seen = async (set: ImageSet, number: number) =>
      featuresWithProgress(network as FeatureNetwork, set, number);
    const reference = await seen(real, counted(real));
    const compare = async (set: ImageSet) =>
      comparison(await seen(set, counted(images)), reference, options.seed);
    const outcome = {
      ...{ images: imagesName, real: realName, network: network.name, realImages: counted(real) },
      ...(await compare(images)),
      ...(floor && { floor: { real: floor.name, ...(await compare(floor)) } }),
    };
    console.log(options.json ? JSON.stringify(outcome, null, 2) : textOf(outcome));
  } finally {
    network?.dispose();
    for (const set of opened) set.dispose();
  }
}

function checkFloor(floor: ImageSet | undefined, images: number): void {
  if (!floor || floor.length >= images) return;
  throw new UserError(
    `${floor.name} has ${floor.length} images for a floor of ${images}`,
    `Take more of them, or give --count ${floor.length}`,
  );
}

async function featuresWithProgress(
  network: FeatureNetwork,
  set: ImageSet,
  number: number,
): Promise<FeatureRows> {
  const progress = startProgress({
    title: `Features of ${set.name}`,
    total: number,
    unit: 'images',
  });
  const images = set.first(number);
  try {
    return await featuresOf(network, images, { onProgress: (done) => progress.update(done) });
  } finally {
    progress.finish();
    if (images instanceof tf.Tensor) images.dispose();
  }
}

function comparison(features: FeatureRows, real: FeatureRows, seed: number): Comparison {
  return {
    images: features.shape[0],
    frechet: frechetDistance(features, real),
    kernel: kernelDistance(features, real, { seed }),
    ...neighbourMeasures(real, features),
  };
}

function textOf({
  network,
  realImages,
  floor,
  ...outcome
}: Comparison & { network: string; realImages: number; floor?: Comparison | undefined }): string {
  const columns = [outcome, ...(floor ? [floor] : [])];
  const row = (title: string, text: (one: Comparison) => string): string =>
    [title.padEnd(22), ...columns.map((one) => text(one).padStart(20))].join('');
  return [
    `${network}, ${outcome.images} images against ${realImages} real ones`,
    ...(floor
      ? [
          ['', 'images', 'floor']
            .map((text, i) => (i ? text.padStart(20) : ' '.repeat(22)))
            .join(''),
        ]
      : []),
    row('Fréchet distance', ({ frechet }) => frechet.toFixed(3)),
    row(
      'kernel distance',
      ({ kernel }) => `${kernel.mean.toExponential(2)} ± ${kernel.deviation.toExponential(1)}`,
    ),
    row('precision', ({ precision }) => precision.toFixed(3)),
    row('recall', ({ recall }) => recall.toFixed(3)),
    row('density', ({ density }) => density.toFixed(3)),
    row('coverage', ({ coverage }) => coverage.toFixed(3)),
  ].join('\n');
}
