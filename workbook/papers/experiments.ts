import type { OurReference } from './paper.js';

/** The figure that an experiment is expected to give: where it is recorded, never typed. */
export interface Expectation {
  /** The name of one of `experiments`. */
  experiment: string;
  /** What the figure is. */
  what: string;
  /** A figure of `results/claims/`, or a committed run, whose last held-out loss it is. */
  from: OurReference | { run: string };
  /** How the committed checkpoint came about, where its steps are not the experiment's. */
  note?: string;
}

/** What the experiments are expected to give. */
export const expectations: readonly Expectation[] = [
  {
    experiment: 'fashion-mnist-density',
    what: 'bits per dimension, test split',
    from: { measurement: '10-bits-per-dimension', figure: 'bits per dimension, test split' },
    note: 'The committed checkpoint took these steps, the first 5,878 of them under longer plans.',
  },
  {
    experiment: 'fashion-mnist-conditional-8x2',
    what: 'held-out loss, nats per dimension',
    from: { run: 'fashion-mnist-conditional-8x2' },
    note:
      'The committed checkpoint took these steps, the first 21,230 of them under longer plans (43,000 ' +
      'steps at first, then 31,000 and 28,000), and then 10,400 more from there (`--from`, ' +
      '`steps=10400 peakLearningRate=6e-4 warmupSteps=300 holdSteps=3500 seed=2`, the first 5,137 of ' +
      'them under plans of 12,900 and 11,400) and 6,700 from there (`steps=6700 ' +
      'peakLearningRate=6e-4 warmupSteps=300 holdSteps=2700 seed=3`, the first 2,606 of them under a ' +
      'plan of 20,000).',
  },
  {
    experiment: 'emoji-conditional',
    what: 'held-out loss, nats per dimension',
    from: { run: 'emoji-conditional' },
    note: 'The committed checkpoint took these steps, the first 4,839 of them under longer plans.',
  },
  {
    experiment: 'emoji-vae',
    what: 'held-out loss',
    from: { run: 'emoji-vae' },
    note:
      'The committed checkpoint took these steps, the first 4,754 of them under a plan of 14,000. Its PSNR ' +
      'is in the same log.',
  },
  {
    experiment: 'emoji-vae-noisy',
    what: 'held-out loss',
    from: { run: 'emoji-vae-noisy' },
    note: 'From the committed `emoji-vae` (`--from`).',
  },
  {
    experiment: 'emoji-text',
    what: 'held-out loss, nats per dimension of the latents',
    from: { run: 'emoji-text' },
    note:
      'Its checkpoint went on as `emoji-text-mirrored`. The held-out loss was least after 2,600 steps. ' +
      'The names of the validation split are not those of the training split, so it rises while ' +
      'samples of the latter still get better.',
  },
  {
    experiment: 'emoji-text-mirrored',
    what: 'held-out loss, nats per dimension of the latents',
    from: { run: 'emoji-text-mirrored' },
    note: 'From the checkpoint of `emoji-text` (`--from`).',
  },
  {
    experiment: 'emoji-judge',
    what: 'held-out loss',
    from: { run: 'emoji-judge' },
    note:
      'Too sure of itself on what it has not seen, and so its loss is high; its accuracy is in the same ' +
      'log.',
  },
  ...['emoji-on-latents', 'emoji-on-pixels', 'emoji-on-noisier-pixels'].map((experiment) => ({
    experiment,
    what: 'held-out loss, nats per dimension of what is modelled, with its noise',
    from: { run: `latents-and-pixels/${experiment}-seed-1` },
  })),
  {
    experiment: 'fashion-mnist-noise',
    what: 'held-out loss, nats per dimension',
    from: { run: 'noise/fashion-mnist-gaussian-0.1-seed-1' },
  },
  {
    experiment: 'emoji-noise',
    what: 'held-out loss, nats per dimension',
    from: { run: 'noise/emoji-gaussian-0.1-seed-1' },
  },
  {
    experiment: 'emoji-256-tokens',
    what: 'held-out loss, nats per dimension',
    from: { run: 'emoji-256-tokens' },
    note: 'The committed checkpoint’s first 297 steps were under a plan of 2,800.',
  },
  {
    experiment: 'emoji-1024-tokens',
    what: 'held-out loss, nats per dimension',
    from: { run: 'emoji-1024-tokens' },
  },
  ...['design-deep-near-noise', 'design-even', 'design-deep-near-data'].map((experiment) => ({
    experiment,
    what: 'held-out loss, nats per dimension',
    from: { run: `deep-shallow/${experiment}-seed-1` },
  })),
  ...['design-base', 'design-same-direction', 'design-one-block'].map((experiment) => ({
    experiment,
    what: 'held-out loss, nats per dimension',
    from: { run: `design/${experiment}-seed-1` },
  })),
  ...[
    'design-gaussian',
    ...['design-likelihood', 'design-likelihood-patch-2'],
    ...['design-likelihood-coupling', 'design-likelihood-maf'],
  ].map((experiment) => ({
    experiment,
    what: 'held-out loss, nats per dimension',
    from: { run: `design/${experiment}-seed-1` },
  })),
  ...['cifar10-likelihood', 'cifar10-likelihood-coupling', 'cifar10-likelihood-maf'].map(
    (experiment) => ({
      experiment,
      what: 'held-out loss, nats per dimension',
      from: { run: `photographs/${experiment}-seed-1` },
    }),
  ),
  {
    experiment: 'design-volume-preserving',
    what: 'held-out loss, half the mean square of the noise',
    from: { run: 'design/design-volume-preserving-seed-1' },
  },
];
