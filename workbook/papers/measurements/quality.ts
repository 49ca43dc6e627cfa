import { each, figure, measurement, type Notebook } from './measurement.js';

const real = ['real: validation images', 'real: test images'] as const;
const labelled = ['labels, as sampled', 'labels, denoised', 'labels, guided, denoised'] as const;
const unlabelled = [
  'no labels, as sampled',
  'no labels, denoised',
  'no labels, guided, denoised',
] as const;
const drawings = [
  'as sampled',
  'denoised',
  'guided, denoised',
  'real: validation drawings',
  'real: test drawings',
] as const;

/** Samples of clothes, with labels and without, and of emoji. */
export const quality = {
  notebook: 'reports/05-quality',
  question: 'How good are samples?',
  measurements: [
    measurement({
      id: 'sample-quality',
      title: 'Samples of clothes (Table 3)',
      claim: 'TarFlow’s class-conditional samples are near those of diffusion models and GANs.',
      figures: [
        ...each([...labelled, ...unlabelled, ...real], (images) => figure(`FD, ${images}`)),
        ...each(['precision', 'recall'], (measure) =>
          each(
            [
              'labels, denoised',
              'labels, guided, denoised',
              'no labels, denoised',
              'no labels, guided, denoised',
              'real: test images',
            ],
            (images) => figure(`${measure}, ${images}`),
          ),
        ),
        ...each([...labelled, ...real], (images) => figure(`in class, ${images}`, '%')),
      ],
    }),
    measurement({
      id: 'clothes-copies',
      title: 'Samples of clothes that are near a training image',
      claim: 'No more samples than unseen images are very near to a training image.',
      figures: [figure('guided samples nearer than 95 of 100 unseen images', '%')],
    }),
    measurement({
      id: 'emoji-quality',
      title: 'Samples of emoji in pixels',
      claim: 'TarFlow draws what it was asked for, in colour.',
      figures: [
        ...each(drawings, (set) => figure(`FD, ${set}`)),
        ...each(drawings, (set) => figure(`in class, ${set}`, '%')),
      ],
    }),
    measurement({
      id: 'emoji-copies',
      title: 'Samples of emoji that are near a training drawing',
      claim: 'No more samples than unseen drawings are very near to a training drawing.',
      figures: [figure('guided samples nearer than 95 of 100 unseen drawings', '%')],
    }),
  ],
} satisfies Notebook;
