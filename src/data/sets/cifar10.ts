import * as path from 'node:path';
import { cacheFolder } from '../../core/cache-folder.js';
import { UserError } from '../../core/errors.js';
import { tarEntries, tarInMemory } from '../../formats/tar.js';
import { exists } from '../encoded/listing.js';
import { type ImageDataset, imageDataset } from '../memory.js';
import { labelsAt, type Split } from '../source.js';
import { splitIndices } from '../splits.js';
import { cachedBytes } from './cached-file.js';
import { type OfficialSet, type Opening, officialError } from './official-set.js';

const classes = 'airplane automobile bird cat deer dog frog horse ship truck'.split(' ');

/** Validation images of each class. */
const heldOut = 500;

const image = { channels: 3, height: 32, width: 32 };
const size = 3 * 32 * 32;
/** Images in a file; each has a byte for its class, then red, green and blue. */
const perFile = 10_000;

const archiveName = 'cifar-10-binary.tar.gz';
const folderName = 'cifar-10-batches-bin';

/**
 * CIFAR-10 (Krizhevsky 2009), binary version, from a folder with its `.bin` files, with
 * `cifar-10-batches-bin`, or with `cifar-10-binary.tar.gz`, into memory. Of the 50,000 training images
 * the last 500 of each class are the validation split; `train+validation` is the official training set.
 */
export const cifar10: OfficialSet = {
  name: 'cifar10',
  title: 'CIFAR-10, binary version',
  address: 'https://www.cs.toronto.edu/~kriz/cifar.html',
  layout: 'data_batch_1.bin … data_batch_5.bin and test_batch.bin, or cifar-10-binary.tar.gz',
  licence: 'not stated (https://www.cs.toronto.edu/~kriz/cifar.html)',
  open: openCifar10,
};

async function openCifar10({ root, split, options }: Opening): Promise<ImageDataset> {
  const names =
    split === 'test'
      ? ['test_batch.bin']
      : [1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`);
  const records = Buffer.concat(await readFiles(root, names));
  const count = records.length / (size + 1);
  const labels = Int32Array.from({ length: count }, (_, i) => records[i * (size + 1)]!);
  const chosen = splitIndices(split, labels, { classes: classes.length, heldOut });
  const pixels = new Uint8Array(new SharedArrayBuffer(chosen.length * size));
  chosen.forEach((index, at) => {
    const begin = index * (size + 1) + 1;
    pixels.set(records.subarray(begin, begin + size), at * size);
  });
  return imageDataset({
    name: 'cifar10',
    split,
    image,
    classes: [...classes],
    pixels,
    labels: labelsAt(labels, chosen),
    licence: options.licence ?? cifar10.licence,
  });
}

/**
 * CIFAR-10 from `data/cifar10` in the cache folder, where `npx tarflow data` puts it in the layout
 * of the official binary files: 45,000, 5,000 and 10,000 images (3, 32, 32), of ten classes.
 *
 * @throws UserError with the command that fetches it where it is missing or damaged
 */
export async function loadCifar10(split: Split): Promise<ImageDataset> {
  const root = path.join(cacheFolder(), 'data', 'cifar10');
  const remedy =
    'Run `npx tarflow data cifar10`, or name the folder of the official files ' +
    `(${cifar10.address}): cifar10:PATH`;
  if (!(await exists(root))) throw new UserError(`CIFAR-10 is not in ${root}`, remedy);
  try {
    return await openCifar10({ root, split, options: {} });
  } catch (error) {
    throw error instanceof UserError ? new UserError(error.problem, remedy) : error;
  }
}

async function readFiles(root: string, names: readonly string[]): Promise<Uint8Array[]> {
  for (const folder of [root, path.join(root, folderName)]) {
    if (!(await exists(path.join(folder, names[0]!)))) continue;
    const files: Uint8Array[] = [];
    // One after another, so that of several missing files the same one is always named: the first.
    for (const name of names) {
      const file = path.join(folder, name);
      const problem = `${folder} lacks ${name}`;
      if (!(await exists(file))) throw officialError(cifar10, problem);
      files.push(checked(await cachedBytes({ file, problem, remedy: 'Fetch it anew' }), file));
    }
    return files;
  }
  const archive = path.join(root, archiveName);
  if (!(await exists(archive))) {
    throw officialError(cifar10, `${root} has neither ${names[0]} nor ${archiveName}`);
  }
  const tar = await tarInMemory(archive);
  const found = new Map<string, Uint8Array>();
  for await (const { name, position, length } of tarEntries(tar)) {
    found.set(path.basename(name), await tar.read(position, length));
  }
  return names.map((name) => {
    const bytes = found.get(name);
    if (!bytes) throw officialError(cifar10, `${archive} lacks ${name}`);
    return checked(bytes, `${name} in ${archive}`);
  });
}

function checked(bytes: Uint8Array, name: string): Uint8Array {
  if (bytes.length !== perFile * (size + 1)) {
    throw officialError(
      cifar10,
      `${name} has ${bytes.length} bytes where ${perFile * (size + 1)} belong`,
    );
  }
  for (let i = 0; i < perFile; i++) {
    const label = bytes[i * (size + 1)]!;
    if (label < classes.length) continue;
    throw officialError(cifar10, `Image ${i} of ${name} has the class ${label}, of 0 to 9`);
  }
  return bytes;
}
