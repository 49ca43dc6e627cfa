import { linear, relu } from '../core/ops.js';
import { foldIn, type RandomKey } from '../core/random.js';
import { tf } from '../core/tf.js';
import { embedding, type LinearParameters } from './layers.js';
import { normals, type Specified, type Specs, uniforms, zeros } from './specs.js';

/** A masked network of T tokens. Entries of a weight that its mask hides mean nothing. */
export type MadeParameters = Specified<ReturnType<typeof madeSpecs>>;

/**
 * A masked network that starts by predicting mean and log-scale 0, because its last weights are zero.
 *
 * @param sizes tokens T, hidden layers, their units, and classes
 */
export function madeSpecs(
  key: RandomKey,
  sizes: { tokens: number; layers: number; units: number; classes: number },
) {
  const { tokens, layers, units, classes } = sizes;
  const layer = (k: RandomKey, inputs: number): Specs<LinearParameters> => ({
    // As a linear layer of half of the inputs, since a mask hides the others, on the average.
    weight: uniforms(foldIn(k, 'weight'), [units, inputs], Math.sqrt(2 / inputs)),
    bias: uniforms(foldIn(k, 'bias'), [units], Math.sqrt(2 / inputs)),
  });
  return {
    /** Of T − 1 inputs first, since the last token predicts nothing. */
    hidden: range(layers, 0).map((l) => layer(foldIn(key, l), l === 0 ? tokens - 1 : units)),
    /** Added before the first nonlinearity; absent in an unconditional model. */
    ...(classes > 0 && { classes: normals(foldIn(key, 'classes'), [classes, units], 0.01) }),
    /** A row for the mean of each token, in deviations, and below it one for the log-scale. */
    output: { weight: zeros([2 * tokens, units]), bias: zeros([2 * tokens]) },
  };
}

/** Log-scales lie within ±7: a token's deviation is bounded by a factor of a thousand either way. */
const bound = Math.log(1000);

/**
 * Numbers within ±{@link bound}, which they approach as slowly as a hyperbola: a small deviation then
 * takes large weights, and an image unlike those of training is seldom given one by chance.
 */
function bounded(raw: tf.Tensor3D): tf.Tensor3D {
  return tf.div(raw, tf.add(tf.div(tf.abs(raw), bound), 1));
}

/** The numbers of which {@link bounded} makes values; values beyond ±0.99 of the bound count as that. */
function unbounded(value: tf.Tensor): tf.Tensor {
  const kept = tf.clipByValue(value, -0.99 * bound, 0.99 * bound);
  return tf.div(kept, tf.sub(1, tf.div(tf.abs(kept), bound)));
}

/**
 * A masked autoencoder for distribution estimation (Germain et al. 2015, arXiv 1502.03509) with
 * Gaussian conditionals: what a multilayer perceptron predicts of each token depends on those before
 * it only, because the weights from others are masked.
 *
 * A unit has a degree, the number of tokens that it sees. Degrees 0 … T − 1 are spread evenly over
 * the units, in order; those of degree 0 see the class alone, and so the first token depends on it.
 *
 * The output's first number of a token is its mean in deviations: an error in the mean of an image unlike
 * those of training is then not divided by a deviation that may be a thousandth, block after block.
 *
 * @param seen the first tokens (rows, n), n from 0 to T − 1
 * @param tokens T
 * @param first the first token to predict, at most n
 * @param classes mixture of classes (rows, classes); none takes the mean of the table
 * @returns mean and log-scale of tokens `first` … n, each (rows, n + 1 − first, 1)
 */
export function made(
  parameters: MadeParameters,
  seen: tf.Tensor2D,
  { tokens, first, classes }: { tokens: number; first: number; classes?: tf.Tensor2D | undefined },
): { mean: tf.Tensor3D; logScale: tf.Tensor3D } {
  const [rows, count] = seen.shape;
  const units = parameters.output.weight.shape[1];
  const degrees = unitDegrees(units, tokens);
  // Units that see more have no part in these predictions; degrees ascend.
  const used = degrees.filter((degree) => degree <= count);
  let h = seen;
  // Token i is seen from degree i + 1 on.
  let inputs = range(count, 1);
  parameters.hidden.forEach((layer, index) => {
    let sum = maskedLinear(h, part(layer, 0, used.length, inputs.length), used, inputs);
    if (index === 0 && parameters.classes) {
      const table = tf.slice(parameters.classes, [0, 0], [-1, used.length]);
      sum = tf.add(sum, embedding(table, classes));
    }
    h = relu(sum);
    inputs = used;
  });
  const targets = range(count + 1 - first, first);
  const rowsOfTargets = targets.flatMap((token) => [token, token]);
  const layer = part(parameters.output, 2 * first, rowsOfTargets.length, used.length);
  const out = tf.reshape(maskedLinear(h, layer, rowsOfTargets, used), [rows, targets.length, 2]);
  const [shift, raw] = tf.split(out, 2, 2) as [tf.Tensor3D, tf.Tensor3D];
  const logScale = bounded(raw);
  return { mean: tf.mul(shift, tf.exp(logScale)), logScale };
}

/** The output layer's maps to the means, in deviations, and to the log-scales of T tokens, (T, units) each. */
export function maskedOutput(
  { output: { weight } }: MadeParameters,
  tokens: number,
): { mean: tf.Tensor2D; logScale: tf.Tensor2D } {
  const units = weight.shape[1];
  const every = range(tokens, 0);
  const mask = maskOf(every, unitDegrees(units, tokens));
  const [mean, logScale] = tf.split(tf.reshape(weight, [tokens, 2, units]), 2, 1);
  return {
    mean: tf.mul(tf.squeeze(mean, [1]), mask),
    logScale: tf.mul(tf.squeeze(logScale, [1]), mask),
  };
}

/** The output biases (…, 2) that give means and log-scales, of one shape, where all else is zero. */
export function outputBias({
  mean,
  logScale,
}: {
  mean: tf.Tensor;
  logScale: tf.Tensor;
}): tf.Tensor {
  return tf.stack([tf.div(mean, tf.exp(logScale)), unbounded(logScale)], -1);
}

/** The numbers of tokens that units see, ascending. */
function unitDegrees(units: number, tokens: number): number[] {
  return Array.from({ length: units }, (_, unit) => Math.floor((unit * tokens) / units));
}

/** x·(W∘M)ᵀ + b. */
function maskedLinear(
  x: tf.Tensor2D,
  { weight, bias }: LinearParameters,
  outputs: readonly number[],
  inputs: readonly number[],
): tf.Tensor2D {
  if (inputs.length === 0) return tf.tile(tf.reshape(bias, [1, -1]), [x.shape[0], 1]);
  return linear(x, tf.mul(weight, maskOf(outputs, inputs)), bias);
}

/** 1 where an output sees an input, whose degree is at most its own, else 0: (outputs, inputs). */
function maskOf(outputs: readonly number[], inputs: readonly number[]): tf.Tensor2D {
  const row = tf.tensor2d([...inputs], [1, inputs.length]);
  const column = tf.tensor2d([...outputs], [outputs.length, 1]);
  return tf.cast(tf.lessEqual(row, column), 'float32');
}

/** Some outputs of a layer, and the first of its inputs. */
function part(
  { weight, bias }: LinearParameters,
  from: number,
  outputs: number,
  inputs: number,
): LinearParameters {
  if (weight.shape.join() === [outputs, inputs].join()) return { weight, bias };
  return {
    weight: tf.slice(weight, [from, 0], [outputs, inputs]),
    bias: tf.slice(bias, from, outputs),
  };
}

function range(length: number, first: number): number[] {
  return Array.from({ length }, (_, i) => first + i);
}
