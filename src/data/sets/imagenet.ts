import * as path from 'node:path';
import { UserError } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { archivesIn, tarIndex } from '../encoded/archive.js';
import { byCodeUnits, exists, imagesIn, imagesOfClasses, subFolders } from '../encoded/listing.js';
import type { DataSource } from '../source.js';
import {
  archiveCollection,
  folderCollection,
  type ImageCollection,
  type OfficialSet,
  type Opening,
  officialError,
  openCollection,
} from './official-set.js';

/** Validation images of each class, which makes the 50,000 that the official validation set has. */
const heldOut = 50;

const trainArchive = 'ILSVRC2012_img_train.tar';
const valArchive = 'ILSVRC2012_img_val.tar';
const labelFiles = ['LOC_val_solution.csv', 'val_labels.txt'];

/** Images with the names of their classes, sorted; a label is a place among them. */
interface Labelled {
  classes: string[];
  collection: ImageCollection;
}

/**
 * ImageNet (ILSVRC 2012, Russakovsky et al. 2015, arXiv:1409.0575) from a folder: `train` and `val` as
 * folders of classes, `val` also flat, or the official archives, which are not unpacked. The first time
 * an archive is opened its headers are read, all of them, and their places kept in the cache folder.
 *
 * Classes are the WordNet ids, sorted, as torchvision has them. The official validation images, which
 * papers report on, are the split `test`; `validation` is cut from the training images: the last 50 of
 * each class in the order of their names, or the last tenth of a class with fewer than 500.
 * `train+validation` is the official training set.
 *
 * One image of each class comes in turn, those of a class in the order of their names.
 *
 * Labels of a flat `val` or its archive come from a text with the name of an image and its WordNet id in
 * each line: `LOC_val_solution.csv` of Kaggle's download of ImageNet, or `val_labels.txt`.
 */
export const imagenet: OfficialSet = {
  name: 'imagenet',
  title: 'ImageNet (ILSVRC 2012)',
  address: 'https://image-net.org/download',
  layout:
    'train/nXXXXXXXX/*.JPEG and val/nXXXXXXXX/*.JPEG, or as downloaded: ILSVRC2012_img_train.tar, ' +
    'ILSVRC2012_img_val.tar and LOC_val_solution.csv ' +
    '(https://www.kaggle.com/c/imagenet-object-localization-challenge/data)',
  licence: 'non-commercial research and education (https://image-net.org/download)',
  open: openImagenet,
};

async function openImagenet(opening: Opening): Promise<DataSource> {
  const { root, split, options } = opening;
  if (!options.image) {
    throw new UserError(
      'The images of ImageNet have many sizes',
      'Say to which they are to be brought: the option image, or --size',
    );
  }
  const { classes, collection } = await (split === 'test' ? official(root) : training(root));
  return openCollection(imagenet, opening, collection, { image: options.image, classes, heldOut });
}

async function training(root: string): Promise<Labelled> {
  const names = await subFolders(path.join(root, 'train'));
  if (names.length > 0) {
    const found = await imagesOfClasses(root, 'train', names);
    return complete({ classes: names, collection: folderCollection(root, 'train', found) });
  }
  const archive = path.join(root, trainArchive);
  if (!(await exists(archive))) {
    throw officialError(imagenet, `${root} has neither folders in train nor ${trainArchive}`);
  }
  const classes = await archivesIn(archive);
  const index = await tarIndex(archive, true);
  const wnids = index.names.map((name) => name.slice(0, name.indexOf('/')));
  const labels = labelsOf(wnids, classes);
  return complete({ classes, collection: archiveCollection(archive, index, labels) });
}

/** Checks that no class is without images: its download may have stopped. */
function complete(labelled: Labelled): Labelled {
  const { classes, collection } = labelled;
  const seen = new Set(collection.labels);
  const empty = classes.find((_, label) => !seen.has(label));
  if (empty === undefined) return labelled;
  throw officialError(imagenet, `${collection.place} has no images of the class ${empty}`);
}

/** The official validation images. */
async function official(root: string): Promise<Labelled> {
  const trained = await trainedClasses(root);
  const folders = await subFolders(path.join(root, 'val'));
  if (folders.length > 0) {
    const classes = trained ?? folders;
    checkKnown(folders, classes, path.join(root, 'val'));
    const found = await imagesOfClasses(root, 'val', classes);
    return { classes, collection: folderCollection(root, 'val', found) };
  }
  const files = await imagesIn(path.join(root, 'val'), false);
  if (files.length > 0) {
    const { classes, labels } = await labelled(root, files, trained);
    const found = files.map((file, i) => ({
      file: path.join('val', file),
      label: labels[i]!,
    }));
    return { classes, collection: folderCollection(root, 'val', found) };
  }
  const archive = path.join(root, valArchive);
  if (!(await exists(archive))) {
    throw officialError(imagenet, `${root} has neither images in val nor ${valArchive}`);
  }
  const index = await tarIndex(archive, false);
  const { classes, labels } = await labelled(root, index.names, trained);
  return { classes, collection: archiveCollection(archive, index, labels) };
}

/** The classes of the training images, which those of the validation images must be among. */
async function trainedClasses(root: string): Promise<string[] | undefined> {
  const names = await subFolders(path.join(root, 'train'));
  if (names.length > 0) return names;
  const archive = path.join(root, trainArchive);
  return (await exists(archive)) ? archivesIn(archive) : undefined;
}

async function labelled(
  root: string,
  files: readonly string[],
  trained: string[] | undefined,
): Promise<{ classes: string[]; labels: Int32Array }> {
  const wnidOf = await validationWnids(root);
  const wnids = files.map((file) => {
    const wnid = wnidOf.get(path.parse(file).name);
    if (wnid !== undefined) return wnid;
    throw officialError(imagenet, `The validation image ${file} has no label`);
  });
  const classes = trained ?? [...new Set(wnids)].sort(byCodeUnits);
  checkKnown(wnids, classes, root);
  return { classes, labels: labelsOf(wnids, classes) };
}

/** The WordNet ids of the official validation images, by the names of their files without an ending. */
async function validationWnids(root: string): Promise<Map<string, string>> {
  const present = await Promise.all(labelFiles.map((name) => exists(path.join(root, name))));
  const name = labelFiles[present.indexOf(true)];
  if (name === undefined) {
    throw officialError(
      imagenet,
      `${root} has validation images and no labels of them: neither ${labelFiles.join(' nor ')} ` +
        '(the list of classes of the development kit, meta.mat, is not read)',
    );
  }
  const wnids = new Map<string, string>();
  const text = Buffer.from(await readBytes(path.join(root, name))).toString();
  for (const line of text.split('\n')) {
    const image = line.match(/ILSVRC2012_val_\d{8}/)?.[0];
    const wnid = line.match(/\bn\d{8}\b/)?.[0];
    if (image !== undefined && wnid !== undefined) wnids.set(image, wnid);
  }
  return wnids;
}

/** The places of names among the classes, which have all of them. */
function labelsOf(names: readonly string[], classes: readonly string[]): Int32Array {
  const places = new Map(classes.map((name, label) => [name, label]));
  return Int32Array.from(names, (name) => places.get(name)!);
}

function checkKnown(found: readonly string[], classes: readonly string[], where: string): void {
  const known = new Set(classes);
  const other = found.find((name) => !known.has(name));
  if (other === undefined) return;
  throw officialError(
    imagenet,
    `The validation images in ${where} have the class ${other}, which the training images lack`,
  );
}
