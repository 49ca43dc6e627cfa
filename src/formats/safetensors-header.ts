import { z } from 'zod';
import { at } from '../core/errors.js';
import { isRecord, shortJson } from '../core/schema.js';
import { arrayOf, bytesPerElement, type HostData, type HostDtype } from './elements.js';
import {
  HeaderTooLarge,
  InvalidHeader,
  InvalidOffsets,
  InvalidTensor,
  TensorOverlap,
  TruncatedFile,
  UnsupportedDtype,
} from './safetensors-errors.js';

/**
 * The header of a safetensors file (https://github.com/huggingface/safetensors). Eight bytes with
 * the length of a JSON header stand first, then the header, then the tensors' bytes, little-endian
 * and row-major. The header maps each name to `{ dtype, shape, data_offsets: [begin, end] }`, and
 * `__metadata__` to a record of strings. Here, as in the reference implementation, the tensors must
 * cover the bytes without gap or overlap, so a file can hide nothing and a damaged one is found out.
 */

/** The bytes before the header, which give its length. */
export const prefixBytes = 8;

/** The entry of the metadata that has sums: see `safetensors-sums`. */
export const sumsName = 'tarflow.crc32';

const maximumHeader = 100_000_000;

/** What a header says of a tensor: its bytes are those from `begin` to `end` after the header. */
export interface Entry {
  name: string;
  dtype: HostDtype;
  shape: number[];
  begin: number;
  end: number;
}

/**
 * A tensor to write: its numbers, or a function that gives them when it is their turn, at once or in
 * parts that follow one another.
 */
export interface TensorSource {
  shape: readonly number[];
  dtype: HostDtype;
  data: HostData | (() => HostData | Promise<HostData> | AsyncIterable<HostData>);
}

/**
 * The length of the header.
 *
 * @param prefix the first bytes of the file
 * @param size bytes of the whole file
 * @throws TruncatedFile, HeaderTooLarge
 */
export function headerLength(prefix: Uint8Array, size: number, source: string): number {
  if (prefix.length < prefixBytes) {
    throw new TruncatedFile(
      `${source} has ${prefix.length} bytes`,
      `A safetensors file starts with ${prefixBytes} bytes that give the length of its header`,
    );
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > maximumHeader) {
    throw new HeaderTooLarge(
      `${source} claims a header of ${length} bytes`,
      `Expected at most ${maximumHeader}; this is probably no safetensors file`,
    );
  }
  if (prefixBytes + length > size) {
    throw new TruncatedFile(
      `${source} ends after ${size} bytes, inside its header`,
      `Expected a header of ${length} bytes; download or copy the file again`,
    );
  }
  return length;
}

/**
 * What a header says, checked against the number of bytes that follow it.
 *
 * @throws InvalidHeader, UnsupportedDtype, InvalidOffsets, TensorOverlap, TruncatedFile
 */
export function decodeHeader(
  json: Uint8Array,
  bodyLength: number,
  source: string,
): { entries: Entry[]; metadata: Record<string, string> } {
  const header = parseHeader(json, source);
  const metadata = checkMetadata(header.__metadata__, source);
  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, value]) => checkEntry(name, value, source));
  checkCoverage(entries, bodyLength, source);
  return { entries, metadata };
}

/**
 * The bytes that stand before the tensors', with zeros as their sums, and the order in which those follow. The same content
 * gives the same bytes.
 *
 * @throws InvalidTensor, UnsupportedDtype, HeaderTooLarge
 */
export function encodeHeader(
  tensors: Record<string, TensorSource>,
  metadata: Record<string, string>,
): { header: Uint8Array; order: string[] } {
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') {
      throw new InvalidTensor(`Metadata '${key}' is of type ${typeof value}`, 'Expected a string');
    }
  }
  // Wider elements first, so that every tensor is aligned to its element size.
  const sources = Object.entries(tensors).sort(([a, { dtype: x }], [b, { dtype: y }]) => {
    return bytesPerElement[y] - bytesPerElement[x] || (a < b ? -1 : 1);
  });
  const parts: [string, unknown][] = [];
  parts.push(['__metadata__', { ...metadata, [sumsName]: '0'.repeat(8 * (1 + sources.length)) }]);
  let offset = 0;
  for (const [name, { shape, dtype }] of sources) {
    checkTensor(name, tensors[name]!);
    const end = offset + elements(shape) * bytesPerElement[dtype];
    parts.push([name, { dtype, shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(parts)), 'utf8');
  const length = Math.ceil(json.length / 8) * 8;
  if (length > maximumHeader) {
    throw new HeaderTooLarge(
      `The header would take ${length} bytes`,
      `Expected at most ${maximumHeader}: fewer tensors, or less metadata`,
    );
  }
  const header = new Uint8Array(prefixBytes + length).fill(0x20, prefixBytes);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, prefixBytes);
  return { header, order: sources.map(([name]) => name) };
}

/**
 * The numbers of a tensor that is to be written, in parts.
 * @throws InvalidTensor for arrays that do not fit its shape or dtype
 */
export async function* partsOf(name: string, tensor: TensorSource): AsyncGenerator<HostData> {
  const { shape, data } = tensor;
  const numbers = typeof data === 'function' ? await data() : data;
  const expected = elements(shape);
  let count = 0;
  for await (const part of Symbol.asyncIterator in numbers ? numbers : [numbers]) {
    checkType(name, tensor, part);
    count += part.length;
    if (count > expected) throw wrongShape(name, shape, count);
    yield part;
  }
  if (count < expected) throw wrongShape(name, shape, count);
}

function checkType(name: string, { dtype }: Pick<TensorSource, 'dtype'>, data: HostData): void {
  const expected = arrayOf(dtype);
  const came = data.constructor.name;
  if (!(data instanceof expected)) {
    throw new InvalidTensor(
      `Tensor '${name}' of dtype ${dtype} is a ${came}`,
      `Expected a ${expected.name}`,
    );
  }
}

/** The number of elements of a tensor of this shape. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function parseHeader(bytes: Uint8Array, source: string): Record<string, unknown> {
  let header: unknown;
  let problem = 'it is no JSON object';
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    if (text.startsWith('{')) header = JSON.parse(text);
    const twice = repeatedKey(text);
    if (twice !== undefined) {
      header = undefined;
      problem = `it has ${twice} twice`;
    }
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

/** A key that an object of a JSON text has twice, of which `JSON.parse` takes the last. */
function repeatedKey(text: string): string | undefined {
  const open: Set<string>[] = [];
  let before = '';
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:,]/gs)) {
    if (token === '{' || token === '[') open.push(new Set());
    else if (token === '}' || token === ']') open.pop();
    else if (token === ':') {
      const key = JSON.parse(before);
      if (open.at(-1)?.has(key)) return before;
      open.at(-1)?.add(key);
    }
    before = token;
  }
  return undefined;
}

function checkMetadata(value: unknown, source: string): Record<string, string> {
  if (value === undefined) return {};
  if (isRecord(value) && isTexts(value)) return value;
  throw new InvalidHeader(
    `${source}: __metadata__ is ${shortJson(value)}`,
    'Expected an object whose values are strings',
  );
}

/** What a header says of a tensor; what else it says is passed over. */
const description = z.object(
  {
    dtype: z.string('Expected a string'),
    shape: z.custom<number[]>(areCounts, 'Expected a list of whole numbers, 0 or more'),
    data_offsets: z.custom<[begin: number, end: number]>(
      (value) => areCounts(value) && value.length === 2,
      'Expected two whole numbers, begin and end',
    ),
  },
  'Expected an object with dtype, shape and data_offsets',
);

function checkEntry(name: string, value: unknown, source: string): Entry {
  const where = `${source}: tensor '${name}'`;
  const { data, error } = description.safeParse(value);
  if (!data) {
    const { path, message } = at(error.issues, 0);
    const [key] = path;
    const came = key === undefined ? value : Object(value)[key];
    const what = key === undefined ? 'is described by' : `has ${String(key)}`;
    throw new InvalidHeader(`${where} ${what} ${shortJson(came)}`, message);
  }
  const { dtype, shape, data_offsets: offsets } = data;
  if (!isDtype(dtype)) {
    throw new UnsupportedDtype(
      `${where} has dtype '${dtype}'`,
      `Expected one of ${Object.keys(bytesPerElement).join(', ')}`,
    );
  }
  const [begin, end] = offsets;
  const needed = elements(shape) * bytesPerElement[dtype];
  if (end - begin !== needed) {
    throw new InvalidOffsets(
      `${where} claims the ${end - begin} bytes from ${begin} to ${end}`,
      `Expected ${needed} bytes for shape (${shape.join(', ')}) of ${dtype}`,
    );
  }
  return { name, dtype, shape, begin, end };
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

function checkTensor(name: string, tensor: TensorSource): void {
  const { shape, dtype, data } = tensor;
  if (name === '__metadata__') {
    throw new InvalidTensor(`Tensor '${name}' has a reserved name`, 'Expected another name');
  }
  if (!Object.hasOwn(bytesPerElement, dtype)) {
    throw new UnsupportedDtype(
      `Tensor '${name}' has dtype '${dtype}'`,
      `Expected one of ${Object.keys(bytesPerElement).join(', ')}`,
    );
  }
  const count = typeof data === 'function' ? undefined : data.length;
  if (!areCounts(shape) || (count !== undefined && count !== elements(shape))) {
    throw wrongShape(name, shape, count ?? 0);
  }
  if (typeof data !== 'function') checkType(name, tensor, data);
}

function wrongShape(name: string, shape: readonly number[], count: number): InvalidTensor {
  return new InvalidTensor(
    `Tensor '${name}' has shape (${shape}) and ${count} elements`,
    'Expected a shape of whole numbers whose product is the number of elements',
  );
}

function isTexts(record: Record<string, unknown>): record is Record<string, string> {
  return Object.values(record).every((entry) => typeof entry === 'string');
}

function isDtype(name: string): name is HostDtype {
  return Object.hasOwn(bytesPerElement, name);
}

/** Whether a value is a list of whole numbers of at least 0. */
export function areCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}
