import type { FileHandle } from 'node:fs/promises';
import { readAt } from '../core/files.js';
import { TruncatedFile } from './safetensors-errors.js';

/**
 * Bytes of an open file.
 *
 * @param path what to call it in an error
 * @throws TruncatedFile where the file ends before the last of them; FileUnreadable
 */
export async function bytesAt(
  handle: FileHandle,
  path: string,
  position: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  if ((await readAt(handle, bytes, position, path)) === length) return bytes;
  throw new TruncatedFile(
    `${path} ends before byte ${position + length}`,
    'It is cut short; download or copy it again',
  );
}
