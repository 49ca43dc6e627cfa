import { crc32 } from './crc32.js';
import { OtherBytes } from './safetensors-errors.js';
import { prefixBytes, sumsName } from './safetensors-header.js';

/**
 * Sums of a safetensors file, `tarflow.crc32` in its metadata, which other libraries pass over: in hexadecimal
 * the CRC-32 of the header with zeros for all sums, and of each tensor in the order of the file.
 */

/** A CRC-32 as a header has it. */
export function hexadecimal(sum: number): string {
  return sum.toString(16).padStart(8, '0');
}

/** Where the sums of a header with zeros for them begin in it, in bytes, and what they are, by those of the tensors. */
export function sumsOf(header: Uint8Array, tensors: readonly number[]) {
  const sums = [crc32(header.subarray(prefixBytes)), ...tensors].map(hexadecimal).join('');
  return { position: placeOf(header, sums.length)!, bytes: Buffer.from(sums) };
}

/**
 * The sums of the tensors of a file, in its order; undefined where it has none.
 *
 * @param json the header
 * @param written the entry of its metadata
 * @param path what to call it in an error
 * @throws OtherBytes where the header is not what was written
 */
export function checkedSums(
  json: Uint8Array,
  written: string | undefined,
  path: string,
): string[] | undefined {
  if (written === undefined) return undefined;
  const place = placeOf(json, written.length);
  const unsealed = Uint8Array.from(json);
  if (place !== undefined) unsealed.fill(0x30, place, place + written.length);
  const [own, ...sums] = written.match(/.{8}/g) ?? [];
  if (own === hexadecimal(crc32(unsealed))) return sums;
  throw new OtherBytes(`${path}: its header`);
}

/** Where the sums begin in a header: within another string their quotes would be escaped. */
function placeOf(header: Uint8Array, length: number): number | undefined {
  const before = `"${sumsName}":"`;
  const text = new TextDecoder('latin1').decode(header);
  const found = text.search(new RegExp(`${before}[^"]{${length}}"`));
  return found < 0 ? undefined : found + before.length;
}
