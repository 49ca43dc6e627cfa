import { each, figure, measurement, type Notebook } from './measurement.js';

/** How layers are shared out, as the figures call it. */
const splits = ['deep near noise', 'even', 'deep near data'] as const;

/** Notebook 12: how STARFlow shares its layers out among blocks. */
export const deepAndShallow = {
  notebook: '12-deep-and-shallow',
  question: 'One deep block, or even ones?',
  measurements: [
    measurement({
      id: '12-deep-and-shallow',
      title: 'One deep block and shallow ones, against an even split of layers',
      claim: 'One deep block nearest the noise and shallow ones beat an even split at equal cost.',
      figures: [
        ...each(splits, (split) => figure(`held-out loss, ${split}`, 'nats/dim')),
        ...each(splits, (split) => figure(`FD, ${split}`)),
        ...each(splits, (split) => figure(`in class, ${split}, seed 1`, '%')),
        figure('held-out loss, deep near noise − even', 'nats/dim'),
        figure('FD, deep near noise − even'),
        figure('real: validation images in class', '%'),
      ],
    }),
    measurement({
      id: '12-sampling-plan',
      title: 'Sampling plans for deep and shallow blocks',
      claim: 'With shallow blocks a sampling plan makes a flow faster, within the tolerance.',
      figures: each(splits, (split) =>
        each([1, 16], (batch) => [
          figure(`planned, ${split}, batch ${batch}: times as fast`, '×', 'timing'),
          figure(`planned, ${split}, batch ${batch}: error`, 'share', 'timing'),
        ]),
      ),
    }),
  ],
} satisfies Notebook;
