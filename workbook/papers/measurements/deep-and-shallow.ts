import { each, figure, measurement, type Notebook } from './measurement.js';

/** How STARFlow shares its layers out among blocks. */
export const deepAndShallow = {
  notebook: 'reports/08-deep-and-shallow',
  question: 'One deep block, or even ones?',
  tables: ['deep-shallow'],
  measurements: [
    measurement({
      id: 'deep-and-shallow',
      title: 'Samples of one deep block and shallow ones, and of an even split',
      claim: 'One deep block nearest the noise and shallow ones beat an even split at equal cost.',
      figures: each(['deep near noise', 'even', 'deep near data'] as const, (split) =>
        figure(`FD, ${split}`),
      ),
    }),
  ],
} satisfies Notebook;
