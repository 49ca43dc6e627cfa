import { describe, expect, test } from 'vitest';
import { normal, randomKey, tf, tidy } from '../../../src/core/index.js';
import { dimensions } from '../../../src/flow/model.js';
import { freshModel } from '../../../src/flow/state-dict.js';
import { diffusion, predicted, timeFeatures } from '../../../workbook/peers/diffusion.js';
import {
  ddim,
  heun,
  mixingAt,
  odeLogProb,
  type PredictionKind,
} from '../../../workbook/peers/diffusion-process.js';
import { odeBits } from '../../../workbook/peers/diffusion-sampling.js';
import {
  logisticLogProb,
  mixtureLogProb,
  mixtureWidth,
  sampledPixels,
} from '../../../workbook/peers/discretised-logistic.js';
import { importanceBits, logWeights, pixelVae } from '../../../workbook/peers/pixel-vae.js';
import { mixturesOf, pixelBits, pixelCnn } from '../../../workbook/peers/pixelcnn.js';
import { walkThrough } from '../../../workbook/peers/pixelcnn-sampling.js';
import { expectNoTensorsLeft } from '../../leaks.js';
import { difference, jacobian } from '../../models/cases.js';
import { greyLevels, lively, smallDiffusion, smallPixelCnn, smallVae } from './small-peers.js';

const sumOf = (x: tf.Tensor): number => tf.sum(tf.exp(x)).dataSync()[0]!;

describe('logistics that are cut into grey levels', () => {
  test.each([
    [0.1, -1],
    [-3, -6.5],
    [0.999, -7],
    [0.3, 2.5],
  ])('of mean %f and log-scale %f sum to 1', (mean, logScale) => {
    const levels = tf.sub(tf.div(tf.range(0, 256), 127.5), 1);
    const found = logisticLogProb(levels, tf.tensor1d([mean]), tf.tensor1d([logScale]));
    expect(sumOf(found)).toBeCloseTo(1, 4);
    expect(Number.isFinite(tf.min(found).dataSync()[0])).toBe(true);
  });

  test('mixed and moved by other channels sum to 1 over all colours of eight levels', () => {
    const levels = Array.from({ length: 8 }, (_, k) => (2 * k) / 7 - 1);
    const colours = levels.flatMap((r) => levels.flatMap((g) => levels.map((b) => [r, g, b])));
    const width = mixtureWidth(3, 2);
    const row = tf.tensor2d(normal(randomKey(2), width), [1, width]);
    const mixtures = tf.tile(row, [colours.length, 1]);
    expect(sumOf(mixtureLogProb(tf.tensor2d(colours), mixtures, 8))).toBeCloseTo(1, 4);
  });

  test('are what pixels are drawn from', () => {
    const width = mixtureWidth(1, 2);
    // Half the mass near each of -0.5 and 0.25.
    const row = [0, 0, -0.5, 0.25, -4, -4];
    const count = 4000;
    const mixtures = Float32Array.from({ length: count * width }, (_, i) => row[i % width]!);
    const uniforms = Float32Array.from({ length: 2 * count }, (_, i) =>
      i % 2 === 0 ? ((i / 2) % 50) / 50 : (((i / 2) * 7 + 3) % count) / count,
    );
    const pixels = sampledPixels(mixtures, uniforms, 1);
    const share = pixels.filter((x) => x < -0.1).length / count;
    expect(share).toBeCloseTo(0.5, 1);
    const x = Float32Array.from(pixels);
    const logProbs = mixtureLogProb(
      tf.tensor2d(x, [count, 1]),
      tf.tensor2d(mixtures, [count, width]),
    );
    // The mean of −log P of samples is the entropy: that of two logistics apart, over 256 levels.
    const entropy = Math.log(2) + 2 - 4 - Math.log(2 / 255);
    expect(-tf.mean(logProbs).dataSync()[0]!).toBeCloseTo(entropy, 1);
  });
});

describe('a PixelCNN', () => {
  const images = greyLevels;

  test('predicts no pixel from itself or a later one', () => {
    const model = lively(pixelCnn, { ...smallPixelCnn, layers: 3 });
    const x = images(smallPixelCnn, 1);
    const rows = jacobian(
      (y: tf.Tensor4D) => tidy(() => tf.sum(mixturesOf(model, y, undefined), 3)),
      x,
    );
    rows.forEach((row, pixel) => {
      expect(row.slice(pixel).every((slope) => slope === 0)).toBe(true);
      // All that is before is within reach of three layers here.
      if (pixel > 0) expect(row[pixel - 1]).not.toBe(0);
    });
  });

  test('has probabilities that sum to 1 over all images of two pixels', () => {
    const config = { ...smallPixelCnn, image: { channels: 1, height: 1, width: 2 } };
    const model = lively(pixelCnn, config);
    const grid = Float32Array.from({ length: 2 * 256 ** 2 }, (_, i) => {
      const k = Math.floor(i / 2);
      return (i % 2 === 0 ? Math.floor(k / 256) : k % 256) / 127.5 - 1;
    });
    const bits = pixelBits(model, tf.tensor4d(grid, [256 ** 2, 1, 1, 2]), 1);
    expect(sumOf(tf.mul(bits, -2 * Math.LN2))).toBeCloseTo(1, 3);
  });

  test.each([1, 3])('is the same pixel by pixel, of %i channels', (channels) => {
    const config = { ...smallPixelCnn, image: { channels, height: 4, width: 5 } };
    const model = lively(pixelCnn, config);
    const x = images(config, 2);
    const classes = tf.tensor2d([0, 1, 0, 0, 0, 1], [2, 3]);
    const whole = mixturesOf(model, x, classes);
    const pixels = tf.transpose(x, [0, 2, 3, 1]);
    const before = tf.memory().numTensors;
    let largest = 0;
    const walked = walkThrough(model, { batch: 2, classes }, (mixtures, row, column) =>
      tidy(() => {
        const place = (all: tf.Tensor4D) => tf.slice(all, [0, row, column, 0], [-1, 1, 1, -1]);
        largest = Math.max(largest, difference(mixtures, place(whole)));
        return Float32Array.from(place(pixels).dataSync());
      }),
    );
    expect(tf.memory().numTensors).toBe(before + 1);
    expect(largest).toBeLessThan(1e-4);
    expect(difference(walked, x)).toBe(0);
  });
});

test('the importance-weighted bound of a VAE rises with draws', () => {
  const model = lively(pixelVae, smallVae, 0.3);
  const x = greyLevels(smallVae, 3);
  expectNoTensorsLeft();
  const weights = logWeights(model, x, { seed: 1, draws: 16, label: [0, 1, 2] });
  expect(weights.shape).toEqual([16, 3]);
  // By Jensen's inequality the mean over parts of the draws is worse than the bound by all of them.
  const mean = (draws: number): number =>
    tidy(() => {
      const parts = tf.split(weights, 16 / draws) as tf.Tensor2D[];
      const bits = parts.map((part) => tf.mean(importanceBits(model, part)));
      return tf.mean(tf.stack(bits)).dataSync()[0]!;
    });
  const bits = [1, 4, 16].map(mean);
  expect(bits[1]).toBeLessThan(bits[0]!);
  expect(bits[2]).toBeLessThan(bits[1]!);
  const evidence = -tidy(() => tf.mean(weights).dataSync()[0]!) / dimensions(smallVae) / Math.LN2;
  expect(bits[0]).toBeCloseTo(evidence, 5);
  weights.dispose();
});

test('the evidence bound of a VAE that trains is the mean of its log weights', () => {
  const model = lively(pixelVae, smallVae, 0.1);
  const x = greyLevels(smallVae, 2);
  const weights = logWeights(model, x, { seed: 1, draws: 80, label: [0, 1] });
  const each = -tf.mean(weights).dataSync()[0]! / dimensions(smallVae) / Math.LN2;
  const losses = Array.from({ length: 80 }, (_, i) => {
    const noise = tf.randomNormal([2, 5], 0, 1, 'float32', i + 1);
    const batch = { images: x, noise, classes: tf.tensor2d([1, 0, 0, 0, 1, 0], [2, 3]) };
    return tidy(
      () => pixelVae.objectives(smallVae)[0]!.loss(model, batch, {}).terms.bits!.dataSync()[0]!,
    );
  });
  const mean = losses.reduce((sum, value) => sum + value, 0) / losses.length;
  expect(Math.abs(mean - each)).toBeLessThan(0.03 * Math.abs(each));
});

describe('diffusion', () => {
  const [centre, deviation] = [0.4, 0.3];
  /** What data N(0.4, 0.3²) and noise are, given their sum. */
  const exact = (kind: PredictionKind) => (x: tf.Tensor4D, t: number) => {
    const { signal, deviation: sigma } = mixingAt(kind, t);
    const gain = (signal * deviation ** 2) / (signal ** 2 * deviation ** 2 + sigma ** 2);
    const data = tf.add(tf.mul(tf.sub(x, signal * centre), gain), centre) as tf.Tensor4D;
    return { data, noise: tf.div(tf.sub(x, tf.mul(data, signal)), Math.max(sigma, 1e-9)) };
  };
  const noise = () => tf.tensor4d(normal(randomKey(1), 64), [4, 1, 4, 4]);

  test.each([
    ['v', ddim, 200, 0.02],
    ['flow', ddim, 200, 0.02],
    ['v', heun, 40, 0.02],
    ['flow', heun, 40, 0.02],
  ] as const)(
    'takes noise to a Gaussian by its exact denoiser: %s, %o',
    (kind, rule, steps, error) => {
      const z = noise();
      expectNoTensorsLeft();
      const made = rule(kind, exact(kind), z, steps);
      const expected = tidy(() => tf.add(tf.mul(z, deviation), centre));
      expect(difference(made, expected)).toBeLessThan(error);
      tf.dispose([made, expected]);
    },
  );

  test('has the likelihood of that Gaussian by its ODE', () => {
    const x = tf.tensor4d([0.1, 0.5, 0.9, 0.2], [2, 1, 1, 2]);
    const dynamics = (images: tf.Tensor4D, t: number) => {
      const { signal, deviation: sigma } = mixingAt('flow', t);
      const variance = signal ** 2 * deviation ** 2 + sigma ** 2;
      // The velocity of x(t) = m(t) + s(t)·z: m′ + s′/s·(x − m).
      const rate = (sigma - signal * deviation ** 2) / variance;
      const velocity = tf.add(
        tf.mul(tf.sub(images, signal * centre), rate),
        -centre,
      ) as tf.Tensor4D;
      return { velocity, divergence: tf.fill([2], 2 * rate) };
    };
    expectNoTensorsLeft();
    const found = odeLogProb(dynamics, x, 64);
    const values = x.dataSync();
    [0, 1].forEach((i) => {
      const expected = [0, 1].reduce((sum, j) => {
        const z = (values[2 * i + j]! - centre) / deviation;
        return sum - 0.5 * z ** 2 - 0.5 * Math.log(2 * Math.PI) - Math.log(deviation);
      }, 0);
      expect(found.dataSync()[i]).toBeCloseTo(expected, 3);
    });
    found.dispose();
  });

  test.each(['v', 'flow'] as const)(
    'that predicts 0 leaves all as it is: %s',
    async (prediction) => {
      // A fresh network gives 0, which of v and of a flow is no velocity.
      const model = freshModel(diffusion, { ...smallDiffusion, prediction }, 1);
      const x = greyLevels(smallDiffusion, 2);
      const { bits, error } = await odeBits(model, x, { seed: 1, label: 1, steps: 3, probes: 2 });
      const size = dimensions(smallDiffusion);
      const squares = tf.sum(tf.square(x), [1, 2, 3]).dataSync();
      bits.forEach((found, i) => {
        const nats = -0.5 * squares[i]! - 0.5 * size * Math.log(2 * Math.PI);
        expect(found).toBeCloseTo((Math.log(128) - nats / size) / Math.LN2, 4);
      });
      expect(error).toBeCloseTo(0, 5);
    },
  );

  test('estimates its likelihood without bias, and tells its error', async () => {
    const image = { channels: 1, height: 2, width: 2 };
    const model = lively(diffusion, { ...smallDiffusion, image, patchSize: 1 }, 0.4);
    const x = greyLevels(model.config, 1);
    const exactly = (y: tf.Tensor4D, t: number) => {
      const features = timeFeatures(t, smallDiffusion.channels);
      const range = mixingAt('v', t).deviationRate / mixingAt('v', t).signal;
      const velocity = (z: tf.Tensor4D): tf.Tensor4D => {
        const time = tf.tile(tf.tensor2d(features, [1, features.length]), [z.shape[0], 1]);
        const classes = tf.tile(tf.tensor2d([[0, 0, 1]]), [z.shape[0], 1]);
        return tf.mul(predicted(model, z, time, classes), range);
      };
      const trace = jacobian(velocity, y).reduce((sum, row, i) => sum + row[i]!, 0);
      return { velocity: velocity(y), divergence: tf.tensor1d([trace]) };
    };
    const nats = tidy(() => odeLogProb(exactly, x, 6).dataSync()[0]!);
    const expected = (Math.log(128) - nats / 4) / Math.LN2;
    const options = { seed: 1, label: 2, steps: 6 };
    const found = await odeBits(model, x, { ...options, probes: 40 });
    expect(found.error).toBeGreaterThan(0);
    expect(Math.abs(found.bits[0]! - expected)).toBeLessThan(4 * found.error);
    const few = await odeBits(model, x, { ...options, probes: 10 });
    expect(few.error).toBeGreaterThan(found.error);
  });
});
