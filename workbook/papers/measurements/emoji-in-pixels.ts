import { each, figure, measurement, type Notebook } from './measurement.js';

const samples = ['as sampled', 'denoised', 'guided, denoised'] as const;
const real = ['real: validation drawings', 'real: test drawings'] as const;

const named = <const Measure extends string, const Set extends string>(
  measure: Measure,
  unit: string,
  sets: readonly Set[],
) => each(sets, (set) => figure(`${measure}, ${set}`, unit));

const strategies = [
  'planned',
  'selective Jacobi',
  'Jacobi',
  'GS-Jacobi, published form',
  'SeJD, published rule',
] as const;

/** Notebook 15: a flow of 256 tokens on drawings, its samples and Table 1 by it. */
export const emojiInPixels = {
  notebook: '15-emoji-in-pixels',
  question: 'How good are emoji in pixels, and does iterating draw them faster?',
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
    measurement({
      id: '15-speed',
      title: 'S5, S6 Accelerated sampling of 256 tokens',
      claim:
        'Gauss–Seidel–Jacobi and Selective Jacobi Decoding sample several times as fast as sequential sampling, and the samples stay the same.',
      figures: [
        figure('fastest setting that keeps the aim, times as fast', '', 'timing'),
        figure('an evaluation in bfloat16 in units of float32’s', '', 'timing'),
        figure('n* of the easier blocks, curve', '', 'timing'),
        figure('each block in the quicker way, times as fast', '', 'timing'),
        figure('n* that a gain of 1.8 takes', '', 'rounding'),
        ...each([1, 8], (batch) => [
          figure(`n*, batch ${batch}`, '', 'timing'),
          figure(`n* of the easier blocks, batch ${batch}`, '', 'timing'),
          ...each(strategies, (strategy) => [
            figure(`times as fast, ${strategy}, batch ${batch}`, '', 'timing'),
            figure(
              `largest error, ${strategy}, batch ${batch}`,
              '',
              strategy === 'planned' ? 'timing' : 'rounding',
            ),
          ]),
        ]),
      ],
    }),
  ],
} satisfies Notebook;
