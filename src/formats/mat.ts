import { inflateSync } from 'node:zlib';
import { UserError } from '../core/errors.js';

/** A file is no MAT file of version 5, or damaged, or holds what is not read here. */
export class InvalidMat extends UserError {
  override readonly name = 'InvalidMat';
}

/** What a variable of MATLAB is here: numbers, a text, cells, or records. */
export type MatValue = number[] | string | MatValue[] | Record<string, MatValue>[];

/** Codes of data elements and of classes of arrays in the description of the format. */
const matrixElement = 14;
const compressedElement = 15;
const cellClass = 1;
const structClass = 2;
const charClass = 4;
const firstNumberClass = 6;
const complexFlag = 0x800;

/** Readers of numbers by the code of their data element, with their widths. */
const numbers: Record<number, [width: number, read: (bytes: Buffer, at: number) => number]> = {
  1: [1, (bytes, at) => bytes.readInt8(at)],
  2: [1, (bytes, at) => bytes.readUInt8(at)],
  3: [2, (bytes, at) => bytes.readInt16LE(at)],
  4: [2, (bytes, at) => bytes.readUInt16LE(at)],
  5: [4, (bytes, at) => bytes.readInt32LE(at)],
  6: [4, (bytes, at) => bytes.readUInt32LE(at)],
  7: [4, (bytes, at) => bytes.readFloatLE(at)],
  9: [8, (bytes, at) => bytes.readDoubleLE(at)],
  12: [8, (bytes, at) => Number(bytes.readBigInt64LE(at))],
  13: [8, (bytes, at) => Number(bytes.readBigUInt64LE(at))],
  // Texts in UTF-8 and UTF-16.
  16: [1, (bytes, at) => bytes.readUInt8(at)],
  17: [2, (bytes, at) => bytes.readUInt16LE(at)],
};

/**
 * The variables of a MAT file of version 5, little-endian ("MAT-File Format", The MathWorks): arrays
 * of numbers and texts in the order of columns, cells, and records (structs). It is the form of the
 * list of classes of ImageNet's development kit.
 *
 * @param source what to call the bytes in an error, usually the file's path
 * @throws InvalidMat
 */
export function decodeMat(bytes: Uint8Array, source: string): Record<string, MatValue> {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.length < 128 || file.toString('latin1', 126, 128) !== 'IM') {
    throw new InvalidMat(
      `${source} does not begin as a MAT file of version 5 does`,
      'Fetch the file again',
    );
  }
  try {
    const found: [string, MatValue][] = [];
    for (let at = 128; at < file.length; ) {
      const element = elementAt(file, at);
      at = element.next;
      const inner =
        element.type === compressedElement ? elementAt(inflateSync(element.content), 0) : element;
      if (inner.type !== matrixElement) continue;
      const { name, value } = matrix(inner.content);
      found.push([name, value]);
    }
    return Object.fromEntries(found);
  } catch (error) {
    throw new InvalidMat(
      `${source} cannot be read as a MAT file (${(error as Error).message})`,
      'It is damaged or of a kind that is not read here; fetch it again',
    );
  }
}

/** A data element: its type, its bytes, and where the next one begins. */
interface Element {
  type: number;
  content: Buffer;
  next: number;
}

function elementAt(bytes: Buffer, at: number): Element {
  const [tag, length] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)];
  // The short form has length and type in one word, and up to four bytes behind it.
  const short = tag >>> 16;
  const [type, begin, size] = short > 0 ? [tag & 0xffff, at + 4, short] : [tag, at + 8, length];
  if (begin + size > bytes.length) throw new Error(`an element at byte ${at} is cut short`);
  const padded = type === compressedElement ? size : Math.ceil(size / 8) * 8;
  return {
    type,
    content: bytes.subarray(begin, begin + size),
    next: short > 0 ? at + 8 : begin + padded,
  };
}

/** Reads the elements of a matrix one after the other. */
class Elements {
  private at = 0;

  constructor(private readonly bytes: Buffer) {}

  next(): Element {
    const element = elementAt(this.bytes, this.at);
    this.at = element.next;
    return element;
  }

  numbers(): number[] {
    const { type, content } = this.next();
    const [width, read] = numbers[type] ?? [];
    if (width === undefined || read === undefined) throw new Error(`numbers of type ${type}`);
    return Array.from({ length: content.length / width }, (_, i) => read(content, i * width));
  }
}

function matrix(bytes: Buffer): { name: string; value: MatValue } {
  // Cells and records that were never set.
  if (bytes.length === 0) return { name: '', value: [] };
  const elements = new Elements(bytes);
  const [flags = 0] = elements.numbers();
  if ((flags & complexFlag) !== 0) throw new Error('complex numbers');
  const count = elements.numbers().reduce((product, size) => product * size, 1);
  const name = elements.next().content.toString('latin1');
  return { name, value: content(elements, flags & 0xff, count) };
}

function content(elements: Elements, kind: number, count: number): MatValue {
  const inner = (): MatValue => {
    const { type, content: bytes } = elements.next();
    if (type !== matrixElement) throw new Error(`an element of type ${type} in place of an array`);
    return matrix(bytes).value;
  };
  if (kind === cellClass) return Array.from({ length: count }, inner);
  if (kind === structClass) {
    const [width = 1] = elements.numbers();
    const names = elements.next().content;
    const keys = Array.from({ length: names.length / width }, (_, i) =>
      names.toString('latin1', i * width, (i + 1) * width).replace(/\0.*$/s, ''),
    );
    return Array.from({ length: count }, () =>
      Object.fromEntries(keys.map((key) => [key, inner()])),
    );
  }
  if (kind !== charClass && kind < firstNumberClass) throw new Error(`an array of class ${kind}`);
  const values = elements.numbers();
  if (kind === charClass) return String.fromCharCode(...values);
  if (values.length !== count) throw new Error(`${values.length} numbers of ${count}`);
  return values;
}
