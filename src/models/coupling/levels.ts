import { at } from '../../core/errors.js';
import { relu } from '../../core/ops.js';
import { foldIn, type RandomKey } from '../../core/random.js';
import { tf, tidy } from '../../core/tf.js';
import { type Leaves, leaf } from '../../core/tree.js';
import {
  type ActnormConvolutionParameters,
  actnormConvolution,
  inverseActnormConvolution,
} from '../../flow/actnorm-convolution.js';
import { couple, halves, squeeze, uncouple, unsqueeze } from '../../flow/coupling.js';
import { denormalise, type Gaussian, normalise } from '../../flow/gaussian.js';
import { convolution, convolutionSpecs } from '../../nn/convolution.js';
import { bounded, embedding } from '../../nn/layers.js';
import { normals, type Specified, zeros } from '../../nn/specs.js';
import { type CouplingConfig, levelShapes } from './config.js';

/** What predicts one half of the channels from the other. */
export type CouplingNetwork = Specified<ReturnType<typeof couplingNetworkSpecs>>;

/**
 * A network that starts by predicting mean and log-scale 0, because its last weights are zero.
 *
 * @param sizes channels that it reads, of its hidden layers, and that it predicts; and classes
 */
export function couplingNetworkSpecs(
  key: RandomKey,
  sizes: { inputs: number; hidden: number; outputs: number; classes: number },
) {
  const { inputs, hidden, outputs, classes } = sizes;
  return {
    input: convolutionSpecs(foldIn(key, 'input'), 3, inputs, hidden),
    /** Added before the first nonlinearity; absent without classes. */
    ...(classes > 0 && { classes: normals(foldIn(key, 'classes'), [classes, hidden], 0.01) }),
    hidden: convolutionSpecs(foldIn(key, 'hidden'), 3, hidden, hidden),
    /** Half of its outputs are means, the others log-scales. */
    output: { weight: zeros([3, 3, hidden, 2 * outputs]), bias: zeros([2 * outputs]) },
  };
}

/** Log-scales lie within ±3. */
const bound = 3;

/**
 * Mean and log-scale of channels from others, by three convolutions of 3×3.
 *
 * @param x (batch, height, width, inputs)
 * @param classes mixture of classes (batch, classes); none takes the mean of the table
 */
function predictedGaussian(
  parameters: CouplingNetwork,
  x: tf.Tensor4D,
  classes: tf.Tensor2D | undefined,
): { mean: tf.Tensor4D; logScale: tf.Tensor4D } {
  let h = convolution(x, parameters.input);
  if (parameters.classes) {
    const rows = embedding(parameters.classes, classes);
    h = tf.add(h, tf.reshape(rows, [rows.shape[0], 1, 1, rows.shape[1]]));
  }
  h = relu(convolution(relu(h), parameters.hidden));
  const [mean, raw] = tf.split(convolution(h, parameters.output), 2, 3) as [
    tf.Tensor4D,
    tf.Tensor4D,
  ];
  return { mean, logScale: bounded(raw, bound) };
}

/** A step of a level: channels normalised and mixed, then a coupling. */
export type StepParameters = { mix: ActnormConvolutionParameters; network: CouplingNetwork };

export type CouplingParameters = {
  levels: {
    steps: StepParameters[];
    /** Predicts the channels that leave after the level from those that stay; none in the last. */
    split?: CouplingNetwork;
  }[];
  /** What is left at the end is normal with these, (height, width, channels) each. */
  prior: { mean: tf.Tensor3D; logScale: tf.Tensor3D };
};

/** The name of a step's permutation among the buffers. */
export function permutationName(level: number, step: number): string {
  return `levels.${level}.steps.${step}.permutation`;
}

/**
 * Data to noise through all levels.
 *
 * @param images (batch, height, width, channels)
 * @param onStep called before a step with its input; returns the parameters to go on with
 * @returns what leaves after each level, and its log-determinant
 */
export function throughLevels(
  config: CouplingConfig,
  { parameters, buffers }: { parameters: CouplingParameters; buffers: Leaves },
  images: tf.Tensor4D,
  classes: tf.Tensor2D | undefined,
  onStep: (step: StepParameters, x: tf.Tensor4D, name: string) => StepParameters = (step) => step,
): { latents: tf.Tensor4D[]; logDets: tf.Tensor1D[] } {
  const batch = images.shape[0];
  const shapes = levelShapes(config);
  const latents: tf.Tensor4D[] = [];
  const logDets: tf.Tensor1D[] = [];
  let x = images;
  parameters.levels.forEach((level, l) => {
    x = squeeze(x, at(shapes, l).factors);
    let logDet: tf.Tensor1D = tf.zeros([batch]);
    level.steps.forEach((start, s) => {
      const permutation = leaf(buffers, permutationName(l, s), 2);
      const step = onStep(start, x, `levels.${l}.steps.${s}`);
      // A scope per step: all else that it made is freed before the next one runs.
      const result = tidy(() => {
        const mixed = actnormConvolution(x, step.mix, permutation);
        const { kept, moved, logDet } = couple(mixed.y, networkOf(step.network, classes));
        return { x: tf.concat([kept, moved], 3), logDet: tf.add(logDet, mixed.logDet) };
      });
      x = result.x;
      logDet = tf.add(logDet, result.logDet);
    });
    if (level.split) {
      const { kept, moved, logDet: ofSplit } = couple(x, networkOf(level.split, classes));
      x = kept;
      latents.push(moved);
      logDet = tf.add(logDet, ofSplit);
    } else {
      const prior = priorOf(parameters.prior, batch);
      latents.push(normalise(x, prior));
      logDet = tf.sub(logDet, tf.sum(parameters.prior.logScale));
    }
    logDets.push(logDet);
  });
  return { latents, logDets };
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
  const left = at(latents, -1);
  let x = tidy(() => denormalise(left, priorOf(parameters.prior, left.shape[0])));
  for (const [l, level] of [...parameters.levels.entries()].reverse()) {
    const next = tidy(() => {
      let y = level.split ? uncouple(x, at(latents, l), networkOf(level.split, classes)) : x;
      for (const [s, { mix, network }] of [...level.steps.entries()].reverse()) {
        const [kept, moved] = halves(y);
        const mixed = uncouple(kept, moved, networkOf(network, classes));
        y = inverseActnormConvolution(mixed, mix, leaf(buffers, permutationName(l, s), 2));
      }
      return unsqueeze(y, at(shapes, l).factors);
    });
    x.dispose();
    x = next;
    await onLevel();
  }
  return x;
}

function networkOf(parameters: CouplingNetwork, classes: tf.Tensor2D | undefined) {
  return (kept: tf.Tensor4D): Gaussian<tf.Tensor4D> => predictedGaussian(parameters, kept, classes);
}

/** The prior as one number of a whole batch, since the affine step takes equal shapes. */
function priorOf(
  { mean, logScale }: CouplingParameters['prior'],
  batch: number,
): Gaussian<tf.Tensor4D> {
  const every = (numbers: tf.Tensor3D) => tf.tile(tf.expandDims(numbers, 0), [batch, 1, 1, 1]);
  return { mean: every(mean), logScale: every(logScale) };
}
