import { each, figure, measurement, type Notebook } from './measurement.js';

/** Flows of one design each, as the figures call them; the first is TarFlow's. */
const designs = ['alternating', 'one direction', 'one block', 'shift only', 'couplings'] as const;

/** Flows of one size each. */
const sizes = [
  '4 blocks of 1 layer',
  '4 blocks of 2 layers',
  '4 blocks of 4 layers',
  '8 blocks of 1 layer',
] as const;

/** Those that are compared with four blocks of two layers. */
const moreSizes = [
  '8 blocks of 2 layers',
  'twice as wide',
  'patches of 2×2',
  'patches of 7×7',
  '2 blocks of 4 layers',
] as const;

/** Notebook 14: what design and size are worth, and what the loss tells. */
export const whatMatters = {
  notebook: '14-what-matters',
  question: 'What are directions, blocks and size worth, and what does the loss tell?',
  measurements: [
    measurement({
      id: '14-design',
      title: 'Directions, blocks, scale and shift',
      claim: 'Without alternating directions, or with a single block, a flow fails.',
      figures: [
        ...each(designs, (design) => figure(`FD, ${design}`)),
        ...designs
          // The loss of a flow that shifts only is no likelihood under its prior.
          .filter((design) => design !== 'shift only')
          .map((design) => figure(`held-out loss, ${design}`, 'nats/dim')),
        ...each(designs.slice(1), (design) => figure(`FD, ${design} − alternating`)),
        figure('bend, alternating, seed 1', 'share'),
        figure('bend, one direction, seed 1', 'share', 'rounding'),
        figure('bend, one block, seed 1', 'share', 'rounding'),
        ...each(['one direction', 'one block'], (design) =>
          figure(`FD, ${design}, corners of real images, seed 1`),
        ),
      ],
    }),
    measurement({
      id: '14-sizes',
      title: 'More blocks or more layers',
      claim: 'Likelihood and FID improve with more blocks or more layers.',
      figures: [
        ...each([...sizes, ...moreSizes], (size) => figure(`FD, ${size}`)),
        ...each([...sizes, ...moreSizes], (size) => figure(`held-out loss, ${size}`, 'nats/dim')),
        figure('comparisons in which size helps', 'of 3'),
      ],
    }),
    measurement({
      id: '14-loss-and-distance',
      title: 'The loss and the distance of samples, over a training and over flows',
      claim: 'The loss falls smoothly and correlates strongly with FID.',
      figures: [
        figure('correlation of ranks, lowest of the trainings'),
        figure("Pearson's correlation, mean"),
        figure('correlation of ranks of changes, mean'),
        figure('correlation of ranks over finished trainings'),
        figure('the same over flows whose blocks alternate'),
        figure('trainings in which every validation is lower than the one before', '', 'exact'),
        figure('trainings', '', 'exact'),
      ],
    }),
  ],
} satisfies Notebook;
