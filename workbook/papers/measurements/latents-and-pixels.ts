import { figure, type Measurement, workbookCommand } from './measurement.js';

/** By whose features images are compared, as the figures call them. */
const networks = ['EfficientNet-Lite0', 'emoji judge'];

/** Notebook 13: one transformer on latents and on pixels. */
export const latentsAndPixels: readonly Measurement[] = [
  {
    id: '13-latents-and-pixels',
    title: 'A flow on latents, and one on pixels, trained at one cost',
    claim:
      'A flow on latents draws better than one on pixels that was trained at the same cost, the autoencoder not counted.',
    figures: [
      ...networks.flatMap((network) => [
        figure(`FD, latents, ${network}`, '', 'computed'),
        figure(`FD, pixels, ${network}`, '', 'computed'),
        figure(`FD, latents − pixels, ${network}`, '', 'computed'),
        figure(`FD, latents by score, seed 1, ${network}`, '', 'computed'),
        ...['latents', 'pixels'].flatMap((kind) =>
          ['training', 'validation'].map((split) =>
            figure(`${split} drawings that passed, ${kind}, ${network}`, '', 'computed'),
          ),
        ),
      ]),
      figure('near a training drawing, latents', '%', 'computed'),
      figure('near a training drawing, pixels', '%', 'computed'),
    ],
    command: workbookCommand('13'),
  },
  {
    id: '13-time-of-a-picture',
    title: 'The time of a picture, from latents and from pixels',
    claim: 'The time of a picture from latents, decoded, beside one from pixels, denoised.',
    figures: ['latents', 'pixels'].flatMap((kind) =>
      [1, 16].map((batch) => figure(`${kind}, batch ${batch}`, 'ms', 'timing')),
    ),
    command: workbookCommand('13'),
  },
];
