import { figure, type Measurement, workbookCommand } from './measurement.js';

const samples = ['as sampled', 'denoised', 'guided, denoised'];
const real = ['real: validation drawings', 'real: test drawings'];

const named = (measure: string, unit: string, sets: readonly string[]) =>
  sets.map((set) => figure(`${measure}, ${set}`, unit, 'computed'));

const strategies = [
  'planned',
  'selective Jacobi',
  'Jacobi',
  'GS-Jacobi, published form',
  'SeJD, published rule',
];

/** Notebook 15: a flow of 256 tokens on drawings, its samples and Table 1 by it. */
export const emojiInPixels: readonly Measurement[] = [
  {
    id: '15-emoji-quality',
    title: 'Samples of emoji in pixels',
    claim: 'TarFlow draws what it was asked for, in colour.',
    figures: ['FD', 'FD of few', 'KD', 'precision', 'recall', 'coverage', 'in class'].flatMap(
      (measure) => named(measure, measure === 'in class' ? '%' : '', [...samples, ...real]),
    ),
    command: workbookCommand('15'),
  },
  {
    id: '15-emoji-copies',
    title: 'Distance of drawings to the nearest training drawing',
    claim:
      'The model draws new emoji: no more of its samples than of unseen drawings are very near to a training drawing.',
    figures: ['validation drawings', 'samples, denoised', 'samples, guided'].flatMap((set) => [
      figure(`smallest distance, ${set}`, 'rms', 'computed'),
      figure(`median distance, ${set}`, 'rms', 'computed'),
      ...(set === 'validation drawings'
        ? []
        : [figure(`nearer than 95 of 100 validation drawings, ${set}`, '%', 'computed')]),
    ]),
    command: workbookCommand('15'),
  },
  {
    id: '15-speed',
    title: 'S5, S6 Accelerated sampling of 256 tokens',
    claim:
      'Gauss–Seidel–Jacobi and Selective Jacobi Decoding sample several times as fast as sequential sampling, and the samples stay the same.',
    figures: [
      figure('fastest setting that keeps the aim, times as fast', '', 'timing'),
      figure('an evaluation in bfloat16 in units of float32’s', '', 'timing'),
      figure('a compiled evaluation in units of one that is not', '', 'timing'),
      figure('n* of the easier blocks, curve', '', 'timing'),
      figure('n* of the easier blocks, compiled, curve', '', 'timing'),
      figure('each block in the quicker way, times as fast', '', 'timing'),
      figure('n* that a gain of 1.8 takes', '', 'rounding'),
      ...[1, 8].flatMap((batch) => [
        figure(`n*, batch ${batch}`, '', 'timing'),
        figure(`n* of the easier blocks, batch ${batch}`, '', 'timing'),
        ...strategies.flatMap((strategy) => [
          figure(`times as fast, ${strategy}, batch ${batch}`, '', 'timing'),
          figure(
            `largest error, ${strategy}, batch ${batch}`,
            '',
            strategy === 'planned' ? 'timing' : 'rounding',
          ),
        ]),
      ]),
    ],
    command: workbookCommand('15'),
  },
];
