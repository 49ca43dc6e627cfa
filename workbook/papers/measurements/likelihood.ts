import { published } from '../paper-table.js';
import { figure, measurement, type Notebook } from './measurement.js';

/** Likelihood of Fashion-MNIST, and of flows at one cost. */
export const likelihood = {
  notebook: 'reports/06-likelihood',
  question: 'How many bits does an image take, and are earlier flows better at one cost?',
  tables: ['likelihood-at-one-cost', 'likelihood-at-one-cost-cifar10'],
  measurements: [
    measurement({
      id: 'bits-per-dimension',
      title: 'Likelihood of Fashion-MNIST',
      claim:
        'TarFlow’s exact likelihood is competitive (Table 2, on ImageNet 64×64); here on Fashion-MNIST.',
      figures: [
        figure(
          'bits per dimension, test split',
          'bits/dim',
          'computed',
          published('likelihood-fashion-mnist', 'Glow on Fashion-MNIST test', 'bits per dimension'),
        ),
        figure('standard error', 'bits/dim'),
        figure('images', '', 'exact'),
      ],
      command:
        "npx tarflow bpd results/checkpoints/fashion-mnist-density.safetensors --data fashion-mnist --split test --reason 'the figure of Table 2'",
    }),
  ],
} satisfies Notebook;
