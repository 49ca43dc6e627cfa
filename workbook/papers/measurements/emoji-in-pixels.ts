import { each, figure, measurement, type Notebook } from './measurement.js';

const samples = ['as sampled', 'denoised', 'guided, denoised'] as const;
const real = ['real: validation drawings', 'real: test drawings'] as const;

const named = <const Measure extends string, const Set extends string>(
  measure: Measure,
  unit: string,
  sets: readonly Set[],
) => each(sets, (set) => figure(`${measure}, ${set}`, unit));

/** Notebook 15: a flow of 256 tokens on drawings. */
export const emojiInPixels = {
  notebook: '15-emoji-in-pixels',
  question: 'How good are emoji in pixels?',
  measurements: [
    measurement({
      id: '15-emoji-quality',
      title: 'Samples of emoji in pixels',
      claim: 'TarFlow draws what it was asked for, in colour.',
      figures: each(
        ['FD', 'FD of few', 'KD', 'precision', 'recall', 'coverage', 'in class'],
        (measure) => named(measure, measure === 'in class' ? '%' : '', [...samples, ...real]),
      ),
    }),
    measurement({
      id: '15-emoji-copies',
      title: 'Distance of drawings to the nearest training drawing',
      claim:
        'The model draws new emoji: no more of its samples than of unseen drawings are very near to a training drawing.',
      figures: each(['validation drawings', 'samples, denoised', 'samples, guided'], (set) => [
        figure(`smallest distance, ${set}`, 'rms'),
        figure(`median distance, ${set}`, 'rms'),
        ...(set === 'validation drawings'
          ? []
          : [figure(`nearer than 95 of 100 validation drawings, ${set}`, '%')]),
      ]),
    }),
  ],
} satisfies Notebook;
