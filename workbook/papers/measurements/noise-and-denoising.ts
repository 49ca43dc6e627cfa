import { tableOf } from '../tables.js';
import { besidePublished, figure, type Measurement, workbookCommand } from './measurement.js';

const command = workbookCommand('03', ' --train');
const raw = figure('FD (Fashion-MNIST classifier features), Gaussian 0.1, raw', '', 'computed');
const realImages = figure('FD, real images at the same N', '', 'computed');
const laws = ['uniform', 'gaussian'];

/** Notebook 03: which noise to train with, and the step that takes it away. */
export const noiseAndDenoising: readonly Measurement[] = [
  {
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
      ...laws.map((law) => figure(`samples not finite, ${law}`, '%', 'computed')),
      ...laws.map((law) => figure(`samples far beyond the range, ${law}`, '%', 'computed')),
      ...laws.map((law) => figure(`emoji not finite, ${law}`, '%', 'computed')),
      // Read from the logs of trainings, and from the table `noise-kinds` of `tarflow reproduce`.
      ...['uniform', 'Gaussian 0.1, denoised', 'uniform − Gaussian'].map((what) =>
        figure(`FD, ${what}, seven epochs`, '', 'computed'),
      ),
      figure('FD, uniform / Gaussian, seven epochs, lowest of the seeds', '', 'computed'),
      ...['uniform', 'Gaussian'].map((noise) =>
        figure(`jumps of the held-out loss, seven epochs, ${noise}`, '', 'exact'),
      ),
    ],
    command,
  },
  {
    id: '03-denoising',
    title: 'T2 One denoising step',
    claim: "One training-free denoising step with the model's own score cleans the noisy samples.",
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
        besidePublished(tableOf('noise-ablation'), 'TarFlow, ablation at 64×64', 'best σ'),
      ),
    ],
    command,
  },
];
