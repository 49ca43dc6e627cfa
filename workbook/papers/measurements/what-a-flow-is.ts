import { figure, measurement, type Notebook } from './measurement.js';

/** Notebook 01: a flow in two dimensions. */
export const whatAFlowIs = {
  notebook: '01-what-a-flow-is',
  question: 'What is a flow? In two dimensions, from the formula to a trained model',
  measurements: [
    measurement({
      id: '01-stable-training',
      title: 'A5, A6: end-to-end training with one deterministic loss',
      claim: 'The whole is trained end to end with one deterministic loss, which falls smoothly.',
      figures: [
        figure('fall of the held-out loss, step 50 to the last', 'nats', 'trained'),
        figure('its largest rise within 50 steps', 'nats', 'trained'),
        figure('difference of the loss between two runs', 'nats', 'exact'),
      ],
    }),
    measurement({
      id: '01-density-integrates-to-one',
      title: 'A3: the likelihood is exact (two dimensions)',
      claim: 'The likelihood is exact: the density that the flow reports sums to one.',
      figures: [
        figure('sum of the density over [−4, 4]²', '', 'trained'),
        figure('its distance from 1', '', 'rounding'),
      ],
    }),
    measurement({
      id: '01-log-determinant',
      title: 'A3: the Jacobian is triangular, the log-determinant a sum',
      claim: 'The Jacobian is triangular, so the likelihood is exact and cheap.',
      figures: [
        figure('largest entry above the diagonal of a block', '', 'exact'),
        figure('largest error of log|det|, two moons (300 points)', 'nats', 'rounding'),
        figure('largest error of log|det|, 4×4 images (64 images)', 'nats', 'rounding'),
      ],
    }),
    measurement({
      id: '01-round-trip',
      title: 'A3: the map is exactly invertible',
      claim: 'The map is exactly invertible.',
      figures: [
        figure('largest error of f⁻¹(f(x)), 20,000 points of the moons', '', 'rounding'),
        figure('largest error of f⁻¹(f(x)), 64 images of 4×4, random weights', '', 'rounding'),
      ],
    }),
    measurement({
      id: '01-alternation',
      title: 'A2: the direction alternates between blocks',
      claim: 'Without the alternation, or with a single block, it fails.',
      figures: [
        figure('entropy of the data, the best possible', 'nats'),
        figure('best possible without alternation', 'nats'),
        figure('−E[log p], 1 block', 'nats', 'trained'),
        figure('−E[log p], 8 blocks, no alternation', 'nats', 'trained'),
        figure('−E[log p], 2 blocks, alternating', 'nats', 'trained'),
        figure('−E[log p], 4 blocks, alternating', 'nats', 'trained'),
        figure('−E[log p], 8 blocks, alternating', 'nats', 'trained'),
      ],
    }),
  ],
} satisfies Notebook;
