import { each, figure, measurement, type Notebook } from './measurement.js';

/** By whose features images are compared, as the figures call them. */
const networks = ['EfficientNet-Lite0', 'emoji judge'] as const;

/** Notebook 13: one transformer on latents and on pixels. */
export const latentsAndPixels = {
  notebook: '13-latents-and-pixels',
  question: 'Latents or pixels?',
  measurements: [
    measurement({
      id: '13-latents-and-pixels',
      title: 'A flow on latents, and one on pixels, trained at one cost',
      claim:
        'A flow on latents draws better than one on pixels that was trained at the same cost, the autoencoder not counted.',
      figures: [
        ...each(networks, (network) => [
          figure(`FD, latents, ${network}`),
          figure(`FD, pixels, ${network}`),
          figure(`FD, latents − pixels, ${network}`),
          figure(`FD, latents by score, seed 1, ${network}`),
          ...each(['latents', 'pixels'], (kind) =>
            each(['training', 'validation'], (split) =>
              figure(`${split} drawings that passed, ${kind}, ${network}`),
            ),
          ),
        ]),
        figure('near a training drawing, latents', '%'),
        figure('near a training drawing, pixels', '%'),
      ],
    }),
    measurement({
      id: '13-time-of-a-picture',
      title: 'The time of a picture, from latents and from pixels',
      claim: 'The time of a picture from latents, decoded, beside one from pixels, denoised.',
      figures: each(['latents', 'pixels'], (kind) =>
        each([1, 16], (batch) => figure(`${kind}, batch ${batch}`, 'ms', 'timing')),
      ),
    }),
  ],
} satisfies Notebook;
