import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { UserError } from '../core/errors.js';
import { openForReading, sha256, writeAll, writeAtomically } from '../core/files.js';
import {
  arrayOf,
  bytesPerElement,
  bytesUpTo,
  type HostData,
  type HostDtype,
  readElements,
  writeElements,
} from './elements.js';
import { MissingTensor, OtherBytes } from './safetensors-errors.js';
import {
  decodeHeader,
  elements,
  encodeHeader,
  headerLength,
  partsOf,
  prefixBytes,
  sumsName,
  type TensorSource,
} from './safetensors-header.js';
import { checkedSums, hexadecimal, sumsOf } from './safetensors-sums.js';

export type { HostData, HostDtype, TensorSource };

/** A tensor in ordinary memory; `dtype` says how a file stores it. */
export interface HostTensor {
  shape: number[];
  dtype: HostDtype;
  data: HostData;
}

/** What a safetensors file holds. */
export interface Safetensors {
  tensors: Record<string, HostTensor>;
  metadata: Record<string, string>;
}

/** Rows of a tensor's first axis. */
export interface Rows {
  first: number;
  count: number;
}

/** An open safetensors file, of whatever size: its tensors are read one by one. */
export interface SafetensorsFile {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Shapes and element types by name. */
  readonly tensors: Readonly<Record<string, Pick<HostTensor, 'shape' | 'dtype'>>>;
  /**
   * Reads a tensor, or some rows of its first axis; each call reads it anew. A whole one is checked by its
   * sum, where the file has sums.
   * @throws OtherBytes, MissingTensor, FileUnreadable, InexactInteger; TruncatedFile where the file has become
   *   shorter since it was opened; RangeError for rows that the tensor does not have
   */
  read(name: string, rows?: Rows): Promise<HostTensor>;
  /** The SHA-256 of the whole file, in hexadecimal. */
  sha256(): Promise<string>;
  close(): Promise<void>;
}

/**
 * Opens a safetensors file and reads its header, so that everything but the numbers is checked.
 *
 * @returns the open file, which the caller closes
 * @throws FileUnreadable, TruncatedFile, HeaderTooLarge, InvalidHeader, UnsupportedDtype,
 *   InvalidOffsets, TensorOverlap, OtherBytes
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const handle = await openForReading(path);
  try {
    const { size } = await handle.stat();
    const prefix = await bytesUpTo(handle, path, 0, prefixBytes);
    const length = headerLength(prefix, size, path);
    const json = await bytesUpTo(handle, path, prefixBytes, length);
    const start = prefixBytes + length;
    const { entries, metadata: all } = decodeHeader(json, size - start, path);
    const { [sumsName]: written, ...metadata } = all;
    const sums = checkedSums(json, written, path);
    const stored = entries.map(({ name, dtype, shape, begin }, i): [string, StoredTensor] => {
      const place = { position: start + begin, strides: rowByRow(shape), sum: sums?.[i] };
      return [name, { dtype, shape, ...place }];
    });
    return tensorsOfFile(handle, path, metadata, new Map(stored));
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * What comes of an open safetensors file, which is closed then.
 * @throws as {@link openSafetensors} and `use` do
 */
export async function withSafetensors<T>(
  path: string,
  use: (file: SafetensorsFile) => Promise<T>,
): Promise<T> {
  const file = await openSafetensors(path);
  return use(file).finally(() => file.close());
}

/**
 * Reads a whole safetensors file.
 * @throws as {@link openSafetensors} and {@link SafetensorsFile.read} do
 */
export async function readSafetensors(path: string): Promise<Safetensors> {
  return withSafetensors(path, async (file) => {
    const tensors: [string, HostTensor][] = [];
    for (const name of Object.keys(file.tensors)) tensors.push([name, await file.read(name)]);
    // fromEntries, because an assignment to the name `__proto__` would be lost.
    return { tensors: Object.fromEntries(tensors), metadata: { ...file.metadata } };
  });
}

/**
 * The shape of a tensor of 32 or 16 bits.
 *
 * @param axes for each axis its size, or where any above 0 will do what it is called in an error
 * @param what the tensor is called in an error, in the plural
 * @throws UserError where the tensor is absent, or of another form
 */
export function floatShape<const A extends readonly (string | number)[]>(
  { path, tensors }: Pick<SafetensorsFile, 'path' | 'tensors'>,
  name: string,
  axes: A,
  what = name,
): { [K in keyof A]: number } {
  const expected = `Expected a tensor ${name} (${axes.join(', ')}) of F32, BF16 or F16`;
  const found = Object.hasOwn(tensors, name) ? tensors[name] : undefined;
  if (!found) {
    throw new UserError(`${path} holds ${Object.keys(tensors).join(', ') || 'nothing'}`, expected);
  }
  const { shape, dtype } = found;
  const fits = axes.every((axis, i) => (typeof axis === 'number' ? shape[i] === axis : shape[i]));
  if (fits && shape.length === axes.length && ['F32', 'BF16', 'F16'].includes(dtype)) {
    return shape as { [K in keyof A]: number };
  }
  throw new UserError(`The ${what} of ${path} are (${shape.join(', ')}) of ${dtype}`, expected);
}

/**
 * Writes a safetensors file, whole or not at all; the same content gives the same bytes. Tensors are
 * written one after another: where their data are functions, one of them at a time is in memory, or a
 * part of it.
 * F16 and BF16 are rounded to nearest, ties to even.
 *
 * @throws FileUnwritable; HeaderTooLarge; UnsupportedDtype; InvalidTensor for an array that does not
 *   fit its shape or dtype; InexactInteger for an I64 that is no whole number of at most 53 bits;
 *   Overflow for a finite number that would be stored as infinity
 */
export async function writeSafetensors(
  path: string,
  tensors: Record<string, TensorSource>,
  metadata: Record<string, string> = {},
): Promise<void> {
  const { header, order } = encodeHeader(tensors, metadata);
  await writeAtomically(path, async (handle) => {
    await writeAll(handle, header);
    const sums: number[] = [];
    for (const name of order) {
      const tensor = tensors[name]!;
      let sum = 0;
      const write = async (bytes: Uint8Array) => {
        // Of nothing, Node's sum begins anew.
        if (bytes.length > 0) sum = crc32(bytes, sum);
        await writeAll(handle, bytes);
      };
      for await (const part of partsOf(name, tensor)) {
        await writeElements(write, tensor.dtype, part, `Tensor '${name}'`);
      }
      sums.push(sum);
    }
    const { position, bytes } = sumsOf(header, sums);
    await writeAll(handle, bytes, position);
  });
}

/** A tensor in a file, whose numbers are not read. */
export interface StoredTensor {
  dtype: HostDtype;
  shape: readonly number[];
  /** Where its first element begins, in bytes. */
  position: number;
  /** How many elements of the file lead from one to the next along each axis. */
  strides: readonly number[];
  /** The CRC-32 of its bytes, in hexadecimal, where that is known. */
  sum?: string | undefined;
}

/** The strides of elements that lie row by row, without gaps. */
function rowByRow(shape: readonly number[]): number[] {
  return shape.map((_, axis) => elements(shape.slice(axis + 1)));
}

/** The elements of a file from the first to the last one of a tensor. */
export function stretchOf(shape: readonly number[], strides: readonly number[]): number {
  if (elements(shape) === 0) return 0;
  return shape.reduce((sum, side, axis) => sum + (side - 1) * strides[axis]!, 1);
}

/** Named tensors of an open file, which are read one by one. */
export function tensorsOfFile(
  handle: FileHandle,
  path: string,
  metadata: Record<string, string>,
  stored: ReadonlyMap<string, StoredTensor>,
): SafetensorsFile {
  return {
    path,
    metadata,
    tensors: Object.fromEntries(
      [...stored].map(([name, { shape, dtype }]) => [name, { shape: [...shape], dtype }]),
    ),
    async read(name, rows) {
      const tensor = stored.get(name);
      if (!tensor) throw new MissingTensor(path, name, [...stored.keys()]);
      const { dtype, shape: whole, position, strides, sum } = tensor;
      const [length = 0, ...row] = whole;
      if (rows && !(rows.first >= 0 && rows.count >= 0 && rows.first + rows.count <= length)) {
        throw new RangeError(
          `Rows ${rows.first} to ${rows.first + rows.count} of tensor '${name}' in ${path} were asked for. Its shape is (${whole}): expected rows within 0 to ${length}.`,
        );
      }
      const shape = rows ? [rows.count, ...row] : [...whole];
      const skipped = (rows?.first ?? 0) * (strides[0] ?? 0) * bytesPerElement[dtype];
      const place = { dtype, count: stretchOf(shape, strides), position: position + skipped };
      let found = 0;
      const where = `tensor '${name}'`;
      const stretch = await readElements(handle, place, path, where, (bytes) => {
        if (sum !== undefined && !rows) found = crc32(bytes, found);
      });
      if (sum !== undefined && !rows && hexadecimal(found) !== sum) {
        throw new OtherBytes(`${path}: ${where}`);
      }
      return { shape, dtype, data: inRows(stretch, dtype, shape, strides) };
    },
    sha256: () => sha256(handle, path),
    close: () => handle.close(),
  };
}

/** The elements of a tensor in the order of its rows, from the stretch of the file in which they lie. */
function inRows(
  stretch: HostData,
  dtype: HostDtype,
  shape: readonly number[],
  strides: readonly number[],
): HostData {
  const usual = rowByRow(shape);
  if (shape.every((side, axis) => side === 1 || strides[axis] === usual[axis])) return stretch;
  const data = new (arrayOf(dtype))(elements(shape));
  const index = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < data.length; to++) {
    data[to] = stretch[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const stride = strides[axis]!;
      index[axis]! += 1;
      from += stride;
      if (index[axis]! < shape[axis]!) break;
      from -= stride * shape[axis]!;
      index[axis] = 0;
    }
  }
  return data;
}
