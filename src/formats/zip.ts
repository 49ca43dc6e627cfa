import type { FileHandle } from 'node:fs/promises';
import * as yauzl from 'yauzl';
import { bytesAt } from './elements.js';

/**
 * The entries of a zip archive by name, from its directory.
 * @throws Error that says what is wrong with the archive
 */
export function zipEntries(path: string): Promise<Map<string, yauzl.Entry>> {
  return new Promise((resolve, reject) => {
    yauzl.open(path, { lazyEntries: false, autoClose: true }, (error, archive) => {
      if (error) return reject(error);
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
