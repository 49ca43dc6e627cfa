import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { writeCaptionStates } from '../../../src/conditions/text/captioned-latents.js';
import { foldIn, randomKey, tf, tidy, uniform } from '../../../src/core/index.js';
import {
  type DataSource,
  imageDataset,
  openLatents,
  type Split,
  writeLatents,
} from '../../../src/data/index.js';
import { weightsDigest } from '../../../src/evaluation/test-readings.js';
import { disposeModel, type ModelConfig } from '../../../src/flow/index.js';
import { createModel, familyOf, type VaeConfig } from '../../../src/models/index.js';
import type { CaptionEncoder } from '../../../src/pretrained/caption-encoder.js';
import type { FeatureNetwork } from '../../../src/pretrained/feature-network.js';
import { encodeDataset } from '../../../src/sampling/encode-dataset.js';
import type { Experiment } from '../../../src/training/experiment.js';
import type { TableRequest } from '../../../workbook/cli/reproduce-settings.js';
import { findExperiment } from '../../../workbook/experiments/index.js';
import type { LatentDecoder, ReproduceOptions } from '../../../workbook/reproduction/options.js';
import {
  modelsLatents,
  type Recipe,
  readsNoisyLatents,
} from '../../../workbook/reproduction/recipe.js';

/**
 * What each family's configuration becomes, where it has such a field; lists keep their length. Heads
 * are as narrow as rotary positions of a grid and of a caption allow.
 */
const tinyFields: Readonly<Record<string, number>> = {
  patchSize: 2,
  channels: 20,
  headWidth: 20,
  layersPerBlock: 1,
  stepsPerLevel: 1,
  hiddenChannels: 8,
  hiddenUnits: 16,
  hiddenLayers: 1,
};
const tinySide = 8;
const imagesOfSplit = 12;
/** Of images that a tiny autoencoder brings to latents of {@link tinySide}. */
const decodedSide = 16;
/** States of captions that tiny models read. */
const tinyText = { entries: 3, width: 8 };

/**
 * How the whole path of a row is run on random images, with tiny models: in a folder of its own, so
 * that no figure is taken for one that means something.
 */
export function tinySettings(settings: ReproduceOptions, request: TableRequest): ReproduceOptions {
  const out = path.join(settings.out, 'tiny');
  return {
    ...settings,
    out,
    samples: request.samples ?? 6,
    network: request.network ?? 'pixels',
    batch: 2,
    // Graphs take longer to record than two steps.
    mode: 'eager',
    change: tinyExperiment,
    open: (recipe, split) => tinyData(recipe, split, path.join(out, 'latents')),
    openDecoder: async (recipe) => tinyDecoder(recipe),
    openNetwork: request.network === undefined ? async () => pixelNetwork() : settings.openNetwork,
  };
}

/**
 * An experiment of the same kind that takes a second: images of 8×8 pixels, narrow layers, as many
 * blocks as before (published strategies name them all), at most 3 classes, two steps. It says nothing
 * but that the whole path of its row runs.
 */
export function tinyExperiment({ config, settings, ...rest }: Experiment): Experiment {
  const fields = Object.entries(config)
    .filter(([name]) => name in tinyFields)
    .map(([name, value]) => {
      const tiny = tinyFields[name];
      return [name, Array.isArray(value) ? value.map(() => tiny) : tiny];
    });
  const small = {
    ...config,
    ...Object.fromEntries(fields),
    image: { ...config.image, height: tinySide, width: tinySide },
    classes: Math.min(config.classes, 3),
    ...('text' in config && config.text !== undefined && { text: tinyText }),
  } as ModelConfig;
  const { holdSteps: _, ...others } = settings;
  return {
    ...rest,
    config: familyOf(small.kind).check(small),
    settings: {
      ...others,
      ...{ batchSize: 4, steps: 2, warmupSteps: 1, precision: 'float32' },
      ...{ validateEvery: 1, validationImages: 4, saveEvery: 2 },
    },
  };
}

/** Random data for {@link tinyExperiment}, a dozen samples a split: images, or the latents of some. */
export function tinyData(recipe: Recipe, split: Split, folder: string): Promise<DataSource> {
  const { config } = recipe.experiment(1);
  if (modelsLatents(recipe)) return tinyLatents(recipe, split, folder);
  const { channels } = recipe.image;
  return Promise.resolve(tinyImages(recipe.dataset, split, { ...config, channels }));
}

/** Images of random grey levels. */
export function tinyImages(
  name: string,
  split: Split,
  { channels, classes, side = tinySide }: { channels: number; classes: number; side?: number },
): DataSource {
  const size = imagesOfSplit * channels * side * side;
  const levels = uniform(foldIn(randomKey(0), split), size);
  const count = Math.min(classes, 3);
  return imageDataset({
    ...{ name, split, image: { channels, height: side, width: side } },
    pixels: Uint8Array.from(levels, (level) => Math.floor(256 * level)),
    labels: Int32Array.from({ length: imagesOfSplit }, (_, i) => (count > 0 ? i % count : -1)),
    classes: Array.from({ length: count }, (_, i) => `class ${i}`),
    licence: 'random numbers',
  });
}

/** An autoencoder of random weights whose latents are those of {@link tinyData}. */
export function tinyDecoder(recipe: Recipe): LatentDecoder {
  const name = readsNoisyLatents(recipe) ? 'emoji-vae-noisy' : 'emoji-vae';
  const config: VaeConfig = {
    ...(findExperiment(name).config as VaeConfig),
    image: { channels: 3, height: decodedSide, width: decodedSide },
    ...{ channels: [4, 4], groups: 2, midAttention: false },
    latentChannels: recipe.image.channels,
  };
  const autoencoder = createModel(config as ModelConfig, 1);
  return { autoencoder, scale: 1, digest: weightsDigest(autoencoder) };
}

/** A file of latents as `tarflow encode` writes it, with the states of captions for a model of them. */
async function tinyLatents(recipe: Recipe, split: Split, folder: string): Promise<DataSource> {
  const { config } = recipe.experiment(1);
  const images = tinyImages('random', split, {
    ...{ channels: 3, classes: config.classes, side: decodedSide },
  });
  const { autoencoder, scale } = tinyDecoder(recipe);
  const set = await encodeDataset(autoencoder, images, { scale, mode: 'eager' }).finally(() =>
    disposeModel(autoencoder),
  );
  // Rows of several models may have latents of one name.
  const file = path.join(folder, familyOf(config.kind).title(config), `${split}.safetensors`);
  await fs.mkdir(path.dirname(file), { recursive: true });
  if (!('text' in config && config.text !== undefined)) {
    await writeLatents(file, set);
    return openLatents(file, split);
  }
  const plain = path.join(path.dirname(file), `${split}-plain.safetensors`);
  await writeLatents(plain, set);
  const captions = Array.from({ length: imagesOfSplit }, (_, i) => `${split} ${i}`);
  const { entries } = tinyText;
  await writeCaptionStates({ from: plain, to: file, captions, encoder: randomEncoder, entries });
  return openLatents(file, split);
}

/** States of captions that are random, and the same for the same caption. */
const randomEncoder: CaptionEncoder = {
  ...{ name: 'random', weights: 'none', ...tinyText },
  async encode(captions, { entries = tinyText.entries } = {}) {
    const { width } = tinyText;
    const states = captions.map((caption) =>
      tf.tensor2d(uniform(foldIn(randomKey(0), caption), entries * width), [entries, width]),
    );
    const all = tf.stack(states) as tf.Tensor3D;
    tf.dispose(states);
    return all;
  },
  dispose() {},
};

/** Grey levels averaged over 16 squares as features of {@link tinyData}: it needs no weights. */
export function pixelNetwork(): FeatureNetwork {
  return {
    name: 'pixels, averaged over channels and 16 squares',
    width: 16,
    features: (images) =>
      tidy(() => {
        const rows = tf.expandDims(tf.mean(images, 1), 3) as tf.Tensor4D;
        const square = images.shape[2] / 4;
        const pooled = tf.avgPool(rows, square, square, 'valid');
        return tf.reshape(pooled, [images.shape[0], -1]) as tf.Tensor2D;
      }),
    dispose() {},
  };
}
