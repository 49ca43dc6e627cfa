import { figure, type Measurement, workbookCommand } from './measurement.js';

/** How layers are shared out, as the figures call it. */
const splits = ['deep near noise', 'even', 'deep near data'];

/** Notebook 12: how STARFlow shares its layers out among blocks. */
export const deepAndShallow: readonly Measurement[] = [
  {
    id: '12-deep-and-shallow',
    title: 'One deep block and shallow ones, against an even split of layers',
    claim: 'One deep block nearest the noise and shallow ones beat an even split at equal cost.',
    figures: [
      ...splits.map((split) => figure(`held-out loss, ${split}`, 'nats/dim', 'computed')),
      ...splits.map((split) => figure(`FD, ${split}`, '', 'computed')),
      ...splits.map((split) => figure(`in class, ${split}, seed 1`, '%', 'computed')),
      figure('held-out loss, deep near noise − even', 'nats/dim', 'computed'),
      figure('FD, deep near noise − even', '', 'computed'),
      figure('real: validation images in class', '%', 'computed'),
    ],
    command: workbookCommand('12'),
  },
  {
    id: '12-sampling-plan',
    title: 'Sampling plans for deep and shallow blocks',
    claim: 'With shallow blocks a sampling plan makes a flow faster, within the tolerance.',
    found: 'does not hold here',
    figures: splits.flatMap((split) =>
      [1, 16].flatMap((batch) => [
        figure(`planned, ${split}, batch ${batch}: times as fast`, '×', 'timing'),
        figure(`planned, ${split}, batch ${batch}: error`, 'share', 'timing'),
      ]),
    ),
    command: workbookCommand('12'),
  },
];
