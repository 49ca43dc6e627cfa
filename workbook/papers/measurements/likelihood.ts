import { published } from '../paper-table.js';
import { each, figure, measurement, type Notebook } from './measurement.js';

const glow = published(
  'likelihood-fashion-mnist',
  'Glow on Fashion-MNIST test',
  'bits per dimension',
);

/** Of three kinds of flows, and of their differences. */
const atOneCost = [
  ...each(['TarFlow', 'affine couplings', 'MAF'], (flow) =>
    figure(`bits per dimension, ${flow}`, 'bits/dim'),
  ),
  ...each(['affine couplings', 'MAF'], (flow) => figure(`TarFlow − ${flow}`, 'bits/dim')),
];

/** Notebook 10: likelihood of Fashion-MNIST, and of photographs. */
export const likelihood = {
  notebook: '10-likelihood',
  question: 'How many bits does an image cost?',
  measurements: [
    measurement({
      id: '10-bits-per-dimension',
      title: 'Likelihood of Fashion-MNIST',
      claim:
        'TarFlow’s exact likelihood is competitive (Table 2, on ImageNet 64×64); here on Fashion-MNIST, beside Glow.',
      figures: [
        figure('bits per dimension, test split', 'bits/dim', 'computed', glow),
        figure('standard error', 'bits/dim'),
        figure('images', '', 'exact'),
      ],
      command:
        "npx tarflow bpd results/checkpoints/fashion-mnist-density.safetensors --data fashion-mnist --split test --reason 'the figure of Table 2'",
    }),
    measurement({
      id: '10-one-cost',
      title: 'Kinds of flows at one cost of training',
      claim:
        'TarFlow has a far better likelihood than earlier flows (Table 2); at equal cost is our question, not the paper’s.',
      figures: [
        ...atOneCost,
        figure('bits per dimension, MAF of zuko', 'bits/dim'),
        figure('test images', '', 'exact'),
      ],
    }),
    measurement({
      id: '10-photographs',
      title: 'Kinds of flows at one cost of training, on photographs',
      claim:
        'TarFlow has a far better likelihood than earlier flows (Table 2); at equal cost is our question, not the paper’s.',
      figures: [...atOneCost, figure('test images', '', 'exact')],
    }),
    measurement({
      id: '10-background',
      title: 'A background one grey level wide, spread first',
      claim:
        'Ours, not a paper’s: a short training reaches fewer bits where the noise of a black background is made normal and wide before block 0.',
      figures: [
        figure('bits per dimension, pixels as they are', 'bits/dim', 'trained'),
        figure('bits per dimension, background spread', 'bits/dim', 'trained'),
        figure('held-out images', '', 'exact'),
      ],
    }),
  ],
} satisfies Notebook;
