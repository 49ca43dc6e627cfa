import { UserError } from '../backend/errors.js';
import { readBytes, writeAtomically } from '../backend/files.js';
import { decodeBfloat16, decodeFloat16, encodeBfloat16, encodeFloat16 } from './half.js';

/**
 * The safetensors format (https://github.com/huggingface/safetensors): eight bytes with the length
 * of a JSON header, the header, then the tensors' bytes, little-endian and row-major. The header
 * maps each name to `{ dtype, shape, data_offsets: [begin, end] }`, and `__metadata__` to a record
 * of strings. Here, as in the reference implementation, the tensors must cover the bytes without
 * gap or overlap, so a file can hide nothing and a damaged one is found out.
 */

/** The element types that are read and written. */
export type HostDtype = 'F32' | 'F64' | 'F16' | 'BF16' | 'I32' | 'I64' | 'U8' | 'BOOL';

/**
 * A tensor in ordinary memory. `dtype` says how a file stores it; in memory F32, F16 and BF16 are
 * Float32Array, F64 and I64 are Float64Array, I32 is Int32Array, U8 and BOOL are Uint8Array.
 */
export interface HostTensor {
  shape: number[];
  dtype: HostDtype;
  data: Float32Array | Float64Array | Int32Array | Uint8Array;
}

/** What a safetensors file holds. */
export interface Safetensors {
  tensors: Record<string, HostTensor>;
  metadata: Record<string, string>;
}

/** The header claims more than 100 MB, the limit of the reference implementation. */
export class HeaderTooLarge extends UserError {
  override readonly name = 'HeaderTooLarge';
}
/** The header is not the JSON that the format asks for. */
export class InvalidHeader extends UserError {
  override readonly name = 'InvalidHeader';
}
/** A tensor's bytes do not fit its shape, or leave a part of the file unclaimed. */
export class InvalidOffsets extends UserError {
  override readonly name = 'InvalidOffsets';
}
/** Two tensors claim the same bytes. */
export class TensorOverlap extends UserError {
  override readonly name = 'TensorOverlap';
}
/** The file ends before its header or its tensors do. */
export class TruncatedFile extends UserError {
  override readonly name = 'TruncatedFile';
}
/** A tensor's element type is one that is not read here. */
export class UnsupportedDtype extends UserError {
  override readonly name = 'UnsupportedDtype';
}
/** A 64-bit integer that a double cannot hold exactly. */
export class InexactInteger extends UserError {
  override readonly name = 'InexactInteger';
}
/** A tensor or a metadata entry that cannot be written as it is. */
export class InvalidTensor extends UserError {
  override readonly name = 'InvalidTensor';
}

const maximumHeader = 100_000_000;

const bytesPerElement: Record<HostDtype, number> = {
  F64: 8,
  I64: 8,
  F32: 4,
  I32: 4,
  F16: 2,
  BF16: 2,
  U8: 1,
  BOOL: 1,
};

/**
 * Reads a safetensors file.
 * @throws FileUnreadable, or one of the errors of {@link decodeSafetensors}
 */
export async function readSafetensors(path: string): Promise<Safetensors> {
  return decodeSafetensors(await readBytes(path), path);
}

/**
 * Writes a safetensors file, whole or not at all.
 * @throws FileUnwritable, or one of the errors of {@link encodeSafetensors}
 */
export async function writeSafetensors(
  path: string,
  tensors: Record<string, HostTensor>,
  metadata: Record<string, string> = {},
): Promise<void> {
  await writeAtomically(path, encodeSafetensors(tensors, metadata));
}

/**
 * Decodes the bytes of a safetensors file. The tensors are copies and share nothing with `bytes`.
 *
 * @param source what to call the bytes in an error, usually the file's path
 * @throws TruncatedFile, HeaderTooLarge, InvalidHeader, UnsupportedDtype, InvalidOffsets,
 *   TensorOverlap, InexactInteger
 */
export function decodeSafetensors(bytes: Uint8Array, source = 'safetensors data'): Safetensors {
  const { entries, metadata, body } = decodeHeader(bytes, source);
  checkCoverage(entries, body.length, source);
  const tensors = entries.map(({ name, dtype, shape, begin, end }): [string, HostTensor] => {
    // A copy: `slice` of a Buffer, which is also a Uint8Array, would be a view.
    const copy = new Uint8Array(body.subarray(begin, end));
    const data = decodeElements(copy, dtype, `${source}: tensor '${name}'`);
    return [name, { shape, dtype, data }];
  });
  // fromEntries, because an assignment to the name `__proto__` would be lost.
  return { tensors: Object.fromEntries(tensors), metadata };
}

/**
 * Encodes tensors as a safetensors file; the same content gives the same bytes. F16 and BF16 are
 * rounded to nearest, ties to even.
 *
 * @throws InvalidTensor for an array that does not fit its shape or dtype, InexactInteger for an
 *   I64 that is no whole number of at most 53 bits
 */
export function encodeSafetensors(
  tensors: Record<string, HostTensor>,
  metadata: Record<string, string> = {},
): Uint8Array {
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') {
      throw new InvalidTensor(`Metadata '${key}' is of type ${typeof value}`, 'Expected a string');
    }
  }
  // Wider elements first, so that every tensor is aligned to its element size.
  const names = Object.keys(tensors).sort((a, b) => {
    const width = (name: string) => bytesPerElement[(tensors[name] as HostTensor).dtype];
    return width(b) - width(a) || (a < b ? -1 : 1);
  });
  const header: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) header.push(['__metadata__', metadata]);
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const name of names) {
    const tensor = tensors[name] as HostTensor;
    checkTensor(name, tensor);
    const part = encodeElements(tensor, `tensor '${name}'`);
    header.push([
      name,
      {
        dtype: tensor.dtype,
        shape: tensor.shape,
        data_offsets: [offset, offset + part.length],
      },
    ]);
    parts.push(part);
    offset += part.length;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(header)), 'utf8');
  const headerLength = Math.ceil(json.length / 8) * 8;
  if (headerLength > maximumHeader) {
    throw new HeaderTooLarge(
      `The header would take ${headerLength} bytes`,
      `Expected at most ${maximumHeader}: fewer tensors, or less metadata`,
    );
  }
  const out = new Uint8Array(8 + headerLength + offset).fill(0x20, 8, 8 + headerLength);
  new DataView(out.buffer).setBigUint64(0, BigInt(headerLength), true);
  out.set(json, 8);
  let position = 8 + headerLength;
  for (const part of parts) {
    out.set(part, position);
    position += part.length;
  }
  return out;
}

interface Entry {
  name: string;
  dtype: HostDtype;
  shape: number[];
  begin: number;
  end: number;
}

function decodeHeader(
  bytes: Uint8Array,
  source: string,
): { entries: Entry[]; metadata: Record<string, string>; body: Uint8Array } {
  if (bytes.length < 8) {
    throw new TruncatedFile(
      `${source} has ${bytes.length} bytes`,
      'A safetensors file starts with 8 bytes that give the length of its header',
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > maximumHeader) {
    throw new HeaderTooLarge(
      `${source} claims a header of ${length} bytes`,
      `Expected at most ${maximumHeader}; this is probably no safetensors file`,
    );
  }
  if (8 + length > bytes.length) {
    throw new TruncatedFile(
      `${source} ends after ${bytes.length} bytes, inside its header`,
      `Expected a header of ${length} bytes; download or copy the file again`,
    );
  }
  const header = parseHeader(bytes.subarray(8, 8 + length), source);
  const metadata = checkMetadata(header.__metadata__, source);
  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, value]) => checkEntry(name, value, source));
  return { entries, metadata, body: bytes.subarray(8 + length) };
}

function parseHeader(bytes: Uint8Array, source: string): Record<string, unknown> {
  let header: unknown;
  let problem = 'it is no JSON object';
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    if (text.startsWith('{')) header = JSON.parse(text);
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  if (!isRecord(header)) {
    throw new InvalidHeader(
      `${source} has a header that cannot be read (${problem})`,
      'Expected a JSON object in UTF-8 that begins with {',
    );
  }
  return header;
}

function checkMetadata(value: unknown, source: string): Record<string, string> {
  if (value === undefined) return {};
  if (!isRecord(value) || !Object.values(value).every((entry) => typeof entry === 'string')) {
    throw new InvalidHeader(
      `${source}: __metadata__ is ${describe(value)}`,
      'Expected an object whose values are strings',
    );
  }
  return value as Record<string, string>;
}

function checkEntry(name: string, value: unknown, source: string): Entry {
  const where = `${source}: tensor '${name}'`;
  if (!isRecord(value)) {
    throw new InvalidHeader(
      `${where} is described by ${describe(value)}`,
      'Expected an object with dtype, shape and data_offsets',
    );
  }
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string') {
    throw new InvalidHeader(`${where} has dtype ${describe(dtype)}`, 'Expected a string');
  }
  if (!Object.hasOwn(bytesPerElement, dtype)) {
    throw new UnsupportedDtype(
      `${where} has dtype '${dtype}'`,
      `Expected one of ${Object.keys(bytesPerElement).join(', ')}`,
    );
  }
  if (!isCounts(shape)) {
    throw new InvalidHeader(
      `${where} has shape ${describe(shape)}`,
      'Expected a list of whole numbers, 0 or more',
    );
  }
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw new InvalidHeader(
      `${where} has data_offsets ${describe(offsets)}`,
      'Expected two whole numbers, begin and end',
    );
  }
  const [begin, end] = offsets as [number, number];
  const needed = elements(shape) * bytesPerElement[dtype as HostDtype];
  if (end - begin !== needed) {
    throw new InvalidOffsets(
      `${where} claims the ${end - begin} bytes from ${begin} to ${end}`,
      `Expected ${needed} bytes for shape (${shape.join(', ')}) of ${dtype}`,
    );
  }
  return { name, dtype: dtype as HostDtype, shape, begin, end };
}

/** Sorts the entries by place in the file; together they must cover it exactly. */
function checkCoverage(entries: Entry[], length: number, source: string): void {
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  let before = 'the header';
  for (const { name, begin, end } of entries) {
    const where = `${source}: tensor '${name}'`;
    if (begin < covered) {
      throw new TensorOverlap(
        `${where} begins at byte ${begin}, inside ${before}`,
        `Expected it to begin at ${covered}`,
      );
    }
    if (begin > covered) {
      throw new InvalidOffsets(
        `${where} begins at byte ${begin}, which leaves a gap after ${before}`,
        `Expected it to begin at ${covered}`,
      );
    }
    if (end > length) {
      throw new TruncatedFile(
        `${where} ends at byte ${end}, but the file holds ${length} bytes of tensors`,
        'The file was cut short; download or copy it again',
      );
    }
    covered = end;
    before = `tensor '${name}'`;
  }
  if (covered !== length) {
    throw new InvalidOffsets(
      `${source} has ${length - covered} bytes after ${before} that belong to no tensor`,
      `Expected ${covered} bytes of tensors`,
    );
  }
}

/** `bytes` is a copy, so its buffer is aligned and its own. Hosts are little-endian, as files. */
function decodeElements(bytes: Uint8Array, dtype: HostDtype, where: string): HostTensor['data'] {
  switch (dtype) {
    case 'F32':
      return new Float32Array(bytes.buffer);
    case 'F64':
      return new Float64Array(bytes.buffer);
    case 'I32':
      return new Int32Array(bytes.buffer);
    case 'F16':
      return Float32Array.from(new Uint16Array(bytes.buffer), decodeFloat16);
    case 'BF16':
      return Float32Array.from(new Uint16Array(bytes.buffer), decodeBfloat16);
    case 'I64':
      return Float64Array.from(
        Array.from(new BigInt64Array(bytes.buffer), (integer) => {
          const value = Number(integer);
          if (!Number.isSafeInteger(value)) throw inexact(where, String(integer));
          return value;
        }),
      );
    case 'U8':
    case 'BOOL':
      return bytes;
  }
}

function encodeElements(tensor: HostTensor, where: string): Uint8Array {
  const { data, dtype } = tensor;
  switch (dtype) {
    case 'F16':
      return bytesOf(Uint16Array.from(data, encodeFloat16));
    case 'BF16':
      return bytesOf(Uint16Array.from(data, encodeBfloat16));
    case 'I64': {
      const integers = new BigInt64Array(data.length);
      data.forEach((value: number, index: number) => {
        if (!Number.isSafeInteger(value)) throw inexact(where, String(value));
        integers[index] = BigInt(value);
      });
      return bytesOf(integers);
    }
    default:
      return bytesOf(data);
  }
}

function bytesOf(array: NodeJS.TypedArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function inexact(where: string, value: string): InexactInteger {
  return new InexactInteger(
    `${where} holds the 64-bit integer ${value}`,
    'Expected whole numbers between -(2^53 - 1) and 2^53 - 1, which a double holds exactly',
  );
}

function checkTensor(name: string, { shape, dtype, data }: HostTensor): void {
  const where = `Tensor '${name}'`;
  if (name === '__metadata__') {
    throw new InvalidTensor(`${where} has a reserved name`, 'Expected another name');
  }
  if (!Object.hasOwn(bytesPerElement, dtype)) {
    throw new UnsupportedDtype(
      `${where} has dtype '${dtype}'`,
      `Expected one of ${Object.keys(bytesPerElement).join(', ')}`,
    );
  }
  if (!isCounts(shape) || elements(shape) !== data.length) {
    throw new InvalidTensor(
      `${where} has shape (${shape}) and ${data.length} elements`,
      'Expected a shape of whole numbers whose product is the number of elements',
    );
  }
  const expected = arrayOf(dtype);
  if (!(data instanceof expected)) {
    throw new InvalidTensor(
      `${where} of dtype ${dtype} is a ${(data as object).constructor.name}`,
      `Expected a ${expected.name}`,
    );
  }
}

function arrayOf(dtype: HostDtype) {
  switch (dtype) {
    case 'F32':
    case 'F16':
    case 'BF16':
      return Float32Array;
    case 'F64':
    case 'I64':
      return Float64Array;
    case 'I32':
      return Int32Array;
    case 'U8':
    case 'BOOL':
      return Uint8Array;
  }
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A short picture of a value that a damaged header may hold. */
function describe(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
