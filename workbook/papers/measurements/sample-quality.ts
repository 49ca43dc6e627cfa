import { each, figure, measurement, type Notebook } from './measurement.js';

/** How samples are drawn, and real images beside them. */
const labelled = ['labels, denoised', 'labels, guided, denoised'] as const;
const unlabelled = ['no labels, denoised', 'no labels, guided, denoised'] as const;
const real = 'real: test images';

const named = <const Measure extends string, const Set extends string>(
  measure: Measure,
  unit: string,
  sets: readonly Set[],
) => each(sets, (set) => figure(`${measure}, ${set}`, unit));

/** Notebook 09: samples by every measure, with and without labels, denoising and guidance. */
export const sampleQuality = {
  notebook: '09-sample-quality',
  question: 'How good are samples?',
  measurements: [
    measurement({
      id: '09-sample-quality',
      title: 'Sample quality at small scale (Table 3)',
      claim: 'TarFlow’s class-conditional samples are near those of diffusion models and GANs.',
      figures: [
        ...named('FD', '', [
          'labels, as sampled',
          ...labelled,
          'no labels, as sampled',
          ...unlabelled,
          'real: validation images',
          real,
        ]),
        ...each(['KD', 'precision', 'recall', 'coverage'], (measure) =>
          named(measure, '', [...labelled, ...unlabelled, real]),
        ),
        ...named('in class', '%', [
          'labels, as sampled',
          ...labelled,
          'real: validation images',
          real,
        ]),
      ],
    }),
    measurement({
      id: '09-no-copies',
      title: 'Distance of samples to the nearest training image',
      claim:
        'The model makes new images: no more of its samples than of unseen images are very near to a training image.',
      figures: [
        ...each(['samples', 'validation images'], (set) =>
          each(['smallest', 'median'], (which) => figure(`${which} distance, ${set}`, 'rms')),
        ),
        figure('samples nearer than 99 of 100 validation images', 'share'),
        figure('images of each', '', 'exact'),
      ],
    }),
  ],
} satisfies Notebook;
