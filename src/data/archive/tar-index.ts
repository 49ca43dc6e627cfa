import { createHash } from 'node:crypto';
import * as path from 'node:path';
import { cacheFolder } from '../../core/cache-folder.js';
import { UserError } from '../../core/errors.js';
import { openForReading, readAt } from '../../core/files.js';
import { readSafetensors, writeSafetensors } from '../../formats/safetensors.js';
import { type TarBytes, type TarEntry, tarEntries } from '../../formats/tar.js';
import { byCodeUnits, isImageName } from '../folder/listing.js';

/** The images of an archive, sorted by their names, and where their bytes lie in its file. */
export interface TarIndex {
  names: string[];
  positions: Float64Array;
  lengths: Float64Array;
}

/**
 * The index of a tar archive of images: all headers are read once, and what they say is kept in the
 * cache folder for as long as the file keeps its size and date.
 *
 * @param nested the archive is one of archives, as ImageNet's training set is: a class each, whose
 *   images are called `CLASS/NAME`
 * @throws InvalidTar, FileUnreadable
 */
export async function tarIndex(file: string, nested: boolean): Promise<TarIndex> {
  const kept = await keptPlace(file, nested);
  const found = await readKept(kept);
  if (found) return found;
  const entries = await withTar(file, async (tar) => {
    const all: TarEntry[] = [];
    for await (const entry of nested ? nestedEntries(tar) : tarEntries(tar)) {
      if (isImageName(entry.name) && !path.basename(entry.name).startsWith('.')) all.push(entry);
    }
    return all;
  });
  entries.sort((a, b) => byCodeUnits(a.name, b.name));
  const index = {
    names: entries.map(({ name }) => name),
    positions: Float64Array.from(entries, ({ position }) => position),
    lengths: Float64Array.from(entries, ({ length }) => length),
  };
  await keep(kept, index);
  return index;
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

async function withTar<T>(file: string, use: (tar: TarBytes) => Promise<T>): Promise<T> {
  const handle = await openForReading(file);
  try {
    const { size } = await handle.stat();
    const read = async (position: number, length: number): Promise<Uint8Array> => {
      const bytes = new Uint8Array(length);
      return bytes.subarray(0, await readAt(handle, bytes, position, file));
    };
    return await use({ name: file, begin: 0, end: size, read });
  } finally {
    await handle.close();
  }
}

/** Changes with what an index holds. */
const version = 1;

/** Where the index of this file, as it is now, is kept. */
async function keptPlace(file: string, nested: boolean): Promise<string> {
  const handle = await openForReading(file);
  const { size, mtimeMs } = await handle.stat().finally(() => handle.close());
  const key = JSON.stringify([version, path.resolve(file), size, mtimeMs, nested]);
  const name = createHash('sha256').update(key).digest('hex').slice(0, 16);
  return path.join(cacheFolder(), 'data', 'archives', `${name}.safetensors`);
}

async function readKept(kept: string): Promise<TarIndex | undefined> {
  try {
    const { names, positions, lengths } = (await readSafetensors(kept)).tensors;
    if (!names || !positions || !lengths) return undefined;
    const listed = Buffer.from(names.data as Uint8Array)
      .toString()
      .split('\n');
    return {
      names: listed,
      positions: positions.data as Float64Array,
      lengths: lengths.data as Float64Array,
    };
  } catch (error) {
    // Not there yet, or damaged: it is made anew.
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

async function keep(kept: string, { names, positions, lengths }: TarIndex): Promise<void> {
  // Nothing to gain, and no name could be told from none.
  if (names.length === 0) return;
  const text = new Uint8Array(Buffer.from(names.join('\n')));
  try {
    await writeSafetensors(kept, {
      names: { shape: [text.length], dtype: 'U8', data: text },
      positions: { shape: [positions.length], dtype: 'F64', data: positions },
      lengths: { shape: [lengths.length], dtype: 'F64', data: lengths },
    });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    process.emitWarning(`${error.message} The archive will be indexed again next time.`, {
      type: 'TarflowWarning',
    });
  }
}
