import { figure, measurement, type Notebook } from './measurement.js';

/** What a TarFlow is, and how the library agrees with the authors' code. */
export const foundations = {
  notebook: 'reports/01-foundations',
  question: 'Is this the published model: causal, exact, parallel, trained by one loss?',
  claims: ['A1', 'A3', 'A4', 'A6'],
  measurements: [
    measurement({
      id: 'foundations',
      title: 'A causal flow as published, with one loss',
      claim:
        'TarFlow is a masked autoregressive flow, whose training is parallel and has one deterministic loss.',
      figures: [
        // Read from the reports of the conformance checker.
        figure('tensors of the authors’ code', '', 'exact'),
        figure('tensors within their bounds on each engine', '', 'exact'),
        figure('engines', '', 'exact'),
        figure('predictions changed by their own or a later patch', '', 'exact'),
        figure('predictions changed by an earlier patch', '%'),
        figure('one pass less a patch at a time, largest difference', '', 'rounding'),
        figure('time of inverse ÷ time of forward, one image', '×', 'timing'),
        figure('loss of the same images, twice, difference', 'nats/dim', 'exact'),
        figure('loss of two trainings of one seed, difference', 'nats/dim', 'exact'),
        figure('tensors of parameters', '', 'exact'),
        figure('tensors of parameters without a gradient', '', 'exact'),
      ],
    }),
    measurement({
      id: 'exactness',
      title: 'An exact likelihood and an exact inverse',
      claim:
        'The Jacobian is triangular, so the likelihood is exact and cheap; the map is exactly invertible.',
      figures: [
        figure('largest entry outside the triangle', '', 'exact'),
        figure('log-determinant: elimination less forward pass', 'nats', 'rounding'),
        figure('round trip of images, Gaussian noise', '', 'rounding'),
        figure('round trip of images, uniform noise', '', 'rounding'),
        figure('sum of a density less 1', '', 'rounding'),
      ],
    }),
  ],
} satisfies Notebook;
