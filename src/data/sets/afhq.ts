import * as path from 'node:path';
import { readBytes } from '../../core/files.js';
import { measuredImage } from '../encoded/image-file.js';
import { exists, imagesOfClasses, subFolders } from '../encoded/listing.js';
import type { DataSource, ImageSize } from '../source.js';
import {
  folderCollection,
  type OfficialSet,
  type Opening,
  officialError,
  openCollection,
} from './official-set.js';

const classes = ['cat', 'dog', 'wild'];

/** Validation images of each class. */
const heldOut = 100;

/**
 * Animal Faces-HQ (Choi et al. 2020, arXiv:1912.01865), of either version, from a folder with `train`
 * and `test`; the first version calls that `val`. `validation` is cut from the training images: the
 * last 100 of each class in the order of their names, or the last tenth of a class with fewer than
 * 1,000. `train+validation` is the official training set. One image of each class comes in turn. Without a
 * size asked for, all images have that of the first one, 512×512.
 */
export const afhq: OfficialSet = {
  name: 'afhq',
  title: 'AFHQ',
  address: 'https://github.com/clovaai/stargan-v2',
  layout: 'train/{cat,dog,wild}/* and test/{cat,dog,wild}/*, which is val/ in the first version',
  licence: 'CC BY-NC 4.0 (NAVER Corp., https://github.com/clovaai/stargan-v2)',
  open: openAfhq,
};

async function openAfhq(opening: Opening): Promise<DataSource> {
  const { root, split, options } = opening;
  const folders = split === 'test' ? ['test', 'val'] : ['train'];
  const present = await Promise.all(folders.map((name) => exists(path.join(root, name))));
  const within = folders[present.indexOf(true)];
  if (within === undefined) {
    throw officialError(afhq, `${root} has no folder ${folders.join(' or ')}`);
  }
  const found = await imagesOfClasses(root, within, classes);
  for (const [label, name] of classes.entries()) {
    if (found.some((image) => image.label === label)) continue;
    throw officialError(afhq, `${path.join(root, within)} has no images of the class ${name}`);
  }
  const other = (await subFolders(path.join(root, within))).find((name) => !classes.includes(name));
  if (other !== undefined) {
    throw officialError(afhq, `${path.join(root, within)} has the folder ${other}`);
  }
  const collection = folderCollection(root, within, found);
  const image = options.image ?? (await colourSize(path.join(root, found[0]!.file)));
  return openCollection(afhq, opening, collection, { image, classes: [...classes], heldOut });
}

/** The size of an image in colour, as all are read. */
async function colourSize(name: string): Promise<ImageSize> {
  const { image } = await measuredImage({ name, bytes: await readBytes(name) });
  return { ...image, channels: 3 };
}
