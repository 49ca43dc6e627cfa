import {
  type Experiment,
  findExperiment as find,
  registerExperiments,
} from '../../src/training/experiment.js';
// The sets of emoji and of outliers become known by name.
import '../data/emoji.js';
import '../data/outliers.js';
import { design } from './design.js';
import { emojiFromText } from './emoji-text.js';
import { images } from './images.js';
import { latentsAndPixels } from './latents-and-pixels.js';
import { noise } from './noise.js';
import { oneCost } from './one-cost.js';
import { peers } from './peers.js';
import { residualArms } from './residuals.js';
import { tokens } from './tokens.js';

export { noiseExperiment } from './noise.js';

/** The experiments of the workbook, in its order. */
export const experiments: readonly Experiment[] = [
  images,
  noise,
  tokens,
  design,
  residualArms,
  oneCost,
  emojiFromText,
  latentsAndPixels,
  peers,
].flat();

/** How committed runs came about, and what their held-out loss is of, where that is not plain. */
export const runNotes: Readonly<Record<string, string>> = {
  'fashion-mnist-density':
    'The committed checkpoint took these steps, the first 5,878 of them under longer plans.',
  'fashion-mnist-conditional-8x2':
    'The committed checkpoint took these steps, the first 21,230 of them under longer plans (43,000 ' +
    'steps at first, then 31,000 and 28,000), and then 10,400 more from there (`--from`, ' +
    '`steps=10400 peakLearningRate=6e-4 warmupSteps=300 holdSteps=3500 seed=2`, the first 5,137 of ' +
    'them under plans of 12,900 and 11,400) and 6,700 from there (`steps=6700 ' +
    'peakLearningRate=6e-4 warmupSteps=300 holdSteps=2700 seed=3`, the first 2,606 of them under a ' +
    'plan of 20,000).',
  'emoji-256-tokens': 'The committed checkpoint’s first 297 steps were under a plan of 2,800.',
  'emoji-conditional':
    'The committed checkpoint took these steps, the first 4,839 of them under longer plans.',
  'design-volume-preserving': 'Half the mean square of the noise.',
  'emoji-vae':
    'No likelihood. The committed checkpoint took these steps, the first 4,754 of them under a plan of ' +
    '14,000. Its PSNR is in the same log.',
  'emoji-vae-noisy': 'No likelihood. From the committed `emoji-vae` (`--from`).',
  'emoji-text':
    'Of the latents. Its checkpoint went on as `emoji-text-mirrored`. The held-out loss was least after ' +
    '2,600 steps. The names of the validation split are not those of the training split, so it rises ' +
    'while samples of the latter still get better.',
  'emoji-text-mirrored': 'Of the latents. From the checkpoint of `emoji-text` (`--from`).',
  'emoji-judge':
    'No likelihood. Too sure of itself on what it has not seen, and so its loss is high; its accuracy ' +
    'is in the same log.',
  'emoji-on-latents': 'Of the latents.',
};

registerExperiments(experiments);

/**
 * The experiment of a name, one of the workbook's or one that was registered.
 * @throws UserError that lists the names there are
 */
export const findExperiment: (name: string) => Experiment = find;
