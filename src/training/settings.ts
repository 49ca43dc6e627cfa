import { z } from 'zod';
import { nearestName, UserError } from '../core/errors.js';

/** A finite number, with what is expected of it in words. */
function number(expected: string): z.ZodNumber {
  return z.number(`Expected a number ${expected}`);
}

function above0(schema: z.ZodNumber): z.ZodNumber {
  return schema.positive('Expected a number above 0');
}

const count = above0(z.int('Expected a whole number above 0'));
const stepCount = z
  .int('Expected a whole number of at least 0')
  .min(0, 'Expected a whole number of at least 0');
const atLeast0 = number('of at least 0').min(0, 'Expected a number of at least 0');
const below1 = number('from 0 to below 1')
  .min(0, 'Expected a number from 0 to below 1')
  .lt(1, 'Expected a number from 0 to below 1');

const noise = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ kind: z.literal('gaussian'), sigma: above0(number('above 0')) }),
    z.strictObject({ kind: z.literal('uniform') }),
    z.strictObject({ kind: z.literal('none') }),
  ],
  'Expected gaussian, uniform or none',
);

/**
 * How a model is trained: the one source of the type, of what run.json holds and of what `--set`
 * changes. Where the papers say how, their values are named (TarFlow, section 4.1). What is left out is
 * as in {@link usualSettings}.
 */
export const trainingSettings = z.strictObject({
  /**
   * Noise that is added to training images. Gaussian noise has the standard deviation `sigma`, on the
   * scale [−1, 1] of the images (of latents, on their own); wide enough to matter, it is what makes good
   * samples. Uniform noise of one grey level makes the density that of the discrete image, and is for
   * likelihood (TarFlow, section 3.2).
   */
  noise,
  /** Samples in a step. */
  batchSize: count,
  /** Steps in all; the learning rate's cosine ends there. */
  steps: count,
  /** Largest learning rate, at the end of the warm-up. */
  peakLearningRate: above0(number('above 0')),
  /** Steps of linear warm-up; the papers take one epoch. */
  warmupSteps: stepCount,
  /**
   * Steps at the peak after the warm-up, before the cosine begins; absent for none, as in the papers. A
   * run that holds its peak can be continued from a snapshot, and its end can be decided later.
   */
  holdSteps: stepCount.optional(),
  /** Probability that a label is dropped, so that the model also learns to do without. */
  dropLabel: below1,
  /** Decoupled weight decay of AdamW, for every parameter; the papers take 1e-4. */
  weightDecay: atLeast0,
  /** Decay per step of the running mean of gradients; absent for 0.9, as the papers. A GAN takes less. */
  beta1: below1.optional(),
  /**
   * Decay per step of the running mean of squared gradients; absent for 0.95, as the papers. Nearer to 1
   * what is rarely seen is learned in larger steps, for which a MAF of images needs 0.999.
   */
  beta2: below1.optional(),
  /** Largest norm of the gradient, a longer one is scaled down; 0 for no limit, as the papers. */
  clipNorm: atLeast0,
  /**
   * Decay per step of a running mean of the parameters, which then is what validation measures and
   * the checkpoint holds; 0 for none, as the papers. The parameters that a new run begins with have no
   * more weight in it than any others; a run from another one begins with that one's mean.
   */
  averageDecay: below1,
  /** True to mirror each training image, left to right, with probability ½. */
  flip: z.boolean('Expected true or false'),
  /**
   * `bfloat16` computes matrix products and convolutions from rounded factors: faster. A training of
   * Fashion-MNIST with uniform noise (`design-likelihood`, seed 1) came within 0.001 bits per dimension
   * of validation images to that in float32 (`results/training/design/design-likelihood-bfloat16-seed-1.jsonl`).
   */
  precision: z.enum(['float32', 'bfloat16'], 'Expected float32 or bfloat16'),
  /** Seed of the parameters, the order of samples, noise, flips and dropped labels. */
  seed: z.int('Expected a whole number'),
  /** Steps between validations. */
  validateEvery: count,
  /**
   * Images of the validation split that a validation uses: the first ones, in whole batches of
   * `batchSize`. The number is rounded down to a multiple of that, but is one batch at least; a split
   * smaller than a batch is one.
   */
  validationImages: count,
  /** Steps between saved states, from which a run can resume. */
  saveEvery: count,
  /** States of multiples of so many steps are saved, and stay in the folder; absent for the last two alone. */
  keepEvery: count.optional(),
});

/** How a model is trained. Where the papers say how, their values are named (TarFlow, section 4.1). */
export type TrainingSettings = z.infer<typeof trainingSettings>;

/** What settings are where nothing says otherwise: for a small flow that draws pictures. */
export const usualSettings: TrainingSettings = {
  noise: { kind: 'gaussian', sigma: 0.05 },
  batchSize: 64,
  steps: 2000,
  peakLearningRate: 1e-3,
  warmupSteps: 100,
  dropLabel: 0.1,
  weightDecay: 1e-4,
  clipNorm: 1,
  averageDecay: 0,
  flip: false,
  precision: 'float32',
  seed: 1,
  validateEvery: 200,
  validationImages: 512,
  saveEvery: 200,
};

/**
 * Checks settings, and fills in those that are left out.
 * @throws UserError that names each setting that does not fit, its value and what is expected, or for an
 *   unknown setting the nearest right one
 */
export function checkSettings(settings: object = {}): TrainingSettings {
  const whole = { ...usualSettings, ...settings };
  const { data, error } = trainingSettings.safeParse(whole);
  if (!data) throw wrongSettings(error.issues, whole);
  const { warmupSteps, holdSteps = 0, steps } = data;
  if (holdSteps > 0 && warmupSteps + holdSteps > steps) {
    throw new UserError(
      `The run has ${warmupSteps} steps of warm-up and ${holdSteps} at the peak, and ${steps} in all`,
      'Lower holdSteps or raise steps',
    );
  }
  return data;
}

function wrongSettings(issues: readonly z.core.$ZodIssue[], settings: unknown): UserError {
  const problems: string[] = [];
  const remedies: string[] = [];
  for (const issue of issues) {
    const path = issue.path.join('.');
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) {
        problems.push(`There is no training setting '${path ? `${path}.` : ''}${key}'`);
        const nearest = path === '' && nearestName(key, Object.keys(trainingSettings.shape));
        remedies.push(nearest ? `Did you mean ${nearest}?` : 'Leave it out');
      }
      continue;
    }
    const value = issue.path.reduce<unknown>((inner, key) => Object(inner)[key], settings);
    const shown = typeof value === 'string' ? `'${value}'` : String(value);
    problems.push(`The training setting ${path} is ${shown}`);
    remedies.push(issue.message);
  }
  return new UserError(problems.join('. '), [...new Set(remedies)].join('. '));
}
