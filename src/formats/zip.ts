import * as fs from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import * as yauzl from 'yauzl';
import { readAt } from '../core/files.js';
import { bytesAt } from './elements.js';

/** A file for yauzl, which reads from whatever place a damaged directory names. */
class WithinFile extends yauzl.RandomAccessReader {
  constructor(
    private readonly file: number,
    private readonly size: number,
  ) {
    super();
  }

  override read(
    ...[buffer, offset, length, position, callback]: Parameters<yauzl.RandomAccessReader['read']>
  ): void {
    if (position >= 0 && position + length <= this.size) {
      fs.read(this.file, buffer, offset, length, position, callback);
      return;
    }
    // Later, as all answers: listeners are there by then.
    const error = new Error(`it names the place ${position}, and has ${this.size} bytes`);
    process.nextTick(() => callback(error));
  }

  override close(callback: (error: Error | null) => void): void {
    fs.close(this.file, (error) => callback(error ?? null));
  }
}

/**
 * The entries of a zip archive by name, from its directory.
 * @throws Error that says what is wrong with the archive
 */
export function zipEntries(path: string): Promise<Map<string, yauzl.Entry>> {
  return new Promise((resolve, reject) => {
    const file = fs.openSync(path, 'r');
    const { size } = fs.fstatSync(file);
    const options = { lazyEntries: false, autoClose: true };
    yauzl.fromRandomAccessReader(new WithinFile(file, size), size, options, (error, archive) => {
      if (error) return fs.close(file, () => reject(error));
      const entries = new Map<string, yauzl.Entry>();
      archive.on('entry', (entry: yauzl.Entry) => entries.set(entry.fileName, entry));
      archive.on('error', reject);
      archive.on('end', () => resolve(entries));
    });
  });
}

/** Whether an entry's bytes lie in the archive as they are. */
export function isStored({ compressionMethod }: yauzl.Entry): boolean {
  return compressionMethod === 0;
}

/** Whether the bytes of an entry that is stored are those whose sum the archive has; PyTorch can be told to make none. */
export async function isWhole(
  handle: FileHandle,
  path: string,
  entry: yauzl.Entry,
  position: number,
): Promise<boolean> {
  if (entry.crc32 === 0) return true;
  const part = new Uint8Array(Math.min(2 ** 22, entry.uncompressedSize));
  let sum = 0;
  for (let at = 0; at < entry.uncompressedSize; at += part.length) {
    const some = part.subarray(0, Math.min(part.length, entry.uncompressedSize - at));
    if ((await readAt(handle, some, position + at, path)) < some.length) return false;
    sum = crc32(some, sum);
  }
  return sum === entry.crc32;
}

/** Length of the fixed part of a local header. */
const localHeader = 30;

/**
 * Where the bytes of an entry begin in the archive.
 * @throws TruncatedFile, FileUnreadable
 */
export async function contentPosition(
  handle: FileHandle,
  path: string,
  { relativeOffsetOfLocalHeader: begin }: yauzl.Entry,
): Promise<number> {
  const header = await bytesAt(handle, path, begin, localHeader);
  const word = (at: number) => header[at]! + 256 * header[at + 1]!;
  return begin + localHeader + word(26) + word(28);
}
