import { foldIn, randomKey, uniform } from '../backend/random.js';
import { tf, tidy } from '../backend/tf.js';
import { type DataSource, imageDataset, type Split } from '../data/index.js';
import type { FeatureNetwork } from '../evaluation/features/network.js';
import type { ModelConfig } from '../flow/model.js';
import { familyOf } from '../models/registry.js';
import type { Experiment } from '../training/experiment.js';

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
const side = 8;
const imagesOfSplit = 12;

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
    image: { ...config.image, height: side, width: side },
    classes: Math.min(config.classes, 3),
  } as ModelConfig;
  const { holdSteps: _, ...others } = settings;
  return {
    ...rest,
    config: familyOf(small.kind).check(small),
    settings: {
      ...others,
      ...{ batchSize: 4, steps: 2, warmupSteps: 1, precision: 'float32' },
      ...{ validateEvery: 2, validationImages: 4, saveEvery: 2 },
    },
  };
}

/** Images of random grey levels for {@link tinyExperiment}: a dozen a split. */
export function tinyImages(
  name: string,
  split: Split,
  { channels, classes }: { channels: number; classes: number },
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

/** Grey levels averaged over squares of 2×2 as features of {@link tinyImages}: it needs no weights. */
export function pixelNetwork(): FeatureNetwork {
  return {
    name: 'pixels, averaged over channels and squares of 2×2',
    width: (side / 2) ** 2,
    features: (images) =>
      tidy(() => {
        const rows = tf.expandDims(tf.mean(images, 1), 3) as tf.Tensor4D;
        return tf.reshape(tf.avgPool(rows, 2, 2, 'valid'), [images.shape[0], -1]) as tf.Tensor2D;
      }),
    dispose() {},
  };
}
