import { foldIn, randomKey } from '../../src/core/random.js';
import { tf, tidy } from '../../src/core/tf.js';
import {
  type DataSource,
  type ImageDataset,
  imagesTensor,
  labelBatch,
} from '../../src/data/index.js';
import { datasetBitsPerDimension } from '../../src/evaluation/bits-per-dimension.js';
import type {
  FeatureRows,
  FeatureStatistics,
  Features,
} from '../../src/evaluation/feature-statistics.js';
import { frechetDistance } from '../../src/evaluation/frechet-distance.js';
import { featuresOf, statisticsOfImages } from '../../src/evaluation/image-features.js';
import { kernelInceptionDistance } from '../../src/evaluation/kid.js';
import { neighbourMeasures } from '../../src/evaluation/neighbours.js';
import { resamplingError } from '../../src/evaluation/resampling-error.js';
import { meanWithError } from '../../src/evaluation/statistics.js';
import { forward } from '../../src/flow/forward.js';
import type { LoadedModel } from '../../src/models/load-checkpoint.js';
import type { FeatureNetwork } from '../../src/pretrained/feature-network.js';
import { inverse } from '../../src/sampling/inverse.js';
import { sample } from '../../src/sampling/sample.js';
import { finiteImages } from '../measures/class-judge.js';
import { noisyTensor } from '../notebook/dataset-images.js';
import { diffusion } from '../peers/diffusion.js';
import {
  diffusionRoundTrip,
  importanceBits,
  isPeer,
  logWeights,
  odeBits,
  pixelBits,
  sampleDiffusion,
  samplePeer,
} from '../peers/index.js';
import { pixelVae } from '../peers/pixel-vae.js';
import { pixelCnn } from '../peers/pixelcnn.js';
import type { ComparedImages, ComparedModel } from '../records/record.js';

/** How samples of a model are drawn. */
export interface Drawing {
  guidance: number;
  /** Of a diffusion model; each takes 50 evaluations. */
  rule?: 'ddim' | 'heun';
}

/** Images drawn together. */
const together = 250;

/** Evaluations of a diffusion model for a sample, twice as many where it is guided. */
export const diffusionEvaluations = 50;

/**
 * Samples of a model of any kind (labels, channels, height, width), in [−1, 1]: of a flow of Gaussian noise
 * denoised, of a VAE the means of pixels.
 *
 * @returns what the caller frees
 */
export async function drawn(
  model: LoadedModel,
  labels: readonly number[],
  { guidance, rule }: Drawing,
  seed: number,
): Promise<tf.Tensor4D> {
  const parts: tf.Tensor4D[] = [];
  for (let from = 0; from < labels.length; from += together) {
    const label = labels.slice(from, from + together);
    parts.push(
      await drawnTogether(model, label, { guidance, rule }, 1000 * seed + from / together),
    );
    await new Promise(setImmediate);
  }
  return tidy(() => {
    const all = tf.clipByValue(tf.concat(parts), -1, 1) as tf.Tensor4D;
    tf.dispose(parts);
    return all;
  });
}

async function drawnTogether(
  model: LoadedModel,
  label: number[],
  { guidance, rule }: Drawing,
  seed: number,
): Promise<tf.Tensor4D> {
  const common = { count: label.length, label, seed };
  if (isPeer(model, diffusion)) {
    const steps = rule === 'heun' ? diffusionEvaluations / 2 : diffusionEvaluations;
    return sampleDiffusion(model, { ...common, guidance, steps, rule });
  }
  if (!model.family.blocks) return samplePeer(model, common);
  const { noise } = model.details;
  return sample(model, {
    ...{ ...common, batchSize: label.length },
    ...(guidance > 0 && { guidance: { weight: guidance, annealed: true } }),
    ...(noise?.kind === 'gaussian' && { denoise: { sigma: noise.sigma } }),
  });
}

/** What images are compared with, by a network. */
export interface Yardstick {
  network: FeatureNetwork;
  /** Of all training images, from which distances are reported. */
  training: FeatureStatistics;
  /** Of validation images, by which settings are chosen. */
  validation: FeatureStatistics;
  /** Of unseen images. */
  unseen: FeatureRows;
}

export async function yardstick(
  network: FeatureNetwork,
  { train, validation, test }: Record<'train' | 'validation' | 'test', DataSource>,
  count: number,
): Promise<Yardstick> {
  const first = (data: DataSource, most = data.length) => ({
    data,
    indices: Array.from({ length: Math.min(most, data.length) }, (_, i) => i),
  });
  return {
    network,
    training: await statisticsOfImages(network, first(train)),
    validation: await statisticsOfImages(network, first(validation)),
    unseen: await featuresOf(network, first(test, count)),
  };
}

/** The distance of images from others; infinite where one is not finite. */
export async function distanceFrom(
  network: FeatureNetwork,
  real: FeatureStatistics,
  images: tf.Tensor4D,
): Promise<number> {
  if (finiteImages(images).length < images.shape[0]) return Number.POSITIVE_INFINITY;
  return frechetDistance(await featuresOf(network, images), real);
}

/** Measures images (batch, channels, height, width); those that are not finite are counted and left out. */
export async function measureImages(
  { network, training, unseen }: Yardstick,
  images: tf.Tensor4D,
): Promise<ComparedImages> {
  const finite = finiteImages(images);
  const kept = tidy(() => tf.gather(images, tf.tensor1d(finite, 'int32')) as tf.Tensor4D);
  const features = await featuresOf(network, kept);
  const distance = (rows: Features) => frechetDistance(rows, training);
  const { mean, deviation } = kernelInceptionDistance(features, unseen);
  const measured = {
    ...{ n: finite.length, notFinite: images.shape[0] - finite.length },
    FD: {
      mean: distance(features),
      error: resamplingError([features], distance, { draws: 20 }),
    },
    KD: { mean, error: deviation },
    ...neighbourMeasures(unseen, features),
    laplacian: laplacian(kept),
  };
  kept.dispose();
  return measured;
}

/** The mean square of 4·x less its four neighbours, within the images. */
export function laplacian(images: tf.Tensor4D): number {
  return tidy(() => {
    const [, , height, width] = images.shape;
    const shifted = (down: number, right: number) =>
      tf.slice(images, [0, 0, 1 + down, 1 + right], [-1, -1, height - 2, width - 2]);
    const around = [shifted(-1, 0), shifted(1, 0), shifted(0, -1), shifted(0, 1)];
    const found = tf.sub(tf.mul(shifted(0, 0), 4), tf.addN(around));
    return tf.mean(tf.square(found)).dataSync()[0] ?? Number.NaN;
  });
}

/** Images of a diffusion model whose bits are computed: an ODE of many evaluations for each. */
const odeImages = 64;

/**
 * Bits per dimension of the first images of a data set by their labels: of a flow and a PixelCNN exact, of a
 * VAE a bound, of a diffusion model by its ODE, for fewer images; of a GAN none.
 */
export async function measureBits(
  model: LoadedModel,
  data: ImageDataset,
  count: number,
): Promise<ComparedModel['bits']> {
  if (isPeer(model, diffusion)) {
    const indices = Array.from({ length: odeImages }, (_, i) => i);
    const noisy = noisyRows(data, indices);
    const label = indices.map((i) => data.labels[i]!);
    const [coarse, fine] = [
      await odeBits(model, noisy, { seed: 1, label, steps: 32, probes: 2 }),
      await odeBits(model, noisy, { seed: 1, label, steps: 64, probes: 2 }),
    ];
    noisy.dispose();
    const found = bitsOf(fine.bits, 'ode');
    const moved = Math.abs(found.mean - bitsOf(coarse.bits, 'ode').mean);
    return { ...found, moved, traceError: fine.error };
  }
  if (model.family.blocks) {
    const { values } = await datasetBitsPerDimension(model, data, { count, useLabels: true });
    return bitsOf(values, 'exact');
  }
  const bits = batchBits(model);
  if (!bits) return undefined;
  const values: number[] = [];
  for (let from = 0; from < count; from += together) {
    const indices = Array.from({ length: Math.min(together, count - from) }, (_, i) => from + i);
    const images = imagesTensor(data, indices);
    const found = tidy(() => bits(images, Array.from(labelBatch(data, indices)), from));
    values.push(...found.dataSync());
    tf.dispose([images, found]);
    await new Promise(setImmediate);
  }
  return bitsOf(values, isPeer(model, pixelCnn) ? 'exact' : 'bound');
}

type BatchBits = (images: tf.Tensor4D, label: number[], seed: number) => tf.Tensor1D;

function batchBits(model: LoadedModel): BatchBits | undefined {
  if (isPeer(model, pixelCnn)) return (images, label) => pixelBits(model, images, label);
  if (!isPeer(model, pixelVae)) return undefined;
  return (images, label, seed) => importanceBits(model, logWeights(model, images, { seed, label }));
}

function bitsOf(values: ArrayLike<number>, of: 'exact' | 'bound' | 'ode') {
  const { mean, standardError } = meanWithError(values);
  const each = Array.from(values, (value) => Number(value.toPrecision(6)));
  return { mean, error: standardError ?? Number.NaN, of, n: values.length, values: each };
}

/** Images with a draw of uniform noise of one grey level, as a flow for likelihood reads them. */
function noisyRows(data: ImageDataset, indices: readonly number[]): tf.Tensor4D {
  return noisyTensor(data, indices, { kind: 'uniform' }, foldIn(randomKey(0), 'peers'));
}

/**
 * What images differ by that went to noise and back: through a flow, or by the steps of a diffusion model's
 * evaluations each way; undefined for models without such a way.
 */
export async function measureRoundTrip(
  model: LoadedModel,
  data: ImageDataset,
  count: number,
): Promise<ComparedModel['roundTrip']> {
  const indices = Array.from({ length: count }, (_, i) => i);
  const images = noisyRows(data, indices);
  const label = Array.from(labelBatch(data, indices));
  const back = await roundTripped(model, images, label);
  const found =
    back &&
    tidy(() => {
      const difference = tf.sub(back, images);
      const largest = tf.max(tf.abs(difference)).dataSync()[0]!;
      return { n: count, largest, rms: Math.sqrt(tf.mean(tf.square(difference)).dataSync()[0]!) };
    });
  tf.dispose([images, ...(back ? [back] : [])]);
  return found;
}

async function roundTripped(
  model: LoadedModel,
  images: tf.Tensor4D,
  label: number[],
): Promise<tf.Tensor4D | undefined> {
  if (isPeer(model, diffusion)) {
    return diffusionRoundTrip(model, images, { steps: diffusionEvaluations, label });
  }
  if (!model.family.blocks) return undefined;
  const z = tidy(() => forward(model, images, { label }).z);
  const back = await inverse(model, z, { label });
  z.dispose();
  return back;
}

/** Evaluations of the network that a sample takes one after the other. */
export function evaluationsOf(model: LoadedModel, { guidance }: Drawing): number {
  if (isPeer(model, diffusion)) return diffusionEvaluations * (guidance > 0 ? 2 : 1);
  const blocks = model.family.blocks?.(model);
  if (blocks) return blocks.reduce((sum, { tokens, given }) => sum + tokens - given, 0);
  const { height, width } = model.config.image;
  return isPeer(model, pixelCnn) ? height * width : 1;
}

/** Seconds of batches of samples, after one that compiles. */
export async function timeSampling(
  model: LoadedModel,
  how: Drawing,
  batch: number,
  repeats: number,
): Promise<number[]> {
  const label = Array.from({ length: batch }, (_, i) => i % model.config.classes);
  const times: number[] = [];
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const start = performance.now();
    const images = await drawn(model, label, how, 500 + repeat);
    images.dataSync();
    images.dispose();
    if (repeat > 0) times.push((performance.now() - start) / 1000);
  }
  return times;
}
