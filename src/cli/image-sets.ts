import { existsSync, statSync } from 'node:fs';
import * as path from 'node:path';
import { UserError } from '../backend/errors.js';
import { tf } from '../backend/tf.js';
import {
  type DataSource,
  datasetNames,
  loadDataset,
  openPictures,
  type Split,
} from '../data/index.js';
import { readImageTensor } from './image-files.js';

/** Images to compare: how many there are, and some of them. */
export interface ImageSet {
  name: string;
  length: number;
  /** The first `count`: a tensor that the caller frees, or a source and indices. */
  first(count: number): tf.Tensor4D | { data: DataSource; indices: number[] };
  dispose(): void;
}

/** What {@link openImageSet} takes, for help texts. */
export const imageSetForms =
  'NAME/SPLIT for a data set, a .safetensors file of `tarflow sample`, or a folder of pictures';

/**
 * Images by what a user calls them.
 * @throws UserError where there are none
 */
export async function openImageSet(text: string): Promise<ImageSet> {
  if (path.extname(text) === '.safetensors') {
    const images = await readImageTensor(text);
    const [length] = images.shape;
    return {
      name: text,
      length,
      first: (count) => tf.slice(images, [0, 0, 0, 0], [count, -1, -1, -1]),
      dispose: () => images.dispose(),
    };
  }
  const [dataset = '', split = 'test', ...more] = text.split('/');
  if (datasetNames.includes(dataset) && more.length === 0) {
    return ofSource(text, await loadDataset(dataset, split as Split));
  }
  if (existsSync(text) && statSync(text).isDirectory()) {
    return ofSource(text, await openPictures(text));
  }
  throw new UserError(
    `There are no images '${text}'`,
    `Expected ${imageSetForms}. Data sets: ${datasetNames.join(', ')}`,
  );
}

function ofSource(name: string, data: DataSource): ImageSet {
  return {
    name,
    length: data.length,
    first: (count) => ({ data, indices: Array.from({ length: count }, (_, i) => i) }),
    dispose() {},
  };
}
