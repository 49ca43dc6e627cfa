import { droppedClasses } from '../../src/conditions/labels.js';
import { tf, tidy } from '../../src/core/tf.js';
import { leaf, valueAndGradient } from '../../src/core/tree.js';
import { checkImages, dimensions } from '../../src/flow/model.js';
import { type Diffusion, type DiffusionConfig, predicted, timeFeatures } from './diffusion.js';
import {
  combined,
  type Denoiser,
  ddim,
  ddimToNoise,
  estimatesAt,
  heun,
  mixingAt,
  odeLogProb,
} from './diffusion-process.js';
import { checkSampling, classesOf, evaluated, noiseRows, type PeerSampling } from './peer.js';

/** The same times for all rows, as the network reads them. */
function timesOf({ channels }: DiffusionConfig, t: number, rows: number): tf.Tensor2D {
  return tf.tile(tf.tensor2d(timeFeatures(t, channels), [1, channels]), [rows, 1]);
}

/**
 * Samples of a diffusion model (count, channels, height, width), in [−1, 1]. What data are at a time is cut to
 * that range (Ho et al. 2020). With guidance w both predictions, with the label and without, are one:
 * u + w·(u − u₀) (Ho and Salimans 2022, arXiv 2207.12598).
 *
 * @param options `steps` default 50; `rule` default DDIM
 * @throws UserError for a wrong count, number of steps, label or guidance
 */
export function sampleDiffusion(
  model: Diffusion,
  options: PeerSampling & { rule?: 'ddim' | 'heun' },
): tf.Tensor4D {
  const { steps = 50, guidance = 0, rule = 'ddim' } = options;
  const { config } = model;
  checkSampling(model, options, { steps: true, guidance: config.classes > 0 });
  const { channels, height, width } = config.image;
  return tidy(() => {
    const denoise = denoiserOf(model, options.label, options.count, { guidance, clip: true });
    const noise = noiseRows(options.seed, 'sample', [options.count, channels, height, width]);
    const made = { ddim, heun }[rule](config.prediction, denoise, noise, steps);
    return tf.clipByValue(made, -1, 1);
  });
}

/**
 * Images to noise by the steps of DDIM, and back from it: what a diffusion model has for an inverse.
 *
 * @returns (batch, channels, height, width), which the caller frees
 * @throws UserError for images or labels that do not fit the model
 */
export function diffusionRoundTrip(
  model: Diffusion,
  images: tf.Tensor4D,
  { steps, label }: { steps: number; label?: PeerSampling['label'] },
): tf.Tensor4D {
  checkImages(model, images);
  const kind = model.config.prediction;
  return tidy(() => {
    const denoise = denoiserOf(model, label, images.shape[0], { guidance: 0, clip: false });
    return ddim(kind, denoise, ddimToNoise(kind, denoise, images, steps), steps);
  });
}

/** Data and noise that a model expects of noisy images; data are cut to [−1, 1] where that is asked. */
function denoiserOf(
  model: Diffusion,
  label: PeerSampling['label'],
  rows: number,
  { guidance, clip }: { guidance: number; clip: boolean },
): Denoiser {
  const { config } = model;
  const kind = config.prediction;
  const classes = classesOf(model, label, rows);
  return (x, t) => {
    const inputs = { x, time: timesOf(config, t, rows), ...classes };
    const prediction = (other: { classes?: tf.Tensor2D }) =>
      evaluated('denoise', model, { ...inputs, ...other }, (traced, given) => ({
        made: predicted(
          traced,
          leaf(given, 'x', 4),
          leaf(given, 'time', 2),
          given.classes && leaf(given, 'classes', 2),
        ),
      })).made;
    const own = prediction({});
    const found =
      guidance > 0
        ? combined([1 + guidance, -guidance], own, prediction(droppedClasses(config, rows)))
        : own;
    const { signal, deviation } = mixingAt(kind, t);
    const data = combined(estimatesAt(kind, t).data, x, found);
    if (!clip) return { data, noise: combined(estimatesAt(kind, t).noise, x, found) };
    const cut = tf.clipByValue(data, -1, 1);
    return { data: cut, noise: combined([1 / deviation, -signal / deviation], x, cut) };
  };
}

/**
 * Bits per dimension of 8-bit pixels by the probability-flow ODE (Song et al. 2021, arXiv 2011.13456), for
 * images with uniform noise of one grey level, as of a flow. The divergence is Hutchinson's estimate pᵀ(∂v/∂x)p
 * of signs p, the same ones along a path; it is without bias, and over several of them it tells its own error.
 *
 * @param images (batch, channels, height, width), 2(k + u)/256 − 1 of grey levels k
 * @param options `steps` of four evaluations each, default 32; `probes` are paths of other signs, default 4
 * @returns bits per dimension of each image, and the standard error of the mean over images that comes of the
 *   signs (NaN for one probe)
 * @throws UserError for images or labels that do not fit the model
 */
export async function odeBits(
  model: Diffusion,
  images: tf.Tensor4D,
  options: { seed: number; label?: PeerSampling['label']; steps?: number; probes?: number },
): Promise<{ bits: Float32Array; error: number }> {
  const { seed, label, steps = 32, probes = 4 } = options;
  const { config } = model;
  checkImages(model, images);
  const [rows] = images.shape;
  const size = dimensions(config);
  const bits = new Float32Array(rows);
  const means: number[] = [];
  for (let probe = 0; probe < probes; probe++) {
    const nats = tidy(() => {
      const signs = tf.sign(noiseRows(seed, `probe ${probe}`, images.shape));
      const classes = classesOf(model, label, rows);
      const dynamics = (x: tf.Tensor4D, t: number) =>
        flowOf(model, { x, signs, time: timesOf(config, t, rows), ...classes }, t);
      return odeLogProb(dynamics, images, steps);
    });
    const own = Float32Array.from(await nats.data(), (n) => (Math.log(128) - n / size) / Math.LN2);
    nats.dispose();
    own.forEach((value, i) => {
      bits[i] = (bits[i] ?? 0) + value / probes;
    });
    means.push(own.reduce((sum, value) => sum + value, 0) / rows);
  }
  const mean = means.reduce((sum, value) => sum + value, 0) / probes;
  const square = means.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { bits, error: Math.sqrt(square / (probes - 1) / probes) };
}

/** The velocity of the probability-flow ODE at a time, and pᵀ(∂v/∂x)p. */
function flowOf(model: Diffusion, inputs: Record<string, tf.Tensor>, t: number) {
  const kind = model.config.prediction;
  const { data, noise } = estimatesAt(kind, t);
  const { signalRate, deviationRate } = mixingAt(kind, t);
  // v = α′·x̂ + σ′·ε̂ = a·x(t) + b·prediction.
  const [a, b] = [0, 1].map((i) => signalRate * data[i]! + deviationRate * noise[i]!);
  const { found, product } = evaluated('denoiseWithProduct', model, inputs, (traced, given) => {
    const classes = given.classes && leaf(given, 'classes', 2);
    const signs = leaf(given, 'signs', 4);
    const { gradient, auxiliary } = valueAndGradient(
      (current) => {
        const made = predicted(traced, leaf(current, 'x', 4), leaf(given, 'time', 2), classes);
        return { value: tf.sum(tf.mul(made, signs)), auxiliary: { made } };
      },
      { x: leaf(given, 'x', 4) },
    );
    const products = tf.mul(leaf(gradient, 'x', 4), signs);
    return { found: auxiliary.made, product: tf.sum(products, [1, 2, 3]) };
  });
  const size = dimensions(model.config);
  return {
    velocity: combined([a!, b!], leaf(inputs, 'x', 4), found),
    divergence: tf.add(tf.mul(product, b!), a! * size),
  };
}
