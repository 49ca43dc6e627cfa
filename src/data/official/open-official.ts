import * as path from 'node:path';
import type { DataSource, Split } from '../source.js';
import { openAfhq } from './afhq.js';
import { openCifar10 } from './cifar10.js';
import { exists } from './image-collection.js';
import { openImagenet } from './imagenet.js';
import { openImagenet64 } from './imagenet64.js';
import { type OfficialName, type OfficialOptions, type Opening, officialError } from './sets.js';

const openers: Record<OfficialName, (opening: Opening) => Promise<DataSource>> = {
  imagenet: openImagenet,
  imagenet64: openImagenet64,
  afhq: openAfhq,
  cifar10: openCifar10,
};

/**
 * One split of a data set of the papers from the folder where the user has it.
 * @throws UserError with its official address where it is not there, or not as it is distributed
 */
export async function openOfficial(
  name: OfficialName,
  folder: string,
  split: Split,
  options: OfficialOptions,
): Promise<DataSource> {
  const root = path.resolve(folder);
  if (!(await exists(root))) throw officialError(name, `There is no folder ${root}`);
  return openers[name]({ root, split, options });
}
