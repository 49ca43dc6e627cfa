import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { cacheFolder } from '../core/cache-folder.js';
import { UserError } from '../core/errors.js';
import { FileUnwritable } from '../core/files.js';

/**
 * The place in the cache folder of what depends on `key` alone.
 *
 * @param folder within the cache folder
 * @param key a value that JSON has
 * @param digits of its SHA-256 in the file's name
 */
export function keptPlace(
  folder: string,
  key: unknown,
  { digits = 32, ending = 'safetensors' }: { digits?: number; ending?: string } = {},
): string {
  const digest = createHash('sha256').update(JSON.stringify(key)).digest('hex');
  return path.join(cacheFolder(), folder, `${digest.slice(0, digits)}.${ending}`);
}

/** How something that takes long is made, and kept in a file. */
export interface Keeping<T> {
  /** What is kept in a file; undefined, or rejected with a UserError, where it is not as it should be. */
  read(file: string): Promise<T | undefined>;
  make(): Promise<T>;
  write(file: string, made: T): Promise<void>;
  /** Added to a warning where the file cannot be written; without it that is no matter. */
  unkept?: string;
}

/**
 * What is kept in a file; it is made, and kept there, where the file is absent or damaged. A cache folder
 * may be read-only, or its disk full: then it is made every time.
 */
export async function keptOrMade<T>(
  file: string,
  { read, make, write, unkept }: Keeping<T>,
): Promise<T> {
  const kept = existsSync(file) ? await read(file).catch(unlessDamaged) : undefined;
  if (kept !== undefined) return kept;
  const made = await make();
  await write(file, made).catch((error: unknown) => {
    if (!(error instanceof FileUnwritable)) throw error;
    if (unkept === undefined) return;
    process.emitWarning(`${error.message} ${unkept}`, { type: 'TarflowWarning' });
  });
  return made;
}

/** For what a damaged file is as good as none: a UserError becomes undefined. */
export function unlessDamaged(error: unknown): undefined {
  if (!(error instanceof UserError)) throw error;
}
