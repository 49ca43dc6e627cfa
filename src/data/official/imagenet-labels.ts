import * as path from 'node:path';
import { readBytes } from '../../core/files.js';
import { decodeMat, type MatValue } from '../../formats/mat.js';
import { type TarEntry, tarEntries, tarInMemory } from '../../formats/tar.js';
import { exists } from './image-collection.js';
import { officialError } from './sets.js';

/** The WordNet id of a validation image by its file's name, where it is told. */
export type ImageWnid = (file: string) => string | undefined;

const devkit = 'ILSVRC2012_devkit_t12';
const truthName = `${devkit}/data/ILSVRC2012_validation_ground_truth.txt`;
const metaName = `${devkit}/data/meta.mat`;
const textFiles = ['LOC_val_solution.csv', 'val_labels.txt'];

/**
 * What the official validation images show: by the development kit, or by a text with the names of an
 * image and its class in each line.
 * @throws UserError where there is neither, or it is damaged
 */
export async function validationWnids(root: string): Promise<ImageWnid> {
  for (const name of textFiles) {
    const file = path.join(root, name);
    if (await exists(file)) return fromLines(Buffer.from(await readBytes(file)).toString());
  }
  const folder = path.join(root, devkit);
  if (await exists(folder)) {
    const [truth, meta] = await Promise.all(
      [truthName, metaName].map((name) => readBytes(path.join(root, name))),
    );
    return fromDevkit(truth as Uint8Array, meta as Uint8Array, folder);
  }
  const archive = `${folder}.tar.gz`;
  if (!(await exists(archive))) {
    throw officialError(
      'imagenet',
      `${root} has validation images and no labels of them: neither ${devkit}.tar.gz nor ${textFiles.join(' nor ')}`,
    );
  }
  const tar = await tarInMemory(archive);
  const found = new Map<string, TarEntry>();
  for await (const entry of tarEntries(tar)) found.set(entry.name.replace(/^\.\//, ''), entry);
  const content = async (name: string): Promise<Uint8Array> => {
    const entry = found.get(name);
    if (!entry) throw officialError('imagenet', `${archive} lacks ${name}`);
    return tar.read(entry.position, entry.length);
  };
  return fromDevkit(await content(truthName), await content(metaName), archive);
}

function fromLines(text: string): ImageWnid {
  const wnids = new Map<string, string>();
  for (const line of text.split('\n')) {
    const image = line.match(/ILSVRC2012_val_\d{8}/)?.[0];
    const wnid = line.match(/\bn\d{8}\b/)?.[0];
    if (image !== undefined && wnid !== undefined) wnids.set(image, wnid);
  }
  return (file) => wnids.get(path.parse(file).name);
}

/**
 * The kit's ground truth has a number for each image in the order of their names, and its list of
 * synsets says which WordNet id a number stands for.
 */
function fromDevkit(truth: Uint8Array, meta: Uint8Array, source: string): ImageWnid {
  const { synsets } = decodeMat(meta, `${source}: ${metaName}`);
  const wnids = new Map<number, string>();
  for (const synset of Array.isArray(synsets) ? synsets : []) {
    const { ILSVRC2012_ID: id, WNID: wnid } = synset as Record<string, MatValue>;
    const [number] = Array.isArray(id) ? id : [];
    if (typeof number === 'number' && typeof wnid === 'string') wnids.set(number, wnid);
  }
  if (wnids.size === 0) {
    throw officialError('imagenet', `${source}: ${metaName} has no list of synsets`);
  }
  const numbers = Buffer.from(truth).toString().trim().split(/\s+/).map(Number);
  return (file) => {
    const place = file.match(/^ILSVRC2012_val_(\d{8})\./)?.[1];
    return place === undefined ? undefined : wnids.get(numbers[Number(place) - 1] as number);
  };
}
