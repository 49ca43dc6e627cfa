import { each, figure, measurement, type Notebook } from './measurement.js';

/** A flow on latents beside one on pixels, and emoji from their names. */
export const latentsAndText = {
  notebook: 'reports/07-latents-and-text',
  question: 'Latents or pixels, and do pictures show what their caption says?',
  tables: ['latents-and-pixels', 'latents-and-pixels-emoji-judge'],
  measurements: [
    measurement({
      id: 'latents-and-pixels',
      title: 'Samples of a flow on latents, and of one on pixels',
      claim:
        'A flow on latents draws better than one on pixels that was trained at the same cost, the autoencoder not counted.',
      figures: each(['latents', 'latents, denoised by the score', 'pixels'], (end) =>
        figure(`FD, ${end}`),
      ),
    }),
    measurement({
      id: 'text-to-image',
      title: 'Emoji from their names',
      claim: 'A flow in the latent space of an autoencoder makes images of what a caption says.',
      figures: [
        ...each(['names seen in training', 'names not seen'], (names) =>
          each(
            [
              'other vendor’s drawings',
              'copies of drawings',
              'samples',
              'guided samples',
              'guided samples, cooler noise',
            ],
            (of) => figure(`${names}, ${of}`, '%'),
          ),
        ),
        figure('held-out names, guided samples, cooler noise', '%'),
        figure('held-out names, other vendor’s drawings', '%'),
      ],
    }),
  ],
} satisfies Notebook;
