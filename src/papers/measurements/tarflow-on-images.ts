import { tableOf } from '../tables.js';
import { besidePublished, figure, type Measurement, workbookCommand } from './measurement.js';

const command = workbookCommand('02');
const glow = besidePublished(
  tableOf('likelihood-fashion-mnist'),
  'Glow on Fashion-MNIST test',
  'bits per dimension',
);

/** Notebook 02: likelihood and samples of Fashion-MNIST. */
export const tarflowOnImages: readonly Measurement[] = [
  {
    id: '02-training-curve',
    title: 'The training loss falls smoothly',
    claim:
      'Two kinds of residual connection make training as stable as a transformer’s: the loss falls smoothly and monotonically (A5, C2).',
    figures: ['density', 'conditional'].flatMap((model) => [
      figure(`validations lower than the one before, ${model}`, 'share', 'computed'),
      figure(`largest rise between validations, ${model}`, 'share of the whole fall', 'computed'),
    ]),
    command: workbookCommand('02', ' --train'),
  },
  {
    id: '02-bits-per-dimension',
    title: 'Likelihood of Fashion-MNIST',
    claim:
      'TarFlow’s exact likelihood is competitive (Table 2, on ImageNet 64×64); here on Fashion-MNIST, beside Glow.',
    figures: [
      figure('bits per dimension, test split', 'bits/dim', 'computed', glow),
      figure('standard error', 'bits/dim', 'computed'),
      figure('images', '', 'exact'),
    ],
    command:
      "npx tarflow bpd results/checkpoints/fashion-mnist-density.safetensors --data fashion-mnist --split test --reason 'the figure of Table 2'",
  },
  {
    id: '02-background',
    title: 'A background one grey level wide, spread first',
    claim:
      'Ours, not a paper’s: the noise of a black background, made normal and wide before block 0, saves bits.',
    figures: [
      figure('bits per dimension, pixels as they are', 'bits/dim', 'trained'),
      figure('bits per dimension, background spread', 'bits/dim', 'trained'),
      figure('held-out images', '', 'exact'),
    ],
    command,
  },
  {
    id: '02-round-trip',
    title: 'forward and inverse undo each other',
    claim: 'The map is exactly invertible (A3).',
    figures: [
      figure('largest error, Gaussian-noise model', '', 'rounding'),
      figure('largest error, uniform-noise model', '', 'rounding'),
    ],
    command,
  },
  {
    id: '02-triangular-jacobian',
    title: 'The Jacobian is triangular, the likelihood exact',
    claim: 'The Jacobian is triangular, so the likelihood is exact and cheap (A3).',
    figures: [
      figure('largest entry outside the triangle', '', 'exact'),
      figure('log-determinant: elimination against forward pass, difference', 'nats', 'rounding'),
      figure('log-determinant', 'nats', 'computed'),
    ],
    command,
  },
  {
    id: '02-parallel-and-sequential',
    title: 'Sampling is sequential',
    claim:
      'Training is parallel over all patches and inversion sequential (A4), which makes sampling the bottleneck (S1).',
    figures: [
      figure('time of inverse ÷ time of forward, batch 1', '×', 'timing'),
      figure('time of inverse ÷ time of forward, batch 128', '×', 'timing'),
      figure('inverse, batch 1', 's', 'timing'),
      figure('forward, batch 1', 's', 'timing'),
    ],
    command,
  },
  {
    id: '02-denoising',
    title: 'One denoising step cleans the noise',
    claim: 'One training-free step along the model’s own score cleans noisy images (T2).',
    figures: [
      figure('mean square error of noisy test images', '', 'computed'),
      figure('after one step, λ = 1', '', 'computed'),
      figure('share of the noise’s power removed', '', 'computed'),
    ],
    command,
  },
  {
    id: '02-no-copies',
    title: 'Samples are not copies of training images',
    claim:
      'The model makes new images: its samples are no nearer to the training set than test images are.',
    figures: [
      figure('smallest distance, samples', 'rms', 'computed'),
      figure('smallest distance, test images', 'rms', 'computed'),
      figure('median distance, samples', 'rms', 'computed'),
      figure('median distance, test images', 'rms', 'computed'),
    ],
    command,
  },
];
