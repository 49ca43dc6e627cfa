import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { readBytes } from '../../core/files.js';
import { keptPlace } from '../../formats/kept-file.js';
import { type NpyArray, npyIntegers, npzArray } from '../../formats/npz.js';
import { tarIndex } from '../encoded/archive.js';
import { exists, imagesIn, subFolders } from '../encoded/listing.js';
import { rowsSource } from '../rows.js';
import { shared } from '../shared-memory.js';
import { type DataSource, labelsAt, type RowsDescription } from '../source.js';
import { splitIndices } from '../splits.js';
import {
  archiveCollection,
  folderCollection,
  type OfficialSet,
  type Opening,
  officialError,
  openCollection,
} from './official-set.js';

const image = { channels: 3, height: 64, width: 64 };
const size = 3 * 64 * 64;
const numberOfClasses = 1000;

/** Validation images of each class; without classes, of all. */
const heldOut = 50;
const heldOutOfAll = 50_000;

const batchNames = Array.from({ length: 10 }, (_, i) => `train_data_batch_${i + 1}.npz`);
const valName = 'val_data.npz';

/**
 * ImageNet at 64×64 from a folder, in either official form.
 *
 * - The `.npz` files (Chrabaszcz et al. 2017, arXiv:1707.08819), in the folder or in folders in it.
 *   They are read by place; arrays that are compressed are unpacked once into the cache folder, 1.6 GB
 *   each. Classes are numbered as in the files, which is not the order of WordNet ids; they are called
 *   by those where the list `map_clsloc.txt` lies beside, else `1` … `1000`.
 * - PNG files without labels (van den Oord et al. 2016, arXiv:1601.06759), which densities are reported
 *   on: `train_64x64` and `valid_64x64`, each a folder or a `.tar`.
 *
 * The official validation images are the split `test`. `validation` is cut from the training images:
 * the last 50 of each class in the order of the files, or without classes the last 50,000 of all; of
 * small sets a tenth. `train+validation` is the official training set.
 */
export const imagenet64: OfficialSet = {
  name: 'imagenet64',
  title: 'downsampled ImageNet 64×64',
  address: 'https://image-net.org/download',
  layout:
    'train_data_batch_1.npz … train_data_batch_10.npz and val_data.npz, or, without labels, ' +
    'train_64x64 and valid_64x64 as folders of PNG files or .tar',
  licence: 'non-commercial research and education (https://image-net.org/download)',
  open: openImagenet64,
};

async function openImagenet64(opening: Opening): Promise<DataSource> {
  const { root, split } = opening;
  const names = split === 'test' ? [valName] : batchNames;
  const found = await Promise.all(names.map((name) => placed(root, name)));
  const files = found.filter((file) => file !== undefined);
  if (files.length === 0) return openPngFiles(opening);
  const missing = names.find((_, i) => found[i] === undefined);
  if (missing === undefined) return openArrays(opening, files);
  throw officialError(imagenet64, `${root} lacks ${missing}`);
}

async function openArrays(
  { root, split, options }: Opening,
  files: readonly string[],
): Promise<DataSource> {
  const parts: RowsDescription['parts'] = [];
  const numbers: number[] = [];
  // One after the other: unpacking keeps the disk busy.
  for (const file of files) {
    const data = await npzArray(file, 'data', await unpackedPlace(file, 'data'));
    const labels = await npzArray(file, 'labels', await unpackedPlace(file, 'labels'));
    checkShapes(file, data, labels);
    parts.push({ file: data.file, position: data.position, rows: data.shape[0]! });
    for (const number of await npyIntegers(labels)) numbers.push(number);
  }
  const wrong = numbers.find((number) => !(number >= 1 && number <= numberOfClasses));
  if (wrong !== undefined) {
    throw officialError(imagenet64, `A label in ${files[0]} and so on is ${wrong}, of 1 to 1000`);
  }
  const labels = Int32Array.from(numbers, (number) => number - 1);
  const rows = splitIndices(split, labels, { classes: numberOfClasses, heldOut });
  if (rows.length === 0) {
    throw officialError(imagenet64, `${root} has too few images for a split ${split}`);
  }
  return rowsSource({
    kind: 'rows',
    name: 'imagenet64',
    split,
    image,
    classes: await classNames(root),
    licence: options.licence ?? imagenet64.licence,
    labels: shared(labelsAt(labels, rows)),
    rows: shared(rows),
    parts,
  });
}

/** A file in the folder or in a folder in it. */
async function placed(root: string, name: string): Promise<string | undefined> {
  const folders = [root, ...(await subFolders(root)).map((inner) => path.join(root, inner))];
  for (const folder of folders) {
    const file = path.join(folder, name);
    if (await exists(file)) return file;
  }
  return undefined;
}

/** Where an array of this file, as it is now, lies once it is unpacked. */
async function unpackedPlace(file: string, name: string): Promise<string> {
  const { size: bytes, mtimeMs } = await fs.stat(file);
  const key = [path.resolve(file), bytes, mtimeMs, name];
  return keptPlace('data/imagenet64', key, { digits: 16, ending: 'npy' });
}

function checkShapes(file: string, data: NpyArray, labels: NpyArray): void {
  const [rows = 0, width] = data.shape;
  const fits = data.type === '|u1' && data.shape.length === 2 && width === size && rows > 0;
  if (!fits) {
    throw officialError(
      imagenet64,
      `The array data of ${file} is (${data.shape.join(', ')}) of ${data.type} where (n, ${size}) of |u1 belongs`,
    );
  }
  if (labels.shape.join() !== String(rows)) {
    throw officialError(
      imagenet64,
      `${file} has ${rows} images and labels (${labels.shape.join(', ')})`,
    );
  }
}

async function classNames(root: string): Promise<string[]> {
  const names = Array.from({ length: numberOfClasses }, (_, label) => String(label + 1));
  const list = await placed(root, 'map_clsloc.txt');
  if (list === undefined) return names;
  const text = Buffer.from(await readBytes(list)).toString();
  for (const line of text.split('\n')) {
    const [, wnid, number] = line.match(/^(n\d{8})\s+(\d+)\b/) ?? [];
    const label = Number(number) - 1;
    if (wnid !== undefined && names[label] !== undefined) names[label] = wnid;
  }
  return names;
}

async function openPngFiles(opening: Opening): Promise<DataSource> {
  const { root, split } = opening;
  const within = split === 'test' ? 'valid_64x64' : 'train_64x64';
  const facts = {
    image: opening.options.image ?? image,
    classes: [],
    heldOut: heldOutOfAll,
  };
  const files = await imagesIn(path.join(root, within), false);
  if (files.length > 0) {
    const found = files.map((file) => ({ file: path.join(within, file), label: -1 }));
    return openCollection(imagenet64, opening, folderCollection(root, within, found), facts);
  }
  const archive = path.join(root, `${within}.tar`);
  if (!(await exists(archive))) {
    const arrays = split === 'test' ? valName : batchNames[0];
    throw officialError(
      imagenet64,
      `${root} has neither ${arrays} nor images in ${within} or ${within}.tar`,
    );
  }
  const index = await tarIndex(archive, false);
  const labels = new Int32Array(index.names.length).fill(-1);
  return openCollection(imagenet64, opening, archiveCollection(archive, index, labels), facts);
}
