import * as fs from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import * as yauzl from 'yauzl';
import { UserError } from '../core/errors.js';
import { writeAll, writeAtomically } from '../core/files.js';
import { bytesAt, withFile } from './elements.js';
import { contentPosition, isStored, isWhole, zipEntries } from './zip.js';

/** A file is no archive of NumPy's arrays, or damaged, or lacks an array. */
export class InvalidNpz extends UserError {}

/** Where the numbers of an array lie, row by row. */
export interface NpyArray {
  file: string;
  /** Where the first number begins, in bytes. */
  position: number;
  /** NumPy's name of the element type, e.g. `|u1` for bytes, `<i8`. */
  type: string;
  shape: number[];
}

/**
 * An array of a `.npz` file, of whatever size; its numbers are not read. An array that is compressed,
 * as `numpy.savez_compressed` does, is written to `unpacked` first, a part at a time: nothing can be
 * read by its place before. A file of that length that stands there already is taken
 * as it is.
 *
 * @throws InvalidNpz, TruncatedFile, FileUnreadable, FileUnwritable
 */
export async function npzArray(file: string, name: string, unpacked: string): Promise<NpyArray> {
  const entry = await entryOf(file, name);
  if (isStored(entry)) {
    return withFile(file, async (handle) => {
      const begin = await contentPosition(handle, file, entry);
      await checkWhole(handle, file, entry, begin);
      return arrayAt(handle, { file, what: `${file}: ${name}`, begin }, entry.uncompressedSize);
    });
  }
  const present = await fs.stat(unpacked).catch(() => undefined);
  if (present?.size !== entry.uncompressedSize) await unpack(file, entry, unpacked);
  return withFile(unpacked, (handle) =>
    arrayAt(handle, { file: unpacked, what: `${file}: ${name}`, begin: 0 }, entry.uncompressedSize),
  );
}

/**
 * The whole numbers of an array, all of them.
 * @throws InvalidNpz where they are of another type, or beyond 53 bits
 */
export async function npyIntegers({ file, position, type, shape }: NpyArray): Promise<number[]> {
  const width = Number(type.slice(2));
  const kind = type[1];
  if (!/^[<|][iu][1248]$/.test(type)) {
    throw new InvalidNpz(`${file} has numbers of type ${type}`, 'Expected whole numbers');
  }
  const count = shape.reduce((product, size) => product * size, 1);
  const bytes = await withFile(file, (handle) => bytesAt(handle, file, position, count * width));
  const view = Buffer.from(bytes.buffer);
  const numberAt = (place: number): number => {
    if (width < 8)
      return kind === 'i' ? view.readIntLE(place, width) : view.readUIntLE(place, width);
    return Number(kind === 'i' ? view.readBigInt64LE(place) : view.readBigUInt64LE(place));
  };
  return Array.from({ length: count }, (_, i) => {
    const value = numberAt(width * i);
    if (Number.isSafeInteger(value)) return value;
    throw new InvalidNpz(
      `${file} has the number ${value} at place ${i}`,
      'Expected 53 bits at most',
    );
  });
}

async function entryOf(file: string, name: string): Promise<yauzl.Entry> {
  // First: what cannot be read is told by its own error.
  await withFile(file, async () => {});
  const entries = await zipEntries(file).catch((error: Error) => {
    throw new InvalidNpz(
      `${file} is no .npz file, or a damaged one (${error.message})`,
      'Fetch or copy it again',
    );
  });
  const found = entries.get(`${name}.npy`);
  if (found) return found;
  throw new InvalidNpz(
    `${file} has no array ${name}`,
    `It has ${[...entries.keys()].map((key) => key.replace(/\.npy$/, '')).join(', ') || 'none'}`,
  );
}

/** A stretch of a file that is an array with its header, and what to call it in an error. */
interface Stretch {
  file: string;
  what: string;
  begin: number;
}

/** The header of an array (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). */
async function arrayAt(
  handle: fs.FileHandle,
  { file, what, begin }: Stretch,
  size: number,
): Promise<NpyArray> {
  const start = Buffer.from(await bytesAt(handle, file, begin, Math.min(size, 12)));
  const [major = 0] = start.subarray(6);
  if (start.length < 12 || start.toString('latin1', 0, 6) !== '\x93NUMPY' || major > 3) {
    throw new InvalidNpz(`${what} does not begin as NumPy's arrays do`, 'Fetch the file again');
  }
  const [prefix, length] = major === 1 ? [10, start.readUInt16LE(8)] : [12, start.readUInt32LE(8)];
  if (prefix + length > size) {
    throw new InvalidNpz(`${what} has ${size} bytes and a header of ${length}`, 'Fetch it again');
  }
  const text = Buffer.from(await bytesAt(handle, file, begin + prefix, length)).toString('latin1');
  const type = text.match(/'descr':\s*'([^']{1,20})'/)?.[1];
  const isFortran = /'fortran_order':\s*True/.test(text);
  const shape = text.match(/'shape':\s*\(([\d,\s]{0,200})\)/)?.[1];
  if (type === undefined || shape === undefined || isFortran) {
    throw new InvalidNpz(
      `${what} has the header ${text.trim().slice(0, 300)}`,
      'Expected an array of numbers, row by row',
    );
  }
  const sizes = shape
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number);
  const bytes = sizes.reduce((product, each) => product * each, Number(type.slice(2)));
  if (prefix + length + bytes !== size) {
    throw new InvalidNpz(
      `${what} has ${size - prefix - length} bytes of numbers for the shape (${sizes.join(', ')}) of ${type}`,
      'Fetch the file again',
    );
  }
  return { file, position: begin + prefix + length, type, shape: sizes };
}

async function unpack(file: string, entry: yauzl.Entry, into: string): Promise<void> {
  await writeAtomically(into, async (handle) => {
    let sum = 0;
    for await (const part of unpackedParts(file, entry)) {
      sum = crc32(part, sum);
      await writeAll(handle, part);
    }
    if (sum !== entry.crc32) throw otherBytes(file, entry);
  });
}

/** Archives whose sums were compared in this process, by what tells that they became others. */
const compared = new Set<string>();

/** @throws InvalidNpz where a stored entry has other bytes than were written */
async function checkWhole(
  handle: fs.FileHandle,
  file: string,
  entry: yauzl.Entry,
  begin: number,
): Promise<void> {
  const { ino, size, mtimeMs } = await handle.stat();
  const key = [ino, size, mtimeMs, begin].join();
  if (compared.has(key)) return;
  if (!(await isWhole(handle, file, entry, begin))) throw otherBytes(file, entry);
  compared.add(key);
}

function otherBytes(file: string, { fileName }: yauzl.Entry): InvalidNpz {
  return new InvalidNpz(
    `${file} has other bytes of ${fileName} than were written`,
    'Fetch it again',
  );
}

const openZip = promisify<string, yauzl.Options, yauzl.ZipFile>(yauzl.open);

/** The bytes of an entry as they were before they were compressed, part by part. */
async function* unpackedParts(file: string, entry: yauzl.Entry): AsyncGenerator<Uint8Array> {
  const archive = await openZip(file, { lazyEntries: true, autoClose: false });
  try {
    const openStream = promisify<yauzl.Entry, Readable>(archive.openReadStream.bind(archive));
    for await (const part of await openStream(entry)) yield part;
  } catch (error) {
    throw new InvalidNpz(
      `${entry.fileName} in ${file} cannot be unpacked (${(error as Error).message})`,
      'It is damaged or cut short; fetch it again',
    );
  } finally {
    archive.close();
  }
}
