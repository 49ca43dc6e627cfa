import { createWriteStream, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createFolder } from './files.mjs';

/**
 * Downloads a file over http(s), going on where an interrupted download stopped. The file appears
 * under its name only when it is complete and `verify` accepts it; a rejected one is deleted.
 *
 * @param {string} address
 * @param {string} file
 * @param {object} options
 * @param {(file: string) => Promise<void>} options.verify throws when the content is wrong
 * @param {(done: number, total: number | undefined) => void} [options.onProgress] in bytes
 */
export async function download(address, file, { verify, onProgress }) {
  createFolder(path.dirname(file));
  const partial = `${file}.part`;
  const have = existsSync(partial) ? statSync(partial).size : 0;
  const response = await fetch(address, {
    headers: have > 0 ? { range: `bytes=${have}-` } : {},
  });
  // 416: nothing is left to send, the partial file is already complete.
  if (response.status !== 416) {
    if (!response.ok || !response.body) {
      throw new Error(`${address} answered ${response.status} ${response.statusText}`);
    }
    // A server that ignores the range sends the whole file again with status 200.
    let done = response.status === 206 ? have : 0;
    const length = Number(response.headers.get('content-length'));
    const total = length > 0 ? done + length : undefined;
    const body = Readable.fromWeb(/** @type {any} */ (response.body));
    body.on('data', (chunk) => {
      done += chunk.length;
      onProgress?.(done, total);
    });
    await pipeline(body, createWriteStream(partial, { flags: done > 0 ? 'a' : 'w' }));
  }
  try {
    await verify(partial);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
  renameSync(partial, file);
}
