import { each, figure, measurement, type Notebook } from './measurement.js';

/** Other coders without loss, and what they take at a time. */
const coders = each(['PNG', 'WebP', 'AVIF', 'Zstandard'] as const, (coder) =>
  each(['each image', 'all in one'] as const, (what) => `${coder}, ${what}` as const),
);

/** Lossless compression by a flow's density. */
export const compression = {
  notebook: 'reports/12-compression',
  question: 'How small do files get?',
  measurements: [
    measurement({
      id: 'lossless-compression',
      title: 'P3 Files of Fashion-MNIST, and its density',
      claim: 'An exact likelihood serves lossless compression.',
      figures: [
        figure('files', 'bits/dim'),
        figure('density', 'bits/dim'),
        figure('bits to begin with, of a file', 'bits', 'exact'),
        ...each(coders, (coder) => figure(coder, 'bits/dim')),
        figure('images', '', 'exact'),
        figure('images that came back', '', 'exact'),
        figure('compressing, times an evaluation', '', 'timing'),
        figure('decompressing, times an evaluation', '', 'timing'),
        figure('compressed in a second', 'images/s', 'timing'),
        figure('decompressed in a second', 'images/s', 'timing'),
      ],
      // Times mean something on an idle machine alone.
      command: 'TARFLOW_RESULTS=results npx tsx test/benchmarks/compression.ts --timings',
      apart: true,
    }),
  ],
} satisfies Notebook;
