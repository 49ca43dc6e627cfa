import * as sync from 'node:fs';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { UserError } from './errors.js';

/** A file that cannot be read: it is missing, a folder, or not ours to read. */
export class FileUnreadable extends UserError {
  override readonly name = 'FileUnreadable';
}

/** A file that cannot be written: its folder is missing, read-only, or full. */
export class FileUnwritable extends UserError {
  override readonly name = 'FileUnwritable';
}

/**
 * The bytes of a file.
 * @throws FileUnreadable that says why
 */
export async function readBytes(file: string): Promise<Uint8Array> {
  try {
    return await fs.readFile(file);
  } catch (error) {
    throw new FileUnreadable(
      `The file ${file} cannot be read (${reason(error)})`,
      'Expected the path of a readable file',
    );
  }
}

/**
 * Writes a file whole or not at all: into a temporary neighbour that then takes its name, so that
 * a reader, or a run that is stopped, never meets half a file. Missing folders are made.
 *
 * @throws FileUnwritable that says why; no temporary file is left behind
 */
export async function writeAtomically(file: string, content: Uint8Array | string): Promise<void> {
  const temporary = `${file}.${process.pid}.${++written}.tmp`;
  try {
    await makeFolder(path.dirname(file));
    await fs.writeFile(temporary, content);
    await fs.rename(temporary, file);
  } catch (error) {
    await fs.rm(temporary, { force: true }).catch(() => {});
    throw new FileUnwritable(
      `The file ${file} cannot be written (${reason(error)})`,
      'Expected a path in a folder that can be written to, on a disk with room',
    );
  }
}

/**
 * Makes a folder and those above it. Node's own recursive `mkdir` never returns where a file system
 * refuses to make a folder below one that exists with "no such file", as /proc does.
 */
export async function makeFolder(folder: string): Promise<void> {
  try {
    await fs.mkdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const present = await fs.stat(folder).catch(() => undefined);
    if (present?.isDirectory()) return;
    const above = path.dirname(path.resolve(folder));
    const aboveIsThere = await fs.stat(above).then(
      () => true,
      () => false,
    );
    if (code !== 'ENOENT' || aboveIsThere) throw error;
    await makeFolder(above);
    await makeFolder(folder);
  }
}

/** {@link makeFolder}, at once. */
export function makeFolderSync(folder: string): void {
  if (sync.existsSync(folder)) return;
  makeFolderSync(path.dirname(path.resolve(folder)));
  try {
    sync.mkdirSync(folder);
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!sync.existsSync(folder)) throw error;
  }
}

let written = 0;

function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return reasons[code] ?? (error instanceof Error ? error.message : String(error));
}

const reasons: Record<string, string> = {
  ENOENT: 'it does not exist',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOTDIR: 'a part of its path is a file, not a folder',
  EEXIST: 'a part of its path is a file, not a folder',
  EISDIR: 'it is a folder',
  ENOSPC: 'the disk is full',
};
