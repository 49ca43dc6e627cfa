import { published } from '../paper-table.js';
import { each, figure, measurement, type Notebook } from './measurement.js';

const larger = ['256 tokens', '1,024 tokens'] as const;
const sizes = ['49 tokens', ...larger] as const;
const steps = { '49 tokens': 'of 48', '256 tokens': 'of 255', '1,024 tokens': 'of 1023' };
const shareOf = (row: string) => published('crm', row, 'share of CRM', 'block 0');
/** Of models with as many tokens. */
const publishedShares = {
  '49 tokens': undefined,
  '256 tokens': shareOf('ImageNet 64×64, conditional'),
  '1,024 tokens': shareOf('ImageNet 64×64, unconditional'),
};
/** A value beyond ±3 is what the clamp changes; there is none in the model of 256 tokens. */
const clamped = [
  { where: '49 tokens, w = 0', bites: true },
  { where: '49 tokens, w = 2', bites: true },
  { where: '256 tokens, w = 0', bites: false },
  { where: '256 tokens, w = 2', bites: false },
] as const;

/** Notebook 06: a block as a system of equations. */
export const gaussSeidelJacobi = {
  notebook: '06-gauss-seidel-jacobi',
  question: 'Sampling as a triangular system: GS-Jacobi, CRM, IGM',
  measurements: [
    measurement({
      id: '06-bottleneck',
      title: 'S1 Sampling is the bottleneck',
      claim:
        'Sampling is slower than the pass to the noise, because its steps wait for one another.',
      figures: each([49, 256, 1024], (tokens) =>
        figure(`sampling time / forward time, ${tokens} tokens`, '', 'timing'),
      ),
    }),
    measurement({
      id: '06-jacobi',
      title: 'S2 Jacobi iteration solves a block in few steps',
      claim:
        'Inverting a block is a triangular system that Jacobi iteration solves in at most T steps, usually far fewer, superlinearly.',
      figures: [
        figure('largest entry of the Jacobian on or above the diagonal', '', 'exact'),
        ...each(sizes, (size) => [
          figure(`iterations, block inverted first, ${size}`, steps[size]),
          figure(`iterations, other blocks, mean, ${size}`, steps[size]),
        ]),
        ...each(sizes, (size) => [
          figure(`error factor, first third, block inverted first, ${size}`, '', 'sensitive'),
          figure(`error factor, last third, block inverted first, ${size}`, '', 'sensitive'),
        ]),
        figure('blocks that converge faster at the end', 'of 20'),
      ],
    }),
    measurement({
      id: '06-tough-blocks',
      title: 'S3 Tough blocks, and CRM',
      claim: 'A few blocks are tough, most are simple; CRM tells which.',
      figures: [
        ...each(sizes, (size) => [
          figure(`toughest block's share of the iterations, ${size}`, '%'),
          figure(`its share of CRM, ${size}`, '%', 'computed', publishedShares[size]),
        ]),
        figure('models of 3 whose toughest block CRM names'),
        figure('pairs of blocks that CRM orders rightly', '%'),
        figure('pairs without the toughest block'),
        figure('of these, ordered rightly'),
      ],
    }),
    measurement({
      id: '06-initial-guess',
      title: 'S4 IGM chooses the start',
      claim: 'IGM tells which start to use, lowers the risk of overflow and speeds convergence up.',
      figures: [
        figure('blocks whose starts differ in iterations', 'of 20'),
        figure('of these, IGM names the quicker start'),
        figure('iterations of all blocks, started as IGM says'),
        figure('always from the latent'),
        figure('always from zeros'),
        figure('the better start each time'),
        figure('largest value of an iterate'),
      ],
    }),
    measurement({
      id: '06-gauss-seidel-jacobi',
      title: 'Gauss–Seidel–Jacobi: segments, the clamp, the eighth block',
      claim:
        'Segments trade evaluations for work; the published clamp and the published eighth block change the answer, ours does not.',
      figures: [
        ...each(larger, (size) =>
          figure(`fewest evaluations, block inverted first, ${size}`, steps[size]),
        ),
        ...each(larger, (size) => [
          figure(`work saved by the shrinking front, 8 segments, ${size}, op by op`, '%'),
          figure(`the same in a graph, as sample runs it, ${size}`, '%'),
        ]),
        ...each(clamped, ({ where, bites }) => [
          figure(`values beyond ±3, ${where}`, '%'),
          figure(
            `largest difference with the ±3 clamp, ${where}`,
            '',
            bites ? 'computed' : 'rounding',
          ),
          figure(`largest difference without it, ${where}`, '', 'rounding'),
        ]),
        figure('largest error with the flaw of the eighth block'),
        figure('largest error of ours in its place', '', 'rounding'),
      ],
    }),
  ],
} satisfies Notebook;
