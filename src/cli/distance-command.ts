import { counted } from '../core/errors.js';
import { featureNetworkNames } from '../evaluation/named-network.js';
import { checkUsed, count, wholeNumber } from './arguments.js';
import { defineCommand } from './command.js';
import {
  type DistanceOptions,
  distanceOutcome,
  distanceText,
  keepFeatures,
} from './distance-outcome.js';
import { imageSetForms } from './image-sets.js';
import { partOption } from './sample-parts.js';

/** `tarflow distance`: how far images are from real ones, by the features of a network. */
export const distance = defineCommand({
  name: 'distance',
  description: 'compare images with real ones by the features of a network',
  options: (command) =>
    command
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
      .option(
        '--seed <n>',
        'of the subsets of the kernel distance, and of --errors',
        wholeNumber,
        0,
      )
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
      .addOption(
        partOption(
          'compute and keep the features of this part of `tarflow sample --part` alone, and compare nothing yet',
        ),
      ),
  help: `\
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
  $ tarflow distance samples.safetensors imagenet:data/imagenet/train+validation --count 50000`,
  async run(images: string, real: string, options: DistanceOptions) {
    const { count, floor, size, errors, frechetOnly } = options;
    checkUsed({ count, floor, size, errors, frechetOnly }, options.part ? 'with --part' : false);
    if (options.part) {
      const kept = await keepFeatures(images, options.part, options.network);
      return {
        json: kept,
        text: `Features of ${counted(kept.images, 'image')} of ${kept.file} are kept`,
      };
    }
    const { outcome, names } = await distanceOutcome(images, real, options);
    return { json: outcome, text: distanceText(outcome, names) };
  },
});
