import * as path from 'node:path';
import { bytesAt, bytesUpTo, withFile } from '../../formats/elements.js';
import { keptOrMade, keptPlace } from '../../formats/kept-file.js';
import { withSafetensors, writeSafetensors } from '../../formats/safetensors.js';
import { type TarBytes, type TarEntry, tarEntries } from '../../formats/tar.js';
import { textAt } from '../shared-memory.js';
import type { ArchiveDescription, DataSource } from '../source.js';
import { encodedSource } from './encoded-source.js';
import { byCodeUnits, isImageName } from './listing.js';

/** A source of the images in a tar archive, which is not unpacked. */
export function archiveSource(description: ArchiveDescription): DataSource {
  const { file, names, positions, lengths } = description;
  return encodedSource(description, {
    name: (index) => `${textAt(names, index)} in ${file}`,
    bytes: (index) =>
      withFile(file, (handle) => bytesAt(handle, file, positions[index]!, lengths[index]!)),
  });
}

/** The images of an archive, sorted by their names, and where their bytes lie in its file. */
export interface TarIndex {
  names: string[];
  positions: Float64Array;
  lengths: Float64Array;
}

/** Changes with what an index holds. */
const version = 1;

/**
 * The index of a tar archive of images: all headers are read once, and what they say is kept in the
 * cache folder for as long as the file keeps its size and date.
 *
 * @param nested the archive is one of archives, as ImageNet's training set is: a class each, whose
 *   images are called `CLASS/NAME`
 * @throws InvalidTar, FileUnreadable
 */
export async function tarIndex(file: string, nested: boolean): Promise<TarIndex> {
  const { size, mtimeMs } = await withFile(file, (handle) => handle.stat());
  const key = [version, path.resolve(file), size, mtimeMs, nested];
  return keptOrMade(keptPlace('data/archives', key, { digits: 16 }), {
    read: readIndex,
    make: () => indexOf(file, nested),
    write: writeIndex,
    unkept: 'The archive will be indexed again next time.',
  });
}

async function indexOf(file: string, nested: boolean): Promise<TarIndex> {
  const entries = await withTar(file, async (tar) => {
    const all: TarEntry[] = [];
    for await (const entry of nested ? nestedEntries(tar) : tarEntries(tar)) {
      if (isImageName(entry.name) && !path.basename(entry.name).startsWith('.')) all.push(entry);
    }
    return all;
  });
  entries.sort((a, b) => byCodeUnits(a.name, b.name));
  return {
    names: entries.map(({ name }) => name),
    positions: Float64Array.from(entries, ({ position }) => position),
    lengths: Float64Array.from(entries, ({ length }) => length),
  };
}

/** The names of the archives in an archive, without their ending, sorted: few headers are read. */
export async function archivesIn(file: string): Promise<string[]> {
  return withTar(file, async (tar) => {
    const names: string[] = [];
    for await (const { name } of tarEntries(tar)) {
      if (path.extname(name) === '.tar') names.push(path.basename(name, '.tar'));
    }
    return names.sort(byCodeUnits);
  });
}

async function* nestedEntries(tar: TarBytes): AsyncGenerator<TarEntry> {
  for await (const { name, position, length } of tarEntries(tar)) {
    if (path.extname(name) !== '.tar') continue;
    const inner = { ...tar, name: `${tar.name}: ${name}`, begin: position, end: position + length };
    const folder = path.basename(name, '.tar');
    for await (const entry of tarEntries(inner)) {
      yield { ...entry, name: `${folder}/${entry.name}` };
    }
  }
}

function withTar<T>(file: string, use: (tar: TarBytes) => Promise<T>): Promise<T> {
  return withFile(file, async (handle) => {
    const { size } = await handle.stat();
    const read = (position: number, length: number) => bytesUpTo(handle, file, position, length);
    return use({ name: file, begin: 0, end: size, read });
  });
}

function readIndex(kept: string): Promise<TarIndex> {
  return withSafetensors(kept, async (file) => {
    const names = Buffer.from(Uint8Array.from((await file.read('names')).data));
    return {
      names: names.toString().split('\n'),
      positions: Float64Array.from((await file.read('positions')).data),
      lengths: Float64Array.from((await file.read('lengths')).data),
    };
  });
}

async function writeIndex(file: string, { names, positions, lengths }: TarIndex): Promise<void> {
  // Nothing to gain, and no name could be told from none.
  if (names.length === 0) return;
  const text = new Uint8Array(Buffer.from(names.join('\n')));
  await writeSafetensors(file, {
    names: { shape: [text.length], dtype: 'U8', data: text },
    positions: { shape: [positions.length], dtype: 'F64', data: positions },
    lengths: { shape: [lengths.length], dtype: 'F64', data: lengths },
  });
}
