import { figure, type Measurement, workbookCommand } from './measurement.js';

const seen = 'names of the training split';
const unseen = 'names of the validation split';

/** Notebook 11: a small STARFlow that draws emoji from their names. */
export const emojiFromText: readonly Measurement[] = [
  {
    id: '11-text-to-image',
    title: 'Emoji from text, by a STARFlow on latents',
    claim: 'A flow in the latent space of an autoencoder makes images of what a caption says.',
    figures: [
      ...[seen, unseen].flatMap((names) =>
        [
          ...['other vendor’s drawings', 'copies of drawings', 'samples', 'guided samples'],
          'guided samples, cooler noise',
        ].map((of) => figure(`${of}, ${names}`, '%', 'computed')),
      ),
      figure('guided samples, cooler noise, held-out names', '%', 'computed'),
      figure('other vendor’s drawings, held-out names', '%', 'computed'),
      figure('drawings that the judge puts into their subcategory', '%', 'computed'),
    ],
    command: workbookCommand('11'),
  },
  {
    id: '11-guidance-rules',
    title: 'Guidance of the deep block by two rules, at large weights',
    claim: 'Score-based guidance in closed form is stable at large weights.',
    figures: ['product', 'linear'].flatMap((rule) => [
      figure(`FD, ${rule}, least`, '', 'computed'),
      figure(`FD, ${rule}, w = 16`, '', 'computed'),
      figure(`agreement, ${rule}, least FD`, '%', 'computed'),
      figure(`agreement, ${rule}, w = 16`, '%', 'computed'),
      figure(`pixels outside ± 1.1, ${rule}, w = 16`, '%', 'computed'),
      figure(`samples that are not finite, ${rule}, w = 16`, '', 'computed'),
    ]),
    command: workbookCommand('11'),
  },
  {
    id: '11-noisy-decoder',
    title: 'Noise taken away by the decoder, or by the flow’s score',
    claim: 'A decoder that is trained on noisy latents beats denoising by the score.',
    figures: [
      ...['noise left in', 'score of the flow', 'decoder trained on noise'],
      'decoder less score',
    ].flatMap((way) => [
      figure(`PSNR of drawings, ${way}`, 'dB', 'computed'),
      figure(`FD of samples, ${way}`, '', 'computed'),
      figure(`FD of samples by the judge, ${way}`, '', 'computed'),
    ]),
    command: workbookCommand('11'),
  },
  {
    id: '11-autoencoder',
    title: 'The autoencoders of emoji, on drawings of held-out names',
    claim: 'An autoencoder gives back what it encodes.',
    figures: [
      ...['emoji-vae', 'emoji-vae-noisy'].flatMap((decoder) =>
        [decoder, `${decoder}, noisy latents`].flatMap((of) => [
          figure(`PSNR, ${of}`, 'dB', 'computed'),
          figure(`standard error of PSNR, ${of}`, 'dB', 'computed'),
          figure(`FD, ${of}`, '', 'computed'),
        ]),
      ),
      figure('FD floor: the drawings themselves', '', 'computed'),
    ],
    command: workbookCommand('11'),
  },
  {
    id: '11-no-copies',
    title: 'Distance of drawn emoji to the nearest training image',
    claim:
      'No more of the samples of held-out names than of unseen drawings are very near to a training image.',
    found: 'cannot be told at this size',
    figures: [
      'copies: training drawings, decoded',
      'samples, training names',
      'samples, held-out names',
      'validation drawings',
    ].map((images) =>
      figure(`${images}: nearer than 95 of 100 validation drawings`, '%', 'computed'),
    ),
    command: workbookCommand('11'),
  },
  {
    id: '11-sampling-plan',
    title: 'A sampling plan for a STARFlow',
    claim: 'A sampling plan makes a STARFlow faster, with an error within the tolerance.',
    found: 'does not hold here',
    figures: [1, 8].flatMap((batch) => [
      figure(`planned, batch ${batch}: times as fast`, '×', 'timing'),
      figure(`planned, batch ${batch}: error`, 'share', 'timing'),
      ...['selective Jacobi', 'block-wise Jacobi, as published'].flatMap((strategy) => [
        figure(`${strategy}, batch ${batch}: times as fast`, '×', 'timing'),
        figure(`${strategy}, batch ${batch}: error`, 'share', 'rounding'),
      ]),
    ]),
    command: workbookCommand('11'),
  },
];
