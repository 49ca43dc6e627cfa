import { each, figure, measurement, type Notebook } from './measurement.js';

const kinds = ['uniform', 'gaussian'] as const;
const command = 'npm run workbook -- --all --only reports/02';

/** Which noise to train with, and the step that takes it away. */
export const noise = {
  notebook: 'reports/02-noise',
  question: 'What is the noise of training for, and how is it taken away?',
  tables: ['noise-kinds'],
  measurements: [
    measurement({
      id: 'noise-kinds',
      title: 'Samples of flows of uniform and of Gaussian noise',
      claim: 'Narrow uniform noise leads to numerical trouble.',
      figures: [
        ...each(kinds, (kind) => figure(`samples not finite, ${kind}`, '%')),
        ...each(kinds, (kind) => figure(`samples far beyond the range, ${kind}`, '%')),
        ...each(kinds, (kind) => figure(`emoji not finite, ${kind}`, '%')),
      ],
      command,
    }),
    measurement({
      id: 'denoising',
      title: 'One denoising step, on images with known noise',
      claim:
        "One training-free denoising step with the model's own score cleans the noisy samples.",
      figures: [
        figure('error on test images before the step'),
        figure('error on test images after the step'),
        figure('error on test images, clipping alone'),
        figure('error on test images, step and clipping'),
        figure('best λ on validation images'),
        figure('share of the noise’s power removed'),
        figure('share removed by clipping alone'),
        figure('share removed by the step and clipping'),
      ],
      command,
    }),
  ],
} satisfies Notebook;
