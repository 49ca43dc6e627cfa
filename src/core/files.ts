import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { nearestName, UserError } from './errors.js';

/** A file that cannot be read: it is missing, a folder, or not ours to read. */
export class FileUnreadable extends UserError {}

/** A file that cannot be written: its folder is missing, read-only, or full. */
export class FileUnwritable extends UserError {}

/**
 * The bytes of a file below 2 GiB.
 * @throws FileUnreadable that says why
 */
export async function readBytes(file: string): Promise<Uint8Array> {
  const handle = await openForReading(file);
  return reading(file, () => handle.readFile().finally(() => handle.close()));
}

/**
 * Opens a file for reading; the caller closes the handle.
 * @throws FileUnreadable that says why
 */
export async function openForReading(file: string): Promise<fs.FileHandle> {
  return reading(file, async () => {
    // A pipe is waited for when it is opened, and nobody may ever write into it.
    if ((await fs.stat(file)).isFIFO()) throw new Error('it is a pipe');
    return fs.open(file, 'r');
  });
}

/**
 * Fills `bytes` from a place in an open file, of whatever size.
 *
 * @param file what to call it in an error
 * @returns how many bytes came: fewer than asked for where the file ends before
 * @throws FileUnreadable that says why
 */
export async function readAt(
  handle: fs.FileHandle,
  bytes: Uint8Array,
  position: number,
  file: string,
): Promise<number> {
  return reading(file, async () => {
    let done = 0;
    while (done < bytes.length) {
      const length = Math.min(bytes.length - done, mostAtOnce);
      const { bytesRead } = await handle.read(bytes, done, length, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  });
}

/** Writes all of `bytes` where an open file stands, or at a place of it; a single call may write only a part. */
export async function writeAll(
  handle: fs.FileHandle,
  bytes: Uint8Array,
  position?: number,
): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(
      bytes,
      done,
      Math.min(bytes.length - done, mostAtOnce),
      position === undefined ? null : position + done,
    );
    done += bytesWritten;
  }
}

/**
 * Writes a file whole or not at all: into a temporary neighbour that takes its name once it is on
 * the disk, so that a reader, a run that is stopped or a power cut never leaves half a file. Missing
 * folders are made.
 *
 * @param content or a function that writes it, part by part
 * @throws FileUnwritable that says why; no temporary file is left behind
 */
export async function writeAtomically(
  file: string,
  content: Uint8Array | string | ((handle: fs.FileHandle) => Promise<void>),
): Promise<void> {
  const temporary = `${file}.${process.pid}.${++written}.tmp`;
  await writing(file, async () => {
    await makeFolder(path.dirname(file));
    try {
      await withOpen(temporary, 'wx', async (handle) => {
        if (typeof content === 'function') await content(handle);
        else await handle.writeFile(content);
        await handle.sync();
      });
      await fs.rename(temporary, file);
    } catch (error) {
      await fs.rm(temporary, { force: true }).catch(() => {});
      throw error;
    }
    await syncFolder(path.dirname(file));
  });
}

/**
 * Adds a line at the end of a text file, in one write, so that what other processes add stays. Missing
 * folders and a missing file are made.
 *
 * @param line without its end
 * @throws FileUnwritable that says why
 */
export async function appendLine(file: string, line: string): Promise<void> {
  await writing(file, async () => {
    await makeFolder(path.dirname(file));
    await withOpen(file, 'a+', async (handle) => {
      const { size } = await handle.stat();
      const last = Buffer.alloc(1);
      if (size > 0) await handle.read(last, 0, 1, size - 1);
      // An editor may have left the last line without its end.
      const before = size > 0 && last.toString() !== '\n' ? '\n' : '';
      await handle.writeFile(`${before}${line}\n`);
      await handle.sync();
    });
  });
}

/** Whether a file has the name of a temporary one; a process that is killed may leave it. */
export function isTemporaryName(name: string): boolean {
  return /\.\d+\.\d+\.tmp$/.test(name);
}

/**
 * Puts on the disk what was written to a file.
 * @throws FileUnwritable that says why
 */
export async function syncFile(file: string): Promise<void> {
  await writing(file, () => withOpen(file, 'r+', (handle) => handle.sync()));
}

/** Puts on the disk which names a folder has. */
async function syncFolder(folder: string): Promise<void> {
  try {
    await withOpen(folder, 'r', (handle) => handle.sync());
  } catch (error) {
    // Windows opens no folders, and some file systems sync none: names there last as they do.
    if (!noFolderSync.has(codeOf(error) ?? '')) throw error;
  }
}

const noFolderSync = new Set(['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'ENOTSUP', 'ENOSYS']);

/**
 * The SHA-256 of an open file of whatever size, in hexadecimal.
 *
 * @param file what to call it in an error
 * @throws FileUnreadable that says why
 */
export async function sha256(handle: fs.FileHandle, file: string): Promise<string> {
  const hash = createHash('sha256');
  const part = new Uint8Array(2 ** 20);
  for (let position = 0; ; position += part.length) {
    const count = await readAt(handle, part, position, file);
    hash.update(part.subarray(0, count));
    if (count < part.length) return hash.digest('hex');
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
    const present = await fs.stat(folder).catch(() => undefined);
    if (present?.isDirectory()) return;
    const above = path.dirname(path.resolve(folder));
    const aboveIsThere = await fs.stat(above).catch(() => undefined);
    if (codeOf(error) !== 'ENOENT' || aboveIsThere) throw error;
    await makeFolder(above);
    await makeFolder(folder);
  }
}

let written = 0;

/** The most that one call reads or writes; Node takes less than 2 GiB. */
const mostAtOnce = 2 ** 30;

async function reading<R>(file: string, work: () => Promise<R>): Promise<R> {
  try {
    return await work();
  } catch (error) {
    const meant = codeOf(error) === 'ENOENT' ? await nearestPath(file) : '';
    throw new FileUnreadable(
      `The file ${file} cannot be read (${reason(error)})`,
      `${meant}Expected the path of a readable file`,
    );
  }
}

/** A question for the path that was most likely meant in the place of one that is not there; '' for none. */
export async function nearestPath(place: string): Promise<string> {
  const { dir, base, ext } = path.parse(place);
  const there = await fs.readdir(dir || '.').catch(() => undefined);
  if (!there) return nearestPath(dir);
  // A long ending alone makes no name alike.
  const alike = there.filter((name) => path.extname(name) === ext && name !== base);
  const nearest = nearestName(
    path.basename(base, ext),
    alike.map((name) => path.basename(name, ext)),
  );
  return nearest === undefined ? '' : `Did you mean ${path.join(dir, nearest + ext)}? `;
}

async function writing(file: string, work: () => Promise<void>): Promise<void> {
  await work().catch((error: unknown) => {
    throw unwritable(file, error);
  });
}

async function withOpen(
  file: string,
  flags: string,
  work: (handle: fs.FileHandle) => Promise<void>,
): Promise<void> {
  const handle = await fs.open(file, flags);
  await work(handle).finally(() => handle.close());
}

/** What failed to write a file; an error of another kind than the system's stays what it is. */
export function unwritable(file: string, error: unknown): unknown {
  if (codeOf(error) === undefined) return error;
  return new FileUnwritable(
    `The file ${file} cannot be written (${reason(error)})`,
    'Expected a path in a folder that can be written to, on a disk with room',
  );
}

function reason(error: unknown): string {
  return reasons[codeOf(error) ?? ''] ?? (error instanceof Error ? error.message : String(error));
}

/** The system's code of an error. They are names; that of an abort is a number. */
function codeOf(error: unknown): string | undefined {
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? code : undefined;
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
