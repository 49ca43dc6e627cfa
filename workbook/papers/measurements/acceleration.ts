import { type PublishedReference, published } from '../paper-table.js';
import { each, figure, measurement, type Notebook } from './measurement.js';

const modes = ['xla', 'graph', 'eager'] as const;

/** A published speed-up by Selective Jacobi Decoding, or by GS-Jacobi. */
const selective = (row: string, method = 'SeJD') =>
  published('selective-jacobi', row, 'speed-up', method);
const gs = (row: string) => published('gs-jacobi', row, 'speed-up', 'GS-Jacobi');

const loops = each(['256 tokens', '1,024 tokens'], (tokens) =>
  each([1, 8], (batch) =>
    each(modes, (mode) => {
      const where = `${tokens}, batch ${batch}, ${mode}` as const;
      const name = `sequential sampling in units of PyTorch’s time, guided, ${where}` as const;
      return figure(name, '', 'timing');
    }),
  ),
);

/** The figures of a model's tables, beside those of the published model with as many tokens. */
function tablesOf<const Where extends string>(
  places: readonly Where[],
  blocks: number,
  bySelective: PublishedReference,
  byGs: PublishedReference,
) {
  const statistics = 'distance of pixel statistics in units of another seed’s';
  // What a plan does depends on the times that it was made by.
  return each(places, (where) => [
    figure(`planned, times as fast as sequential, ${where}`, '', 'timing'),
    figure(`planned, blocks that iterate, ${where}`, `of ${blocks}`, 'timing'),
    figure(`planned, largest difference of the data range, ${where}`, '', 'timing'),
    figure(
      `SeJD, published rule, times as fast as sequential, ${where}`,
      '',
      'timing',
      bySelective,
    ),
    figure(`GS-Jacobi, published form, times as fast as sequential, ${where}`, '', 'timing', byGs),
    figure(`SeJD, published rule, ${statistics}, ${where}`),
    figure(`GS-Jacobi, published form, ${statistics}, ${where}`),
  ]);
}

const smaller = each(modes, (mode) =>
  each([1, 8, 32], (batch) => `256 tokens, batch ${batch}, ${mode}` as const),
);
const larger = [
  ...each(['xla', 'graph'], (mode) =>
    each([1, 8], (batch) => `1,024 tokens, batch ${batch}, ${mode}` as const),
  ),
  '1,024 tokens, batch 1, eager' as const,
];
const tables = [
  ...tablesOf(smaller, 4, selective('CIFAR-10'), gs('ImageNet 64×64, conditional')),
  ...tablesOf(larger, 8, selective('AFHQ'), gs('ImageNet 128×128, conditional')),
];

const ofRandomWeights = 'times as fast as sequential, 2-768-8-8 of random weights, one image';
const paperSize = [
  figure(`Jacobi, ${ofRandomWeights}`, '', 'timing', selective('AFHQ', 'Jacobi in all blocks')),
  figure(`GS-Jacobi, ${ofRandomWeights}`, '', 'timing', gs('ImageNet 64×64, unconditional')),
];

/** How well samples by a strategy agree with sequential ones, and how that comes out again. */
const quality = each(
  [
    { name: 'Jacobi', distances: 'rounding' },
    { name: 'GS-Jacobi, published form', distances: 'computed' },
    { name: 'GS-Jacobi, published form, no clamp', distances: 'computed' },
    { name: 'selective Jacobi', distances: 'rounding' },
    { name: 'SeJD, published rule', distances: 'computed' },
    { name: 'planned', distances: 'timing' },
    { name: 'sequential, another seed', distances: 'computed' },
  ],
  ({ name, distances }) => [
    figure(
      `FD (Fashion-MNIST classifier features), ${name}`,
      '',
      distances === 'timing' ? 'timing' : 'computed',
    ),
    figure(`distance of the pixels’ means from sequential, clothes, ${name}`, '', distances),
    figure(`distance of the pixels’ deviations from sequential, clothes, ${name}`, '', distances),
  ],
);

const fd = 'FD (Fashion-MNIST classifier features)';

/** Notebook 08: all solvers, by the time that they take. */
export const acceleration = {
  notebook: '08-acceleration',
  question: 'When does iterating pay?',
  measurements: [
    measurement({
      id: '08-acceleration',
      title: 'S5, S6 Accelerated sampling',
      claim:
        'Gauss–Seidel–Jacobi and Selective Jacobi Decoding sample several times as fast as sequential ' +
        'sampling, and the samples stay the same.',
      figures: [
        ...loops,
        ...tables,
        ...paperSize,
        figure(`${fd}, sequential`),
        ...quality,
        figure(`${fd}, real validation images`),
      ],
      trains: true,
    }),
  ],
} satisfies Notebook;
