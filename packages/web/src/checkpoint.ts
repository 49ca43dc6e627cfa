import { UserError } from '../../../src/core/errors.js';
import { decodeBfloat16, decodeFloat16 } from '../../../src/formats/half.js';
import { OtherBytes } from '../../../src/formats/safetensors-errors.js';
import {
  decodeHeader,
  headerLength,
  prefixBytes,
  sumsName,
} from '../../../src/formats/safetensors-header.js';
import { checkedSums, hexadecimal } from '../../../src/formats/safetensors-sums.js';
import type { TensorFile } from '../../../src/formats/tensor-file.js';
import { type LoadedModel, readCheckpoint } from '../../../src/models/load-checkpoint.js';
import { crc32 } from './crc32.js';
import { currentEngine } from './engine.js';

/**
 * Fetches a checkpoint, a file of safetensors as `saveCheckpoint` writes it.
 *
 * @param address of the file, relative to the page
 * @returns a model that the caller frees with `disposeModel`
 * @throws UserError where no engine runs, where nothing is found at the address, and where the file is
 *   damaged or no checkpoint
 *
 * @example
 * ```ts
 * import { loadCheckpoint, startEngine } from 'tarflow/web';
 *
 * await startEngine();
 * const flow = await loadCheckpoint('fashion-mnist-conditional-8x2.safetensors');
 * console.log(flow.config.image, flow.details.classNames);
 * ```
 */
export async function loadCheckpoint(address: string | URL): Promise<LoadedModel> {
  currentEngine();
  const answer = await fetch(address);
  if (!answer.ok) {
    throw new UserError(
      `Nothing came from ${address} (status ${answer.status})`,
      'Expected the address of a checkpoint, relative to the page',
    );
  }
  return readCheckpoint(fileInMemory(await answer.arrayBuffer(), String(address)));
}

/** The file of which these are the bytes, checked as one on a disk is. */
export function fileInMemory(buffer: ArrayBuffer, path: string): TensorFile {
  const bytes = new Uint8Array(buffer);
  const start = prefixBytes + headerLength(bytes.subarray(0, prefixBytes), bytes.length, path);
  const json = bytes.subarray(prefixBytes, start);
  const { entries, metadata: all } = decodeHeader(json, bytes.length - start, path);
  const { [sumsName]: written, ...metadata } = all;
  const sums = checkedSums(json, written, path);
  const stored = new Map(entries.map((entry, i) => [entry.name, { ...entry, sum: sums?.[i] }]));
  return {
    path,
    metadata,
    tensors: Object.fromEntries(entries.map(({ name, shape, dtype }) => [name, { shape, dtype }])),
    async read(name) {
      const entry = stored.get(name);
      if (!entry) throw new RangeError(`${path} holds no tensor ${name}`);
      const { shape, dtype, begin, end, sum } = entry;
      const own = buffer.slice(start + begin, start + end);
      if (sum !== undefined && sum !== hexadecimal(crc32(new Uint8Array(own)))) {
        throw new OtherBytes(`${path}: tensor '${name}'`);
      }
      if (dtype === 'F32') return { shape, dtype, data: new Float32Array(own) };
      if (dtype === 'F16' || dtype === 'BF16') {
        const decode = dtype === 'F16' ? decodeFloat16 : decodeBfloat16;
        return { shape, dtype, data: Float32Array.from(new Uint16Array(own), decode) };
      }
      throw new UserError(`${path}: tensor '${name}' is of ${dtype}`, 'Expected F32, F16 or BF16');
    },
    async sha256() {
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', buffer));
      return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
    },
    async close() {},
  };
}
