import { published } from '../paper-table.js';
import { each, figure, measurement, type Notebook } from './measurement.js';

const smaller = ['49 tokens', '256 tokens'] as const;
const sizes = [...smaller, '1,024 tokens'] as const;
const standIns = ['zeros', 'z'] as const;
const probes = [
  ...each(smaller, (size) => each(standIns, (standIn) => ({ size, standIn }))),
  { size: '1,024 tokens', standIn: 'z' },
] as const;
/** The published model with as many tokens. */
const rows = { '49 tokens': undefined, '256 tokens': 'CIFAR-10', '1,024 tokens': 'AFHQ' } as const;

function iterations(size: keyof typeof rows) {
  const row = rows[size];
  const of = 'mean of the blocks after the first';
  return row && published('selective-jacobi-iterations', row, 'iterations of a block', of);
}

function speedup(size: keyof typeof rows) {
  const row = rows[size];
  return row && published('selective-jacobi', row, 'speed-up', 'SeJD');
}

/** Notebook 07: which blocks need their nearest tokens, and what that is good for. */
export const selectiveJacobi = {
  notebook: '07-selective-jacobi',
  question: 'Which blocks need their past? Selective Jacobi Decoding',
  measurements: [
    measurement({
      id: '07-redundancy',
      title: 'S6 Dependency on near tokens, block by block',
      claim: 'Redundancy is low in the block inverted first and high in the later ones.',
      figures: [
        ...each(probes, ({ size, standIn }) => {
          const how = `${size}, nearest token read as ${standIn}` as const;
          return [
            figure(`image error, hidden from the block inverted first, ${how}`),
            figure(`from the others, mean, ${how}`),
            figure(`from the worst of the others, ${how}`),
          ];
        }),
        figure('clothes in their class, nothing hidden', '%'),
        ...each(standIns, (standIn) => [
          figure(`nearest token read as ${standIn} in the block inverted first`, '%'),
          figure(`nearest token read as ${standIn} in the worst other block`, '%'),
        ]),
      ],
    }),
    measurement({
      id: '07-selective-jacobi',
      title: 'S6 Selective Jacobi Decoding',
      claim:
        'Selective Jacobi Decoding exploits the redundancy: few iterations, never more than sequential steps, no loss of quality.',
      figures: [
        figure(
          'most iterations of a block that iterates, share of the sequential steps, inverted first',
          '%',
        ),
        figure('the same, inverted later', '%'),
        figure(
          'most iterations of a block, ours from z, to be within 0.0001 of sequential sampling, 49 tokens',
          'of 48',
        ),
        figure(
          'largest error there of a token that has to be exact, of the images’ scale −1 … 1',
          '',
          'rounding',
        ),
        figure('the same, published form from zeros, exact after 49', '', 'rounding'),
        ...each(sizes, (size) => [
          figure(
            `iterations of a block after the first, mean, published rule, ${size}`,
            '',
            'computed',
            iterations(size),
          ),
          figure(`the same, our rule, ${size}`, '', 'sensitive'),
          figure(`speed-up, published rule, ${size}`, '×', 'timing', speedup(size)),
          figure(`speed-up, our rule, ${size}`, '×', 'timing'),
          figure(`largest error (images −1 … 1), published rule, ${size}`),
          figure(`largest error (images −1 … 1), our rule, ${size}`, '', 'rounding'),
        ]),
        ...each(sizes, (size) =>
          figure(`rms difference by the published rule, of that between two seeds, ${size}`, '%'),
        ),
        figure('FD (Fashion-MNIST classifier features), sequential'),
        figure('FD, selective, published rule'),
        figure('FD, sequential, another seed'),
        figure('FD, real validation images'),
      ],
    }),
  ],
} satisfies Notebook;
