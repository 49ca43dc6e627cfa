import { tableOf } from '../tables.js';
import {
  figure,
  type MeasuredFigure,
  type Measurement,
  publishedSpeedup,
  workbookCommand,
} from './measurement.js';

const gs = tableOf('gs-jacobi');
const selective = tableOf('selective-jacobi');
const modes = ['xla', 'graph', 'eager'] as const;

/** The sizes of the models, and the published ones with as many tokens. */
const sizes = [
  {
    tokens: '256',
    batches: { xla: [1, 8, 32], graph: [1, 8, 32], eager: [1, 8, 32] },
    blocks: 4,
    selective: publishedSpeedup(selective, 'CIFAR-10', 'SeJD'),
    gs: publishedSpeedup(gs, 'ImageNet 64×64, conditional', 'GS-Jacobi'),
  },
  {
    tokens: '1,024',
    batches: { xla: [1, 8], graph: [1, 8], eager: [1] },
    blocks: 8,
    selective: publishedSpeedup(selective, 'AFHQ', 'SeJD'),
    gs: publishedSpeedup(gs, 'ImageNet 128×128, conditional', 'GS-Jacobi'),
  },
];

const loops = sizes.flatMap(({ tokens }) =>
  [1, 8].flatMap((batch) =>
    modes.map((mode) =>
      figure(
        `sequential sampling in units of PyTorch’s time, guided, ${tokens} tokens, batch ${batch}, ${mode}`,
        '',
        'timing',
      ),
    ),
  ),
);

/** What a plan does depends on the times that it was made by. */
const tables = sizes.flatMap((size) =>
  modes.flatMap((mode) =>
    size.batches[mode].flatMap((batch): MeasuredFigure[] => {
      const where = `${size.tokens} tokens, batch ${batch}, ${mode}`;
      const statistics = 'distance of pixel statistics in units of another seed’s';
      return [
        figure(`planned, times as fast as sequential, ${where}`, '', 'timing'),
        figure(`planned, blocks that iterate, ${where}`, `of ${size.blocks}`, 'timing'),
        figure(`planned, largest difference of the data range, ${where}`, '', 'timing'),
        figure(
          `SeJD, published rule, times as fast as sequential, ${where}`,
          '',
          'timing',
          size.selective,
        ),
        figure(
          `GS-Jacobi, published form, times as fast as sequential, ${where}`,
          '',
          'timing',
          size.gs,
        ),
        figure(`SeJD, published rule, ${statistics}, ${where}`, '', 'computed'),
        figure(`GS-Jacobi, published form, ${statistics}, ${where}`, '', 'computed'),
      ];
    }),
  ),
);

const paperSize = [
  figure(
    'Jacobi, times as fast as sequential, 2-768-8-8 of random weights, one image',
    '',
    'timing',
    publishedSpeedup(selective, 'AFHQ', 'Jacobi in all blocks'),
  ),
  figure(
    'GS-Jacobi, times as fast as sequential, 2-768-8-8 of random weights, one image',
    '',
    'timing',
    publishedSpeedup(gs, 'ImageNet 64×64, unconditional', 'GS-Jacobi'),
  ),
];

const strategies = [
  { name: 'sequential' },
  { name: 'Jacobi', distances: 'rounding' },
  { name: 'GS-Jacobi, published form', distances: 'computed' },
  { name: 'GS-Jacobi, published form, no clamp', distances: 'computed' },
  { name: 'selective Jacobi', distances: 'rounding' },
  { name: 'SeJD, published rule', distances: 'computed' },
  { name: 'planned', distances: 'timing' },
  { name: 'sequential, another seed', distances: 'computed' },
] as const;
const quality = strategies.flatMap((strategy): MeasuredFigure[] => {
  const { name } = strategy;
  const fd = `FD (Fashion-MNIST classifier features), ${name}`;
  if (!('distances' in strategy)) return [figure(fd, '', 'computed')];
  const { distances } = strategy;
  return [
    figure(fd, '', distances === 'timing' ? 'timing' : 'computed'),
    figure(`distance of the pixels’ means from sequential, clothes, ${name}`, '', distances),
    figure(`distance of the pixels’ deviations from sequential, clothes, ${name}`, '', distances),
  ];
});

const floor = figure(
  'FD (Fashion-MNIST classifier features), real validation images',
  '',
  'computed',
);

/** Notebook 08: all solvers, by the time that they take. */
export const acceleration: readonly Measurement[] = [
  {
    id: '08-acceleration',
    title: 'S5, S6 Accelerated sampling',
    claim:
      'Gauss–Seidel–Jacobi and Selective Jacobi Decoding sample several times as fast as sequential ' +
      'sampling, and the samples stay the same.',
    figures: [...loops, ...tables, ...paperSize, ...quality, floor],
    command: workbookCommand('08', ' --train'),
  },
];
