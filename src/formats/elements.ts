import type { FileHandle } from 'node:fs/promises';
import { openForReading, readAt } from '../core/files.js';
import { decodeBfloat16, decodeFloat16, encodeBfloat16, encodeFloat16 } from './half.js';
import { InexactInteger, Overflow, TruncatedFile } from './safetensors-errors.js';

/**
 * What comes of a file that is open for reading, and closed then.
 * @throws FileUnreadable; as `use` does
 */
export async function withFile<T>(
  file: string,
  use: (handle: FileHandle) => Promise<T>,
): Promise<T> {
  const handle = await openForReading(file);
  return use(handle).finally(() => handle.close());
}

/**
 * Bytes from a place of an open file on; fewer where the file ends before.
 *
 * @param path what to call it in an error
 * @throws FileUnreadable
 */
export async function bytesUpTo(
  handle: FileHandle,
  path: string,
  position: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, await readAt(handle, bytes, position, path));
}

/**
 * Bytes from a place of an open file on.
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
  const bytes = await bytesUpTo(handle, path, position, length);
  if (bytes.length === length) return bytes;
  throw new TruncatedFile(
    `${path} ends before byte ${position + length}`,
    'It is cut short; download or copy it again',
  );
}

/** The element types that are read and written. */
export type HostDtype = 'F32' | 'F64' | 'F16' | 'BF16' | 'I32' | 'I64' | 'U8' | 'BOOL';

/**
 * Numbers in ordinary memory: Float32Array for F32, F16 and BF16, Float64Array for F64 and I64,
 * Int32Array for I32, Uint8Array for U8 and BOOL.
 */
export type HostData = Float32Array | Float64Array | Int32Array | Uint8Array;

export const bytesPerElement: Record<HostDtype, number> = {
  F64: 8,
  I64: 8,
  F32: 4,
  I32: 4,
  F16: 2,
  BF16: 2,
  U8: 1,
  BOOL: 1,
};

const arrays = {
  F32: Float32Array,
  F16: Float32Array,
  BF16: Float32Array,
  F64: Float64Array,
  I64: Float64Array,
  I32: Int32Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

/** The kind of array that holds elements of a type in memory. */
export function arrayOf(dtype: HostDtype) {
  return arrays[dtype];
}

/** Elements that are converted between file and memory, and so many bytes of the file at a time. */
const partBytes = 2 ** 20;

/**
 * Reads elements from a place in an open file. Hosts are little-endian, as files are.
 *
 * @param where what to call the tensor in an error, after the file's name
 * @param passed is given all bytes, in order
 * @throws FileUnreadable, InexactInteger; TruncatedFile where the file ends before the last element
 */
export async function readElements(
  handle: FileHandle,
  { dtype, count, position }: { dtype: HostDtype; count: number; position: number },
  file: string,
  where: string,
  passed?: (bytes: Uint8Array) => void,
): Promise<HostData> {
  const fill = async (bytes: Uint8Array, at: number): Promise<void> => {
    const read = await readAt(handle, bytes, position + at, file);
    if (read === bytes.length) return passed?.(bytes);
    throw new TruncatedFile(
      `${file} ends at byte ${position + at + read}, inside ${where}`,
      'It was cut short after it was opened; download or copy it again',
    );
  };
  const data = new (arrayOf(dtype))(count);
  if (isStoredAsHeld(dtype)) {
    await fill(bytesOf(data), 0);
    return data;
  }
  const width = bytesPerElement[dtype];
  const stored = new Uint8Array(Math.min(partBytes, count * width));
  const most = stored.length / width;
  for (let at = 0; at < count; at += most) {
    const part = stored.subarray(0, Math.min(most, count - at) * width);
    await fill(part, at * width);
    decode(part, dtype, data, at, `${file}: ${where}`);
  }
  return data;
}

/**
 * Writes elements as they are stored. F16 and BF16 are rounded to nearest, ties to even.
 * @throws InexactInteger for an I64 that is no whole number of at most 53 bits
 * @throws Overflow for a finite number that would be stored as infinity
 */
export async function writeElements(
  write: (bytes: Uint8Array) => Promise<void>,
  dtype: HostDtype,
  data: HostData,
  where: string,
): Promise<void> {
  if (isStoredAsHeld(dtype)) return write(bytesOf(data));
  const most = partBytes / bytesPerElement[dtype];
  for (let at = 0; at < data.length; at += most) {
    await write(encoded(data.subarray(at, at + most), dtype, where));
  }
}

function isStoredAsHeld(dtype: HostDtype): boolean {
  return dtype !== 'F16' && dtype !== 'BF16' && dtype !== 'I64';
}

function bytesOf(array: NodeJS.TypedArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** `bytes` begin at the start of their buffer, so that wider elements are aligned there. */
function decode(
  { buffer, byteLength }: Uint8Array,
  dtype: HostDtype,
  into: HostData,
  at: number,
  where: string,
): void {
  if (dtype === 'I64') {
    const integers = new BigInt64Array(buffer, 0, byteLength / 8);
    integers.forEach((integer, index) => {
      const value = Number(integer);
      if (!Number.isSafeInteger(value)) throw inexact(where, String(integer));
      into[at + index] = value;
    });
    return;
  }
  const halves = new Uint16Array(buffer, 0, byteLength / 2);
  const convert = dtype === 'F16' ? decodeFloat16 : decodeBfloat16;
  for (let index = 0; index < halves.length; index++) {
    into[at + index] = convert(halves[index]!);
  }
}

function encoded(data: HostData, dtype: HostDtype, where: string): Uint8Array {
  if (dtype === 'I64') {
    const integers = new BigInt64Array(data.length);
    for (const [index, value] of data.entries()) {
      if (!Number.isSafeInteger(value)) throw inexact(where, String(value));
      integers[index] = BigInt(value);
    }
    return bytesOf(integers);
  }
  const half = dtype === 'F16' ? 'F16' : 'BF16';
  const [convert, infinity] = half === 'F16' ? [encodeFloat16, 0x7c00] : [encodeBfloat16, 0x7f80];
  const halves = new Uint16Array(data.length);
  for (let index = 0; index < halves.length; index++) {
    const value = data[index]!;
    const bits = convert(value);
    if ((bits & infinity) === infinity && Number.isFinite(value))
      throw overflow(where, value, half);
    halves[index] = bits;
  }
  return bytesOf(halves);
}

function overflow(where: string, value: number, dtype: 'F16' | 'BF16'): Overflow {
  return new Overflow(
    `${where} holds ${value}, which is beyond the largest number of ${dtype}`,
    dtype === 'F16' ? 'Expected ±65504 at most; store it as BF16 or F32' : 'Store it as F32',
  );
}

function inexact(where: string, value: string): InexactInteger {
  return new InexactInteger(
    `${where} holds the 64-bit integer ${value}`,
    'Expected whole numbers between -(2^53 - 1) and 2^53 - 1, which a double holds exactly',
  );
}
