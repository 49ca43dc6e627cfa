import { foldIn, normal, type RandomKey, randomKey, uniform } from '../backend/random.js';
import { mixtureRows } from '../conditions/labels.js';
import { epochOrder, type ImageDataset, labelBatch, pixelBatch } from '../data/dataset.js';
import type { RawBatch } from '../data/source.js';
import type { FeedSettings, Feeds, ModelConfig, Objective } from '../flow/model.js';
import { flipAtRandom } from './flip.js';

export function noisyImageFeeds(
  config: Pick<ModelConfig, 'classes'>,
  raw: RawBatch,
  keys: readonly RandomKey[],
  settings: FeedSettings,
): Feeds {
  const { image, labels, count } = raw;
  const size = image.channels * image.height * image.width;
  const images = new Float32Array(count * size);
  keys.forEach((key, i) => {
    const pixels = raw.values.slice(i * size, (i + 1) * size) as Uint8Array;
    if (settings.flip) flipAtRandom(pixels, image, foldIn(key, 'flip'));
    const { noise } = settings;
    const draws = noise.kind === 'uniform' ? uniform(key, size) : normal(key, size);
    const sigma = noise.kind === 'gaussian' ? noise.sigma : 0;
    pixels.forEach((pixel, k) => {
      images[i * size + k] =
        noise.kind === 'uniform'
          ? (pixel + (draws[k] as number)) / 128 - 1
          : pixel / 127.5 - 1 + sigma * (draws[k] as number);
    });
  });
  if (config.classes === 0) return { images };
  const kept = labels.map((label, i) =>
    (uniform(foldIn(keys[i] as RandomKey, 'drop label'), 1)[0] as number) < settings.dropLabel
      ? -1
      : label,
  );
  return { images, classes: mixtureRows(kept, count, config.classes) };
}

export interface BatchPlan {
  config: ModelConfig;
  objectives: readonly Pick<Objective, 'name' | 'feeds'>[];
  settings: FeedSettings & { batchSize: number; seed: number };
  data: ImageDataset;
}
export type Batch = Record<string, Feeds>;
export interface Share {
  rank: number;
  size: number;
}

export function batchSource(
  plan: BatchPlan,
  first: number,
  _end: number,
  { rank, size }: Share = { rank: 0, size: 1 },
) {
  const { data, settings } = plan;
  const key = randomKey(settings.seed);
  const stepsPerEpoch = Math.floor(data.length / settings.batchSize);
  const own = settings.batchSize / size;
  let step = first;
  return {
    async next(): Promise<Batch> {
      const epoch = Math.floor(step / stepsPerEpoch);
      const start = (step++ % stepsPerEpoch) * settings.batchSize + rank * own;
      const indices = epochOrder(data, key, epoch).subarray(start, start + own);
      return feedsOf(plan, indices, foldIn(foldIn(key, 'sample'), epoch));
    },
    async close() {},
  };
}

export async function heldOutBatch(plan: BatchPlan, indices: ArrayLike<number>): Promise<Batch> {
  const settings = { ...plan.settings, flip: false, dropLabel: 0 };
  const key = foldIn(randomKey(settings.seed), 'validation');
  return feedsOf({ ...plan, settings }, Int32Array.from(indices), key);
}

function feedsOf(plan: BatchPlan, indices: Int32Array, key: RandomKey): Batch {
  const { config, data, settings } = plan;
  const raw: RawBatch = {
    count: indices.length,
    image: data.image,
    values: pixelBatch(data, indices),
    labels: labelBatch(data, indices),
  };
  const keys = Array.from(indices, (index) => foldIn(key, index));
  return Object.fromEntries(
    plan.objectives.map((o) => [o.name, o.feeds(config, raw, keys, settings)]),
  );
}
