import { UserError } from '../core/errors.js';
import { gunzipped } from './tar.js';

/** A file is no IDX file of unsigned bytes, or damaged. */
export class InvalidIdx extends UserError {}

/**
 * Decodes an IDX file of unsigned bytes, the format of MNIST and of the sets that take its place
 * (http://yann.lecun.com/exdb/mnist): two zero bytes, the element type, the number of dimensions,
 * each dimension as a big-endian 32-bit integer, then the elements in row-major order.
 *
 * @param bytes the file, plain or compressed by gzip
 * @param source what to call the bytes in an error, usually the file's path
 * @throws InvalidIdx
 */
export function decodeIdx(
  bytes: Uint8Array,
  source = 'IDX data',
): { shape: number[]; data: Uint8Array } {
  const plain = gunzipped(bytes, (why) => {
    return new InvalidIdx(`${source} cannot be decompressed (${why})`, 'Fetch the file again');
  });
  const [zero, zeroToo, type, dimensions] = plain;
  if (zero !== 0 || zeroToo !== 0 || type === undefined || dimensions === undefined) {
    throw new InvalidIdx(
      `${source} begins with the bytes [${plain.subarray(0, 4).join(', ')}]`,
      'An IDX file begins with 0, 0, its element type and its number of dimensions',
    );
  }
  if (type !== 0x08) {
    throw new InvalidIdx(
      `${source} has element type 0x${type.toString(16).padStart(2, '0')}`,
      'Expected 0x08, unsigned bytes',
    );
  }
  const begin = 4 + 4 * dimensions;
  if (dimensions === 0 || plain.length < begin) {
    throw new InvalidIdx(
      `${source} says it has ${dimensions} dimensions in a file of ${plain.length} bytes`,
      'Expected one dimension or more, each given by four bytes',
    );
  }
  const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength);
  const shape = Array.from({ length: dimensions }, (_, axis) => view.getUint32(4 + 4 * axis));
  const expected = shape.reduce((product, size) => product * size, 1);
  const data = new Uint8Array(plain.subarray(begin));
  if (data.length !== expected) {
    throw new InvalidIdx(
      `${source} holds ${data.length} elements`,
      `Expected ${expected} for its shape (${shape.join(', ')}); fetch the file again`,
    );
  }
  return { shape, data };
}
