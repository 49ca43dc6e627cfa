import { UserError } from '../../core/errors.js';
import { FileUnreadable, readBytes } from '../../core/files.js';
import { decodeIdx } from '../../formats/idx.js';

/** A file of a data set in the cache folder, and what to say where it is not as it should be. */
export interface CachedFile {
  file: string;
  /** For example 'Fashion-MNIST is not complete'. */
  problem: string;
  /** The command that fetches it. */
  remedy: string;
}

/** @throws UserError with the command that fetches the file */
export async function cachedBytes({ file, problem, remedy }: CachedFile): Promise<Uint8Array> {
  try {
    return await readBytes(file);
  } catch (error) {
    if (!(error instanceof FileUnreadable)) throw error;
    throw new UserError(`${problem}: ${error.problem}`, remedy);
  }
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
