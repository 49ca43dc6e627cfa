import * as path from 'node:path';
import { cacheFolder } from '../../backend/cache-folder.js';
import { UserError } from '../../backend/errors.js';
import { openCifar10 } from '../official/cifar10.js';
import { exists } from '../official/image-collection.js';
import { officialSets } from '../official/sets.js';
import type { Split } from '../source.js';
import type { ImageDataset } from './memory.js';

/**
 * CIFAR-10 from the cache folder: what {@link openCifar10} gives of the official files.
 *
 * @throws UserError when it is not there
 */
export async function loadCifar10(split: Split): Promise<ImageDataset> {
  const root = path.join(cacheFolder(), 'data', 'cifar10');
  if (await exists(root)) return openCifar10({ root, split, options: {} });
  throw new UserError(
    `CIFAR-10 is not in ${root}`,
    'Run `node data-scripts/data.mjs cifar10`, or name the folder of the official files ' +
      `(${officialSets.cifar10.address}): cifar10:PATH`,
  );
}
