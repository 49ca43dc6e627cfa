import { each, figure, measurement, type Notebook } from './measurement.js';

const drawn = [
  'other vendor’s drawings',
  'copies of drawings',
  'samples',
  'guided samples',
  'guided samples, cooler noise',
] as const;
const ways = [
  'noise left in',
  'score of the flow',
  'decoder trained on noise',
  'decoder less score',
] as const;

/** Notebook 11: a small STARFlow that draws emoji from their names. */
export const emojiFromText = {
  notebook: '11-emoji-from-text',
  question: 'Emoji from text, by a small STARFlow',
  measurements: [
    measurement({
      id: '11-text-to-image',
      title: 'Emoji from text, by a STARFlow on latents',
      claim: 'A flow in the latent space of an autoencoder makes images of what a caption says.',
      figures: [
        ...each(['names of the training split', 'names of the validation split'], (names) =>
          each(drawn, (of) => figure(`${of}, ${names}`, '%')),
        ),
        figure('guided samples, cooler noise, held-out names', '%'),
        figure('other vendor’s drawings, held-out names', '%'),
        figure('drawings that the judge puts into their subcategory', '%'),
      ],
    }),
    measurement({
      id: '11-noisy-decoder',
      title: 'Noise taken away by the decoder, or by the flow’s score',
      claim: 'A decoder that is trained on noisy latents beats denoising by the score.',
      figures: each(ways, (way) => [
        figure(`PSNR of drawings, ${way}`, 'dB'),
        figure(`FD of samples, ${way}`),
        figure(`FD of samples by the judge, ${way}`),
      ]),
    }),
    measurement({
      id: '11-autoencoder',
      title: 'The autoencoders of emoji, on drawings of held-out names',
      claim: 'An autoencoder gives back what it encodes.',
      figures: [
        ...each(['emoji-vae', 'emoji-vae-noisy'], (decoder) =>
          each([decoder, `${decoder}, noisy latents`], (of) => [
            figure(`PSNR, ${of}`, 'dB'),
            figure(`standard error of PSNR, ${of}`, 'dB'),
            figure(`FD, ${of}`),
          ]),
        ),
        figure('FD floor: the drawings themselves'),
      ],
    }),
    measurement({
      id: '11-no-copies',
      title: 'Distance of drawn emoji to the nearest training image',
      claim:
        'No more of the samples of held-out names than of unseen drawings are very near to a training image.',
      figures: each(
        [
          'copies: training drawings, decoded',
          'samples, training names',
          'samples, held-out names',
          'validation drawings',
        ],
        (images) => figure(`${images}: nearer than 95 of 100 validation drawings`, '%'),
      ),
    }),
    measurement({
      id: '11-sampling-plan',
      title: 'A sampling plan for a STARFlow',
      claim: 'A sampling plan makes a STARFlow faster, with an error within the tolerance.',
      figures: each([1, 8], (batch) => [
        figure(`planned, batch ${batch}: times as fast`, '×', 'timing'),
        figure(`planned, batch ${batch}: error`, 'share', 'timing'),
        ...each(['selective Jacobi', 'block-wise Jacobi, as published'], (strategy) => [
          figure(`${strategy}, batch ${batch}: times as fast`, '×', 'timing'),
          figure(`${strategy}, batch ${batch}: error`, 'share', 'rounding'),
        ]),
      ]),
    }),
  ],
} satisfies Notebook;
