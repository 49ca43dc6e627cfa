import type { FileHandle } from 'node:fs/promises';
import { UserError } from '../core/errors.js';
import { openForReading, sha256, writeAll, writeAtomically } from '../core/files.js';
import {
  bytesPerElement,
  bytesUpTo,
  type HostData,
  type HostDtype,
  readElements,
  writeElements,
} from './elements.js';
import { MissingTensor, missingRows } from './safetensors-errors.js';
import {
  decodeHeader,
  type Entry,
  elements,
  encodeHeader,
  headerLength,
  partsOf,
  prefixBytes,
  type TensorSource,
} from './safetensors-header.js';

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
   * Reads a tensor, or some rows of its first axis; each call reads it anew.
   * @throws MissingTensor, FileUnreadable, InexactInteger; TruncatedFile where the file has become
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
 *   InvalidOffsets, TensorOverlap
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const handle = await openForReading(path);
  try {
    const { size } = await handle.stat();
    const prefix = await bytesUpTo(handle, path, 0, prefixBytes);
    const length = headerLength(prefix, size, path);
    const json = await bytesUpTo(handle, path, prefixBytes, length);
    const start = prefixBytes + length;
    const { entries, metadata } = decodeHeader(json, size - start, path);
    return openFile(handle, path, { entries, metadata, start });
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
  try {
    return await use(file);
  } finally {
    await file.close();
  }
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
    for (const name of order) {
      const tensor = tensors[name]!;
      for await (const part of partsOf(name, tensor)) {
        await writeElements(handle, tensor.dtype, part, `Tensor '${name}'`);
      }
    }
  });
}

function openFile(
  handle: FileHandle,
  path: string,
  contents: { entries: Entry[]; metadata: Record<string, string>; start: number },
): SafetensorsFile {
  const { entries, metadata, start } = contents;
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  return {
    path,
    metadata,
    tensors: Object.fromEntries(
      entries.map(({ name, shape, dtype }) => [name, { shape, dtype }] as const),
    ),
    async read(name, rows) {
      const entry = byName.get(name);
      if (!entry) {
        throw new MissingTensor(path, name, [...byName.keys()]);
      }
      const { dtype, begin } = entry;
      const { first, count } = rows ?? { first: 0, count: entry.shape[0] ?? 1 };
      if (rows && !(first >= 0 && count >= 0 && first + count <= (entry.shape[0] ?? 0))) {
        throw missingRows(path, name, rows, entry.shape);
      }
      const row = entry.shape.slice(1);
      const shape = rows ? [count, ...row] : [...entry.shape];
      const skipped = first * elements(row) * bytesPerElement[dtype];
      const place = { dtype, count: elements(shape), position: start + begin + skipped };
      const data = await readElements(handle, place, path, `tensor '${name}'`);
      return { shape, dtype, data };
    },
    sha256: () => sha256(handle, path),
    close: () => handle.close(),
  };
}
