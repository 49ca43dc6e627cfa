import { each, figure, measurement, type Notebook } from './measurement.js';

/** Notebook 02: a TarFlow of Fashion-MNIST, taken apart. */
export const tarflowOnImages = {
  notebook: '02-tarflow-on-images',
  question: 'How does TarFlow work on images?',
  measurements: [
    measurement({
      id: '02-training-curve',
      title: 'The training loss falls smoothly',
      claim:
        'Two kinds of residual connection make training as stable as a transformer’s: the loss falls smoothly and monotonically (A5, C2).',
      figures: each(['density', 'conditional'], (model) => [
        figure(`validations lower than the one before, ${model}`, 'share'),
        figure(`largest rise between validations, ${model}`, 'share of the whole fall'),
      ]),
      trains: true,
    }),
    measurement({
      id: '02-round-trip',
      title: 'forward and inverse undo each other',
      claim: 'The map is exactly invertible (A3).',
      figures: [
        figure('largest error, Gaussian-noise model', '', 'rounding'),
        figure('largest error, uniform-noise model', '', 'rounding'),
      ],
    }),
    measurement({
      id: '02-triangular-jacobian',
      title: 'The Jacobian is triangular, the likelihood exact',
      claim: 'The Jacobian is triangular, so the likelihood is exact and cheap (A3).',
      figures: [
        figure('largest entry outside the triangle', '', 'exact'),
        figure('log-determinant: elimination against forward pass, difference', 'nats', 'rounding'),
        figure('log-determinant', 'nats'),
      ],
    }),
    measurement({
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
    }),
    measurement({
      id: '02-denoising',
      title: 'One denoising step cleans the noise',
      claim: 'One training-free step along the model’s own score cleans noisy images (T2).',
      figures: [
        figure('mean square error of noisy test images'),
        figure('after one step, λ = 1'),
        figure('share of the noise’s power removed'),
        figure('share removed by clipping alone'),
        figure('share removed by the step and clipping'),
      ],
    }),
  ],
} satisfies Notebook;
