import { tf } from '../../src/core/tf.js';

/** Grey levels of a pixel. */
const greyLevels = 256;

/** No log-scale is smaller: a logistic as narrow is on one grey level. */
export const leastLogScale = -7;

/**
 * log P of grey levels under logistics that are cut into them (Salimans et al. 2017, arXiv 1701.05517, section
 * 2.1): each level has the mass between the middles to its neighbours, the lowest and the highest one all that is
 * beyond. Exact for narrow and for wide ones: σ(a) − σ(b) = σ(a)·σ(−b)·(1 − exp(b − a)).
 *
 * @param x of levels in [−1, 1], 2k/(levels − 1) − 1
 * @param mean broadcasts with x, as `logScale`
 * @param levels default 256
 * @returns in nats, of the shape to which they broadcast
 */
export function logisticLogProb<T extends tf.Tensor>(
  x: T,
  mean: T,
  logScale: T,
  levels = greyLevels,
): T {
  const half = 1 / (levels - 1);
  const inverse = tf.exp(tf.neg(logScale));
  const away = tf.sub(x, mean);
  const above = tf.mul(tf.add(away, half), inverse);
  const below = tf.mul(tf.sub(away, half), inverse);
  const toTheRight = tf.neg(tf.softplus(tf.neg(above)));
  const toTheLeft = tf.neg(tf.softplus(below));
  const width = tf.log(tf.neg(tf.expm1(tf.mul(inverse, -2 * half))));
  const within = tf.add(tf.add(toTheRight, toTheLeft), width);
  const inside = tf.where(tf.less(x, -1 + half), toTheRight, within);
  return tf.where(tf.greater(x, 1 - half), toTheLeft, inside) as T;
}

/** How many numbers a pixel's mixture has: of each component its weight, and means, scales and slopes. */
export function mixtureWidth(channels: number, components: number): number {
  return components * (1 + 2 * channels + slopesOf(channels));
}

/** Pairs of channels: the mean of each moves with those before it. */
function slopesOf(channels: number): number {
  return (channels * (channels - 1)) / 2;
}

/** A mixture by its parts, each (…, parts·components) as a network puts them side by side. */
interface Mixture<T> {
  logits: T;
  /** Of each channel. */
  means: T[];
  logScales: T[];
  /** Of green on red, of blue on red, of blue on green. */
  slopes: T[];
}

/**
 * log P of pixels under mixtures of logistics that are cut into grey levels. All channels of a pixel share a
 * component, and the mean of a channel is linear in those before it (Salimans et al. 2017, section 2.2).
 *
 * @param x (rows, channels) of levels in [−1, 1]
 * @param mixtures (rows, {@link mixtureWidth})
 * @returns (rows), in nats
 */
export function mixtureLogProb(
  x: tf.Tensor2D,
  mixtures: tf.Tensor2D,
  levels = greyLevels,
): tf.Tensor1D {
  const channels = x.shape[1];
  const components = mixtures.shape[1] / mixtureWidth(channels, 1);
  const parts = tf.split(mixtures, mixtures.shape[1] / components, 1);
  const { logits, means, logScales, slopes } = byPart(parts as tf.Tensor2D[], channels);
  const pixels = tf.split(x, channels, 1) as tf.Tensor2D[];
  const logProbs = pixels.map((own, channel) => {
    const moved = pixels
      .slice(0, channel)
      .map((before, i) => tf.mul(tf.tanh(slopes[slopesOf(channel) + i]!), before));
    const mean = tf.addN([means[channel]!, ...moved]);
    const logScale = tf.maximum(logScales[channel]!, leastLogScale);
    return logisticLogProb(own, mean, logScale, levels);
  });
  const weights: tf.Tensor2D = tf.logSoftmax(logits);
  return tf.logSumExp(tf.addN([weights, ...logProbs]), 1);
}

function byPart<T>(parts: readonly T[], channels: number): Mixture<T> {
  const [logits, ...rest] = parts;
  return {
    logits: logits!,
    means: rest.slice(0, channels),
    logScales: rest.slice(channels, 2 * channels),
    slopes: rest.slice(2 * channels),
  };
}

/**
 * A pixel for each row of {@link mixtureLogProb}'s mixtures.
 *
 * @param mixtures (rows, width), row by row
 * @param uniforms (rows, 1 + channels) in [0, 1): what chance decides
 * @returns (rows, channels) of levels in [−1, 1]
 */
export function sampledPixels(
  mixtures: Float32Array,
  uniforms: Float32Array,
  channels: number,
): Float32Array {
  const rows = uniforms.length / (1 + channels);
  const width = mixtures.length / rows;
  const components = width / mixtureWidth(channels, 1);
  const pixels = new Float32Array(rows * channels);
  for (let row = 0; row < rows; row++) {
    const numbers = mixtures.subarray(row * width, (row + 1) * width);
    const part = (index: number) => numbers.subarray(index * components, (index + 1) * components);
    const all = Array.from({ length: width / components }, (_, index) => part(index));
    const { logits, means, logScales, slopes } = byPart(all, channels);
    const drawn = uniforms.subarray(row * (1 + channels), (row + 1) * (1 + channels));
    const one = chosen(logits, drawn[0]!);
    const pixel = pixels.subarray(row * channels, (row + 1) * channels);
    for (let channel = 0; channel < channels; channel++) {
      let x = means[channel]![one]!;
      for (let i = 0; i < channel; i++) {
        x += Math.tanh(slopes[slopesOf(channel) + i]![one]!) * pixel[i]!;
      }
      const u = Math.min(1 - 1e-7, Math.max(1e-7, drawn[1 + channel]!));
      const scale = Math.exp(Math.max(leastLogScale, logScales[channel]![one]!));
      x += scale * Math.log(u / (1 - u));
      const level = Math.round(((x + 1) / 2) * (greyLevels - 1));
      pixel[channel] = (2 * Math.min(greyLevels - 1, Math.max(0, level))) / (greyLevels - 1) - 1;
    }
  }
  return pixels;
}

/** The component that a number in [0, 1) falls on, of weights softmax(logits). */
function chosen(logits: Float32Array, u: number): number {
  const most = Math.max(...logits);
  const weights = Array.from(logits, (logit) => Math.exp(logit - most));
  let left = u * weights.reduce((sum, weight) => sum + weight, 0);
  const found = weights.findIndex((weight) => {
    left -= weight;
    return left < 0;
  });
  return found < 0 ? weights.length - 1 : found;
}
