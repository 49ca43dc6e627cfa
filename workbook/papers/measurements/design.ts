import { each, figure, measurement, type Notebook } from './measurement.js';

/** Flows of one design each, as the figures call them. */
const designs = ['alternating', 'one direction', 'one block'] as const;

/** Flows by their kinds of residual connection, as the figures call them. */
export const residualArms = ['both', 'hidden alone', 'latent alone', 'none'] as const;

/** What direction, blocks and size are worth, and what the loss tells. */
export const design = {
  notebook: 'reports/09-design',
  question: 'What are direction, blocks and size worth, and what does the loss tell?',
  tables: ['design-ablation', 'sizes', 'loss-and-distance'],
  measurements: [
    measurement({
      id: 'first-patch',
      title: 'Samples of flows of one direction, and with corners of real images',
      claim: 'Without alternating directions, or with a single block, a flow fails.',
      figures: [
        ...each(designs, (name) => figure(`FD, ${name}`)),
        ...each(['one direction', 'one block'] as const, (name) =>
          figure(`FD, ${name}, corners of real images`),
        ),
      ],
    }),
    measurement({
      id: 'loss-and-distance',
      title: 'The loss and the distance of samples over a training',
      claim: 'The loss falls smoothly and correlates strongly with FID.',
      figures: [
        figure('correlation of ranks, lowest of the trainings'),
        figure('trainings in which every validation is lower than the one before', '', 'exact'),
        figure('trainings', '', 'exact'),
      ],
    }),
    measurement({
      id: 'residuals',
      title: 'Trainings with and without residual connections',
      claim: 'Residual connections make training smooth.',
      figures: each(residualArms, (arm) =>
        figure(`smooth trainings of three, ${arm}`, '', 'exact'),
      ),
    }),
  ],
} satisfies Notebook;
