import { each, figure, measurement, type Notebook } from './measurement.js';

/** Flows by their tokens, and what stands in the place of the nearest token. */
const probes = [
  ...each(['49 tokens', '256 tokens'] as const, (size) =>
    each(
      ['zeros', 'z'] as const,
      (standIn) => `${size}, nearest token read as ${standIn}` as const,
    ),
  ),
  '1,024 tokens, nearest token read as z' as const,
];

/** The papers' ways to sample faster. */
export const sampling = {
  notebook: 'reports/04-sampling',
  question: 'Are Jacobi iterations faster than one token after the other?',
  accelerations: ['paper-size', 'blocks', 'authors-loop'],
  measurements: [
    measurement({
      id: 'redundancy',
      title: 'S6 Dependency on near tokens, block by block',
      claim: 'Redundancy is low in the block inverted first and high in the later ones.',
      figures: each(probes, (how) => [
        figure(`image error, hidden from the block inverted first, ${how}`),
        figure(`from the worst of the others, ${how}`),
      ]),
    }),
  ],
} satisfies Notebook;
