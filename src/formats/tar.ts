import { gunzipSync } from 'node:zlib';
import { UserError } from '../core/errors.js';
import { readBytes } from '../core/files.js';

/** A tar archive is damaged, cut short, or no tar archive. */
export class InvalidTar extends UserError {}

/** Bytes that are read by their place: those of an open file, of a part of one, or in memory. */
export interface TarBytes {
  /** What to call them in an error. */
  name: string;
  /** Where the archive begins, and where its bytes end. */
  begin: number;
  end: number;
  /** Bytes from a place on; fewer where they end before. */
  read(position: number, length: number): Promise<Uint8Array>;
}

/** A file in an archive, which is not read: where its bytes lie. */
export interface TarEntry {
  name: string;
  position: number;
  length: number;
}

const block = 512;

/**
 * The files of a tar archive in their order, by the headers of ustar, GNU tar (long names, sizes above
 * 8 GiB) and pax. Only the headers are read. Folders and links are left out.
 *
 * @throws InvalidTar, also where the archive lacks its end, as one that was cut short does
 */
export async function* tarEntries(bytes: TarBytes): AsyncGenerator<TarEntry> {
  /** What a header says of the next one. */
  let next: { name?: string; length?: number } = {};
  for (let at = bytes.begin; ; ) {
    if (at + block > bytes.end) throw cutShort(bytes, at);
    const header = await bytes.read(at, block);
    if (header.every((byte) => byte === 0)) return;
    const type = String.fromCharCode(header[156]!);
    const extension = type === 'L' || type === 'x' || type === 'K' || type === 'g';
    const length = (extension ? undefined : next.length) ?? checkedLength(bytes, header, at);
    const position = at + block;
    if (position + length > bytes.end) throw cutShort(bytes, at);
    at = position + Math.ceil(length / block) * block;
    if (type === 'L') {
      next = { ...next, name: textOf(await bytes.read(position, length)) };
    } else if (type === 'x') {
      next = { ...next, ...paxRecords(bytes, await bytes.read(position, length)) };
    } else if (!extension) {
      const name = next.name ?? nameOf(header);
      next = {};
      if (type === '0' || type === '\0' || type === '7') yield { name, position, length };
    }
  }
}

/**
 * An archive in memory, for those of some megabytes.
 * @param file plain or compressed by gzip
 * @throws InvalidTar where it cannot be decompressed; FileUnreadable
 */
export async function tarInMemory(file: string): Promise<TarBytes> {
  const bytes = gunzipped(await readBytes(file), (why) => {
    const remedy = 'It is damaged or cut short; fetch it again';
    return new InvalidTar(`${file} cannot be decompressed (${why})`, remedy);
  });
  return {
    name: file,
    begin: 0,
    end: bytes.length,
    read: async (position, length) => bytes.subarray(position, position + length),
  };
}

/**
 * Bytes that may be compressed by gzip, decompressed.
 * @param damaged what to throw where they cannot be
 */
export function gunzipped(bytes: Uint8Array, damaged: (why: string) => UserError): Uint8Array {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    // Real data take a tenth of their size at the least; what grows far more is made to fill the memory.
    return gunzipSync(bytes, { maxOutputLength: Math.max(2 ** 28, 64 * bytes.length) });
  } catch (error) {
    throw damaged((error as Error).message);
  }
}

function cutShort({ name }: TarBytes, at: number): InvalidTar {
  return new InvalidTar(
    `The tar archive ${name} ends inside the entry at byte ${at}, or lacks its end`,
    'It is cut short; fetch or copy it again',
  );
}

/** The length of an entry, of a header whose sum is right. */
function checkedLength({ name }: TarBytes, header: Uint8Array, at: number): number {
  const sum = header.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0);
  const length = numberIn(header, 124, 12);
  if (numberIn(header, 148, 8) === sum && length !== undefined) return length;
  throw new InvalidTar(
    `${name} has no header of a tar archive at byte ${at}`,
    'Expected a tar archive, not compressed; fetch it again if it should be one',
  );
}

/** A number in octal digits, or, where the first bit is set, in binary. */
function numberIn(header: Uint8Array, begin: number, length: number): number | undefined {
  const field = header.subarray(begin, begin + length);
  if ((field[0]! & 0x80) !== 0) {
    return field.reduce((value, byte, i) => value * 256 + (i === 0 ? byte & 0x7f : byte), 0);
  }
  const text = textOf(field).trim();
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined;
}

function nameOf(header: Uint8Array): string {
  const name = textOf(header.subarray(0, 100));
  const isPosix = textOf(header.subarray(257, 263)) === 'ustar';
  const prefix = isPosix ? textOf(header.subarray(345, 500)) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** Up to the first zero. */
function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString();
}

/** `LENGTH key=value` lines, of which a name and a size matter. */
function paxRecords({ name }: TarBytes, bytes: Uint8Array): { name?: string; length?: number } {
  const found: { name?: string; length?: number } = {};
  for (let at = 0; at < bytes.length; ) {
    const digits = textOf(bytes.subarray(at, at + 20)).match(/^(\d+) /)?.[1];
    if (digits === undefined) break;
    const record = Buffer.from(bytes.subarray(at + digits.length + 1, at + Number(digits) - 1));
    const text = record.toString();
    if (text.startsWith('path=')) found.name = text.slice('path='.length);
    const size = /^size=(.*)\n?$/.exec(text)?.[1];
    if (size !== undefined) found.length = /^\d{1,15}$/.test(size) ? Number(size) : undefined;
    if (size !== undefined && found.length === undefined) {
      throw new InvalidTar(`${name} has an entry of size ${size.slice(0, 40)}`, 'Fetch it again');
    }
    at += Math.max(1, Number(digits));
  }
  return found;
}
