import { each, figure, measurement, type Notebook } from './measurement.js';

const fd = <const What extends string>(what: What) =>
  figure(`FD (Fashion-MNIST classifier features), ${what}`);

/** Notebook 04: guidance with labels, and by attention temperature. */
export const guidance = {
  notebook: '04-guidance',
  question: 'What does guidance do?',
  measurements: [
    measurement({
      id: '04-guidance',
      title: 'Guidance, with labels and without',
      claim:
        'Guidance works for class-conditional models and, by attention temperature, for unconditional ones.',
      figures: [
        figure('samples in their class, no guidance', '%'),
        figure('samples in their class, w = 1 constant', '%'),
        figure('real test images in their class', '%'),
        fd('no guidance'),
        fd('w = 1 constant'),
        fd('w = 2 annealed'),
        fd('lowest of the curve'),
        figure('FD floor, as many real images'),
        figure('FD on fresh seeds, no guidance'),
        figure('FD on fresh seeds, best annealed weight'),
        figure('FD on fresh seeds, best constant weight'),
        figure('variance ratio, no guidance'),
        figure('variance ratio, w = 1 constant'),
        figure('variance ratio, w = 4 constant'),
        figure('variance ratio on fresh seeds, w = 1 constant less none'),
        figure('FD without labels, no guidance'),
        figure('FD without labels, best temperature guidance'),
      ],
    }),
    measurement({
      id: '04-product-rule',
      title: 'Guidance by the product of Gaussians, at large weights',
      claim: 'Score-based guidance in closed form is stable at large weights.',
      figures: each(['product', 'linear, constant', 'linear, annealed'], (rule) => [
        figure(`FD, ${rule}, least`),
        figure(`FD, ${rule}, w = 16`),
        figure(`samples in their class, ${rule}, w = 16`, '%'),
        figure(`pixels outside ± 1.1, ${rule}, w = 16`, '%'),
      ]),
    }),
  ],
} satisfies Notebook;
