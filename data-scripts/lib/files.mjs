import { createHash } from 'node:crypto';
import {
  copyFileSync,
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { SetupError } from './setup-error.mjs';

/**
 * Makes a folder whole or not at all: fills a temporary one beside it, then renames. Left-overs of
 * interrupted runs are removed first; when another process finishes the same folder earlier, one of
 * the two equal results stays.
 *
 * @param {string} folder
 * @param {(temporary: string) => Promise<void>} fill
 */
export async function makeFolder(folder, fill) {
  const parent = path.dirname(folder);
  createFolder(parent);
  removeAbandoned(folder);
  const temporary = `${folder}.partial-${process.pid}`;
  mkdirSync(temporary);
  try {
    await fill(temporary);
    rmSync(folder, { recursive: true, force: true });
    renameSync(temporary, folder);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/**
 * Writes the SHA-256 of all files of a folder into it: src/data/sets/cached-file.ts compares it at every use.
 *
 * @param {string} folder
 */
export async function writeSums(folder) {
  const names = readdirSync(folder);
  const sums = await Promise.all(names.map((name) => sha256OfFile(path.join(folder, name))));
  const all = Object.fromEntries(names.map((name, i) => [name, sums[i]]));
  writeFileSync(path.join(folder, 'sha256.json'), JSON.stringify(all));
}

/** @param {string} folder */
function removeAbandoned(folder) {
  const prefix = `${path.basename(folder)}.partial-`;
  for (const name of readdirSync(path.dirname(folder))) {
    if (!name.startsWith(prefix)) continue;
    const owner = Number(name.slice(prefix.length));
    if (owner === process.pid || !isRunning(owner)) {
      rmSync(path.join(path.dirname(folder), name), { recursive: true, force: true });
    }
  }
}

/**
 * Does work that no other process does at the same time. A lock whose process has ended is taken over;
 * where none can be made, as in a cache that is read-only, the work is done without.
 *
 * @param {string} file of the lock
 * @param {() => Promise<void>} work
 */
export async function withLock(file, work) {
  const isMade = await tookLock(file);
  try {
    await work();
  } finally {
    if (isMade) rmSync(file, { force: true });
  }
}

/** @param {string} file */
async function tookLock(file) {
  for (;;) {
    try {
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, `${process.pid}`, { flag: 'wx' });
      return true;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') return false;
    }
    const owner = existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
    // Renamed before it is removed: of several that find it, one takes it away.
    if (owner !== undefined && owner > 0 && !isRunning(owner)) takeAway(file, owner);
    else await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/**
 * @param {string} file
 * @param {number} owner whose lock it is
 */
function takeAway(file, owner) {
  const old = `${file}.${process.pid}`;
  try {
    renameSync(file, old);
    // Another process may have taken it away before, and made its own.
    if (Number(readFileSync(old, 'utf8')) !== owner) renameSync(old, file);
  } catch {
    // Another process did.
  }
  rmSync(old, { force: true });
}

/** @param {number} process_ */
function isRunning(process_) {
  try {
    process.kill(process_, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}

/**
 * mkdir -p, with one sentence when the place cannot be written.
 *
 * @param {string} folder
 */
export function createFolder(folder) {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new SetupError(
      `The folder ${folder} cannot be made (${/** @type {Error} */ (error).message})`,
      'Make it writable, or point TARFLOW_CACHE at a folder that is',
    );
  }
}

/**
 * A symbolic link, switched in one step so that no reader ever finds it missing.
 *
 * @param {string} target
 * @param {string} link
 */
export function linkAtomically(target, link) {
  if (pointsTo(link, target)) return;
  createFolder(path.dirname(link));
  const temporary = `${link}.partial-${process.pid}`;
  rmSync(temporary, { force: true });
  // On Windows, where links need a right, a folder can still be joined.
  symlinkSync(target, temporary, 'junction');
  renameSync(temporary, link);
}

/**
 * @param {string} link
 * @param {string} target
 */
export function pointsTo(link, target) {
  try {
    return readlinkSync(link) === target;
  } catch {
    return false;
  }
}

/**
 * A copy that appears whole; a program that has loaded the old file keeps the old file.
 *
 * @param {string} from
 * @param {string} to
 */
export function copyAtomically(from, to) {
  createFolder(path.dirname(to));
  const temporary = `${to}.partial-${process.pid}`;
  try {
    copyFileSync(from, temporary);
    renameSync(temporary, to);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/**
 * True when two small files hold the same bytes.
 *
 * @param {string} one
 * @param {string} other
 */
export function sameContent(one, other) {
  return existsSync(one) && existsSync(other) && readFileSync(one).equals(readFileSync(other));
}

/**
 * The parsed JSON of a file, or undefined when it is missing or damaged.
 *
 * @param {string} file
 * @returns {any}
 */
export function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * SHA-256 of a file, or of what a transform (such as gunzip) makes of it, in hexadecimal.
 *
 * @param {string} file
 * @param {import('node:stream').Transform} [transform]
 * @returns {Promise<string>}
 */
export async function sha256OfFile(file, transform) {
  const hash = createHash('sha256');
  const stream = createReadStream(file);
  if (!transform) {
    for await (const chunk of stream) hash.update(chunk);
  } else {
    stream.on('error', (error) => transform.destroy(error));
    for await (const chunk of stream.pipe(transform)) hash.update(chunk);
  }
  return hash.digest('hex');
}

/**
 * Total size in bytes of the files below a folder; links are not followed, and files that vanish
 * while it looks are skipped.
 *
 * @param {string} folder
 * @returns {number}
 */
export function folderSize(folder) {
  let total = 0;
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const place = path.join(folder, entry.name);
      if (entry.isDirectory()) total += folderSize(place);
      else if (entry.isFile()) total += lstatSync(place).size;
    }
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error;
  }
  return total;
}

/**
 * Refuses to begin what the disk cannot hold.
 *
 * @param {string} folder where the files will lie; it need not exist yet
 * @param {number} bytes
 * @param {string} purpose
 * @throws {SetupError}
 */
export function requireDiskSpace(folder, bytes, purpose) {
  let existing = folder;
  while (!existsSync(existing)) existing = path.dirname(existing);
  const { bavail, bsize } = statfsSync(existing);
  const free = bavail * bsize;
  if (free < bytes) {
    throw new SetupError(
      `${purpose} needs ${formatBytes(bytes)} in ${folder}, and only ${formatBytes(free)} are free`,
      'Free some space, or point TARFLOW_CACHE at a disk that has it, then run the same command ' +
        'again',
    );
  }
}

/** @param {number} bytes */
export function formatBytes(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  if (bytes >= 1e6) return `${Math.round(bytes / 1e6)} MB`;
  return `${Math.ceil(bytes / 1e3)} kB`;
}
