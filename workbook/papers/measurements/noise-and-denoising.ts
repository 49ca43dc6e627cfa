import { published } from '../paper-table.js';
import { each, figure, measurement, type Notebook } from './measurement.js';

const raw = figure('FD (Fashion-MNIST classifier features), Gaussian 0.1, raw', '', 'computed');
const realImages = figure('FD, real images at the same N', '', 'computed');
const laws = ['uniform', 'gaussian'] as const;

/** Notebook 03: which noise to train with, and the step that takes it away. */
export const noiseAndDenoising = {
  notebook: '03-noise-and-denoising',
  question: 'What is the noise of training for, and how is it taken away?',
  measurements: [
    measurement({
      id: '03-noise',
      title: 'T1 Gaussian noise in training',
      claim:
        'Gaussian noise added to the training data is decisive for sample quality; narrow uniform noise ' +
        'leads to numerical trouble and poor samples.',
      figures: [
        figure('FD (Fashion-MNIST classifier features), uniform, raw', '', 'computed'),
        figure('the same, deviation over seeds', '', 'computed'),
        figure('FD, uniform, step of equal width', '', 'computed'),
        figure('FD, Gaussian 0.1, raw', '', 'computed'),
        figure('FD, Gaussian 0.1, raw, deviation over seeds', '', 'computed'),
        realImages,
        figure('median amplification of the inverse, uniform', 'σ', 'computed'),
        figure('median amplification of the inverse, Gaussian 0.1', 'σ', 'computed'),
        ...each(laws, (law) => figure(`samples not finite, ${law}`, '%', 'computed')),
        ...each(laws, (law) => figure(`samples far beyond the range, ${law}`, '%', 'computed')),
        ...each(laws, (law) => figure(`emoji not finite, ${law}`, '%', 'computed')),
        // Read from the logs of trainings, and from the table `noise-kinds` of `tarflow reproduce`.
        ...each(['uniform', 'Gaussian 0.1, denoised', 'uniform − Gaussian'], (what) =>
          figure(`FD, ${what}, seven epochs`, '', 'computed'),
        ),
        figure('FD, uniform / Gaussian, seven epochs, lowest of the seeds', '', 'computed'),
        ...each(['uniform', 'Gaussian'], (noise) =>
          figure(`jumps of the held-out loss, seven epochs, ${noise}`, '', 'exact'),
        ),
      ],
      trains: true,
    }),
    measurement({
      id: '03-denoising',
      title: 'T2 One denoising step',
      claim:
        "One training-free denoising step with the model's own score cleans the noisy samples.",
      figures: [
        raw,
        figure('FD, Gaussian 0.1, denoised', '', 'computed'),
        figure('FD, Gaussian 0.1, denoised, deviation over seeds', '', 'computed'),
        realImages,
        figure('error on test images before the step', '', 'computed'),
        figure('error on test images after the step', '', 'computed'),
        figure('error on test images, clipping alone', '', 'computed'),
        figure('error on test images, step and clipping', '', 'computed'),
        figure('best λ on validation images', '', 'computed'),
        figure(
          'best σ after denoising',
          '',
          'computed',
          published('noise-ablation', 'TarFlow, ablation at 64×64', 'best σ'),
        ),
      ],
      trains: true,
    }),
  ],
} satisfies Notebook;
