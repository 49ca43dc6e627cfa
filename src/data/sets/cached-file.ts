import { createHash } from 'node:crypto';
import * as path from 'node:path';
import { z } from 'zod';
import { UserError } from '../../core/errors.js';
import { FileUnreadable, readBytes } from '../../core/files.js';
import { decodeIdx } from '../../formats/idx.js';
import { jsonOf } from '../../formats/metadata.js';

/** A file of a data set in the cache folder, and what to say where it is not as it should be. */
export interface CachedFile {
  file: string;
  /** For example 'Fashion-MNIST is not complete'. */
  problem: string;
  /** The command that fetches it. */
  remedy: string;
}

/** @throws UserError with the command that fetches the file, where it is missing or not what was fetched */
export async function cachedBytes({ file, problem, remedy }: CachedFile): Promise<Uint8Array> {
  try {
    const bytes = await readBytes(file);
    const sum = (await sumsOf(path.dirname(file)))[path.basename(file)];
    if (sum === undefined || createHash('sha256').update(bytes).digest('hex') === sum) return bytes;
  } catch (error) {
    if (!(error instanceof FileUnreadable)) throw error;
    throw new UserError(`${problem}: ${error.problem}`, remedy);
  }
  throw new UserError(`The file ${file} is damaged: its folder has to be deleted`, remedy);
}

type Sums = Record<string, string>;
const known = new Map<string, Promise<Sums>>();

/** SHA-256 of the files in a folder, as data-scripts/lib/files.mjs writes them; none in one of before. */
function sumsOf(folder: string): Promise<Sums> {
  const read = async () => {
    const bytes = await readBytes(path.join(folder, 'sha256.json')).catch(() => undefined);
    return jsonOf(z.record(z.string(), z.string()), bytes && Buffer.from(bytes).toString()) ?? {};
  };
  const sums = known.get(folder) ?? read();
  known.set(folder, sums);
  return sums;
}

/**
 * The numbers of an IDX file.
 * @throws UserError as {@link cachedBytes} and `decodeIdx` do, and for another shape
 */
export async function cachedIdx(cached: CachedFile, shape: readonly number[]): Promise<Uint8Array> {
  const { file, remedy } = cached;
  const decoded = decodeIdx(await cachedBytes(cached), file);
  if (decoded.shape.join() === shape.join()) return decoded.data;
  throw new UserError(
    `${file} has shape (${decoded.shape.join(', ')})`,
    `Expected (${shape.join(', ')}); delete it. ${remedy}`,
  );
}
