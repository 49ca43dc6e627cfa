import { published } from '../paper-table.js';
import { each, figure, measurement, type Notebook } from './measurement.js';

const raw = figure('FD (Fashion-MNIST classifier features), Gaussian 0.1, raw');
const realImages = figure('FD, real images at the same N');
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
        figure('FD (Fashion-MNIST classifier features), uniform, raw'),
        figure('the same, deviation over seeds'),
        figure('FD, uniform, step of equal width'),
        figure('FD, Gaussian 0.1, raw'),
        figure('FD, Gaussian 0.1, raw, deviation over seeds'),
        realImages,
        figure('median amplification of the inverse, uniform', 'σ'),
        figure('median amplification of the inverse, Gaussian 0.1', 'σ'),
        ...each(laws, (law) => figure(`samples not finite, ${law}`, '%')),
        ...each(laws, (law) => figure(`samples far beyond the range, ${law}`, '%')),
        ...each(laws, (law) => figure(`emoji not finite, ${law}`, '%')),
        // Read from the logs of trainings, and from the table `noise-kinds` of `tarflow reproduce`.
        ...each(['uniform', 'Gaussian 0.1, denoised', 'uniform − Gaussian'], (what) =>
          figure(`FD, ${what}, seven epochs`),
        ),
        figure('FD, uniform / Gaussian, seven epochs, lowest of the seeds'),
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
        figure('FD, Gaussian 0.1, denoised'),
        figure('FD, Gaussian 0.1, denoised, deviation over seeds'),
        realImages,
        figure('error on test images before the step'),
        figure('error on test images after the step'),
        figure('error on test images, clipping alone'),
        figure('error on test images, step and clipping'),
        figure('best λ on validation images'),
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
