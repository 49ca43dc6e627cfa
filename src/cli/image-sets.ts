import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { didYouMean, UserError } from '../core/errors.js';
import { nearestPath } from '../core/files.js';
import { tf, tidy } from '../core/tf.js';
import {
  type DataSource,
  datasetForms,
  datasetNames,
  type ImageSize,
  openDataset,
  openPictures,
} from '../data/index.js';
import { splits } from '../data/source.js';
import type { FeatureRows, FeatureStatistics } from '../evaluation/feature-statistics.js';
import type { FeaturesOptions, ImagesToSee } from '../evaluation/image-features.js';
import { featuresOf, keptStatistics } from '../evaluation/image-features.js';
import { withTensorFile } from '../formats/tensor-file.js';
import { readDescription } from '../models/load-checkpoint.js';
import type { FeatureNetwork } from '../pretrained/feature-network.js';
import { checkpointName } from '../training/checkpoint.js';
import { withProgress } from './command.js';
import { dataName } from './data-options.js';
import { isFolder, readImageTensor, readLatents, tensorName } from './image-files.js';
import { featuresOfPart, partsIn } from './sample-parts.js';

/** Images to compare: how many there are, and some of them. */
export interface ImageSet {
  name: string;
  length: number;
  image: ImageSize;
  /** The first `count`: a tensor that the caller frees, or a source and indices. */
  first(count: number): ImagesToSee | Promise<ImagesToSee>;
  /** Files of `tarflow sample --part`, whose features are kept. */
  parts?: readonly string[];
  dispose(): void;
}

/** What {@link openImageSet} takes, for help texts. */
export const imageSetForms =
  `NAME/SPLIT for a data set, also SET:PATH/SPLIT (SPLIT: ${splits.join(', ')}), a .safetensors ` +
  'file of `tarflow sample`, a folder of pictures or of parts (--part), or that of a run for what it was trained on (RUN/SPLIT)';

/** To which size images in files are brought. */
export interface ImageSetSizes {
  /** Of pictures and of data sets; without it pictures have that of the first one. */
  asked?: ImageSize | undefined;
  /** Of data sets in files where none is asked for. */
  usual?: ImageSize | undefined;
}

/**
 * Images by what a user calls them.
 * @throws UserError where there are none, and for a data set without its split
 */
export async function openImageSet(text: string, sizes: ImageSetSizes = {}): Promise<ImageSet> {
  const run = await ofRun(text);
  if (run) return run;
  if (path.extname(text) === '.safetensors') return ofTensor(text, await readImageTensor(text));
  const [, kind] = /^(\w+):./s.exec(text) ?? [];
  const [first = '', ...more] = text.split('/');
  const isNamed = datasetNames.includes(first) && more.length <= 1;
  if (isNamed || datasetForms.includes(`${kind}:PATH`)) {
    const at = text.lastIndexOf('/');
    const split = splits.find((one) => one === text.slice(at + 1));
    // Which images are compared is said: none are taken to be meant, least of all test images.
    if (at < 0 || split === undefined) {
      const set = isNamed ? first : text.replace(/\/$/, '');
      const expected = splits.map((one) => `${set}/${one}`).join(', ');
      const problem = isNamed && more[0] ? `has no split '${more[0]}'` : 'came without a split';
      throw new UserError(`${text} ${problem}`, `Expected ${expected}`);
    }
    const image = sizes.asked ?? sizes.usual;
    return ofSource(text, await openDataset(text.slice(0, at), split, { image }));
  }
  const parts = isFolder(text) ? await partsIn(text) : [];
  if (parts.length > 0) return ofParts(text, parts);
  if (isFolder(text)) return ofSource(text, await openPictures(text, { image: sizes.asked }));
  const names = [...datasetNames, ...datasetForms];
  throw new UserError(
    `There are no images '${text}'`,
    `${didYouMean(first, names) || (await nearestPath(text))}Expected ${imageSetForms}. Data sets: ` +
      names.join(', '),
  );
}

/** What a run was trained on, or another split of it: RUN, RUN/SPLIT or RUN/checkpoint.safetensors. */
async function ofRun(text: string): Promise<ImageSet | undefined> {
  const { dir, base } = path.parse(text);
  const asked = splits.find((split) => split === base);
  const place = asked === undefined ? text : dir;
  const file = isFolder(place) ? path.join(place, checkpointName) : place;
  if (path.basename(file) !== checkpointName || !existsSync(file)) return undefined;
  const { config, details } = await withTensorFile(file, async (open) => readDescription(open));
  const split = asked ?? 'train';
  const data = await openDataset(dataName(file, { details }, undefined), split, {
    image: config.image,
  });
  return ofSource(`${data.name}/${split}`, data);
}

function ofTensor(name: string, images: tf.Tensor4D): ImageSet {
  const [length, channels, height, width] = images.shape;
  return {
    name,
    length,
    image: { channels, height, width },
    first: (count) => tf.slice(images, 0, count),
    dispose: () => images.dispose(),
  };
}

/** Samples in several files, which are read when they are needed. */
async function ofParts(name: string, parts: readonly string[]): Promise<ImageSet> {
  const shapes = await Promise.all(
    parts.map((part) => withTensorFile(part, async ({ tensors }) => tensors[tensorName]?.shape)),
  );
  const [, channels = 0, height = 0, width = 0] = shapes[0] ?? [];
  const length = shapes.reduce((sum, shape) => sum + (shape?.[0] ?? 0), 0);
  const first = async (count: number) => {
    const { images } = await readLatents(parts);
    return tidy(() => {
      const some = tf.slice(images, 0, count);
      images.dispose();
      return some;
    });
  };
  return { name, length, image: { channels, height, width }, first, parts, dispose() {} };
}

function ofSource(name: string, data: DataSource): ImageSet {
  return {
    name,
    length: data.length,
    image: data.image,
    first: (count) => ({ data, indices: Array.from({ length: count }, (_, i) => i) }),
    dispose() {},
  };
}

/** What a network sees in the first images of a set, with a progress display. */
export function seen<R>(
  set: ImageSet,
  count: number,
  look: (images: ImagesToSee, options: FeaturesOptions) => Promise<R>,
): Promise<R> {
  return withProgress(`Features of ${set.name}`, count, async (onProgress) => {
    const images = await set.first(count);
    try {
      return await look(images, { onProgress });
    } finally {
      if (images instanceof tf.Tensor) images.dispose();
    }
  });
}

/** The features of the first images of a set, with a progress display; those of parts are kept. */
export async function featuresOfSet(
  network: FeatureNetwork,
  set: ImageSet,
  count: number,
): Promise<FeatureRows> {
  const { parts } = set;
  if (!parts) return seen(set, count, (images, options) => featuresOf(network, images, options));
  const data = new Float32Array(set.length * network.width);
  let at = 0;
  for (const file of parts) {
    const rows = await featuresOfPart(network, file);
    data.set(rows.data, at);
    at += rows.data.length;
  }
  return { data: data.subarray(0, count * network.width), shape: [count, network.width] };
}

/** {@link keptStatistics} of the first images of a set, with a progress display. */
export function keptStatisticsOf(
  network: FeatureNetwork,
  set: ImageSet,
  count = set.length,
): Promise<FeatureStatistics> {
  return seen(set, count, (images, options) =>
    keptStatistics(network, images, { ...options, name: set.name }),
  );
}
