import { tf, tidy } from '../../core/tf.js';
import type { Leaves } from '../../core/tree.js';
import { type MixParameters, mixChannels, unmixChannels } from '../../flow/channel-mix.js';
import { couple, halves, uncouple } from '../../flow/coupling.js';
import { denormalise, type Gaussian, normalise } from '../../flow/gaussian.js';
import { squeeze, unsqueeze } from '../../flow/squeeze.js';
import { type NetworkParameters, predicted } from '../../nn/convolutional-network.js';
import { type CouplingConfig, levelShapes } from './config.js';

/** A step of a level: channels normalised and mixed, then a coupling. */
export type StepParameters = { mix: MixParameters; network: NetworkParameters };

export type CouplingParameters = {
  levels: {
    steps: StepParameters[];
    /** Predicts the channels that leave after the level from those that stay; none in the last. */
    split?: NetworkParameters;
  }[];
  /** What is left at the end is normal with these, (height, width, channels) each. */
  prior: { mean: tf.Tensor3D; logScale: tf.Tensor3D };
};

/** The name of a step's permutation among the buffers. */
export function permutationName(level: number, step: number): string {
  return `levels.${level}.steps.${step}.permutation`;
}

/** What data become on their way to noise: what leaves after each level, and its log-determinant. */
export interface Passage {
  latents: tf.Tensor4D[];
  logDets: tf.Tensor1D[];
}

/**
 * Data to noise through all levels.
 *
 * @param images (batch, height, width, channels)
 * @param onStep called before a step with its input; returns the parameters to go on with
 */
export function throughLevels(
  config: CouplingConfig,
  { parameters, buffers }: { parameters: CouplingParameters; buffers: Leaves },
  images: tf.Tensor4D,
  classes: tf.Tensor2D | undefined,
  onStep: (step: StepParameters, x: tf.Tensor4D, name: string) => StepParameters = (step) => step,
): Passage {
  const batch = images.shape[0];
  const shapes = levelShapes(config);
  const passage: Passage = { latents: [], logDets: [] };
  let x = images;
  parameters.levels.forEach((level, l) => {
    x = squeeze(x, (shapes[l] as (typeof shapes)[number]).factors);
    let logDet: tf.Tensor1D = tf.zeros([batch]);
    level.steps.forEach((given, s) => {
      const permutation = buffers[permutationName(l, s)] as tf.Tensor2D;
      const step = onStep(given, x, `levels.${l}.steps.${s}`);
      // A scope per step: all else that it made is freed before the next one runs.
      const result = tidy(() => {
        const mixed = mixChannels(x, step.mix, permutation);
        const { kept, moved, logDet } = couple(mixed.y, networkOf(step.network, classes));
        return { x: tf.concat([kept, moved], 3), logDet: tf.add(logDet, mixed.logDet) };
      });
      x = result.x as tf.Tensor4D;
      logDet = tf.add(logDet, result.logDet);
    });
    if (level.split) {
      const { kept, moved, logDet: ofSplit } = couple(x, networkOf(level.split, classes));
      x = kept;
      passage.latents.push(moved);
      logDet = tf.add(logDet, ofSplit);
    } else {
      const prior = priorOf(parameters.prior, batch);
      passage.latents.push(normalise(x, prior));
      logDet = tf.sub(logDet, tf.sum(parameters.prior.logScale));
    }
    passage.logDets.push(logDet);
  });
  return passage;
}

/**
 * Noise to data.
 *
 * @param latents of the levels, as {@link throughLevels} makes them
 * @param onLevel awaited after each level
 * @returns images (batch, height, width, channels), which the caller frees
 */
export async function backThroughLevels(
  config: CouplingConfig,
  { parameters, buffers }: { parameters: CouplingParameters; buffers: Leaves },
  latents: readonly tf.Tensor4D[],
  classes: tf.Tensor2D | undefined,
  onLevel: () => Promise<void>,
): Promise<tf.Tensor4D> {
  const shapes = levelShapes(config);
  let x: tf.Tensor4D | undefined;
  for (const [l, level] of [...parameters.levels.entries()].reverse()) {
    const next = tidy(() => {
      const latent = latents[l] as tf.Tensor4D;
      let y =
        level.split && x
          ? uncouple(x, latent, networkOf(level.split, classes))
          : denormalise(latent, priorOf(parameters.prior, latent.shape[0]));
      for (const [s, { mix, network }] of [...level.steps.entries()].reverse()) {
        const [kept, moved] = halves(y);
        const mixed = uncouple(kept, moved, networkOf(network, classes));
        y = unmixChannels(mixed, mix, buffers[permutationName(l, s)] as tf.Tensor2D);
      }
      return unsqueeze(y, (shapes[l] as (typeof shapes)[number]).factors);
    });
    x?.dispose();
    x = next;
    await onLevel();
  }
  return x as tf.Tensor4D;
}

function networkOf(parameters: NetworkParameters, classes: tf.Tensor2D | undefined) {
  return (kept: tf.Tensor4D): Gaussian<tf.Tensor4D> => predicted(parameters, kept, classes);
}

/** The prior as one number of a whole batch, since the affine step takes equal shapes. */
function priorOf(
  { mean, logScale }: CouplingParameters['prior'],
  batch: number,
): Gaussian<tf.Tensor4D> {
  const every = (numbers: tf.Tensor3D): tf.Tensor4D =>
    tf.tile(tf.expandDims(numbers, 0), [batch, 1, 1, 1]) as tf.Tensor4D;
  return { mean: every(mean), logScale: every(logScale) };
}
