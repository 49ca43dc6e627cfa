import { foldIn, integers, randomKey } from '../../src/core/random.js';

/** Numbers at which readers go wrong. */
const extremes = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];
const words = [
  '-1',
  '0',
  '1e999',
  '2000000000',
  '9007199254740993',
  'null',
  '[]',
  '{}',
  '""',
  '"x"',
  '1.5',
  // Deeper than a reader may go into itself.
  '['.repeat(20_000) + ']'.repeat(20_000),
];

/** A damaged copy of some bytes: one of several kinds of damage, or two, by its number. */
export function mutated(bytes: Uint8Array, number: number): Uint8Array {
  const key = foldIn(randomKey(1), number);
  const draw = (what: string, high: number) =>
    integers(foldIn(key, what), 1, 0, Math.max(1, high))[0]!;
  const kinds = Object.values(damages);
  let damaged = new Uint8Array(bytes);
  for (let time = 0; time <= draw('twice', 2); time++) {
    const kind = kinds[draw(`kind ${time}`, kinds.length)]!;
    damaged = new Uint8Array(kind(damaged, (what, high) => draw(`${what} ${time}`, high)));
  }
  return damaged;
}

type Draw = (what: string, high: number) => number;

const damages: Record<string, (bytes: Uint8Array, draw: Draw) => Uint8Array> = {
  bit(bytes, draw) {
    const at = draw('at', bytes.length);
    bytes[at] = bytes[at]! ^ (1 << draw('bit', 8));
    return bytes;
  },
  cut: (bytes, draw) => bytes.subarray(0, draw('length', bytes.length)),
  /** Where lengths and places stand, at the end of an archive above all. */
  tail(bytes, draw) {
    const at = Math.max(0, bytes.length - 1 - draw('at', 100));
    bytes[at] = draw('byte', 256);
    return bytes;
  },
  /** A little- or big-endian number of 1, 2, 4 or 8 bytes. */
  number(bytes, draw) {
    const [width, at] = [2 ** draw('width', 4), draw('at', bytes.length)];
    const value = extremes[draw('value', extremes.length)]!;
    for (let i = 0; i < width && at + i < bytes.length; i++) {
      const place = draw('order', 2) === 0 ? i : width - 1 - i;
      bytes[at + i] = place < 4 ? (value >>> (8 * place)) & 0xff : value === 0xffffffff ? 0xff : 0;
    }
    return bytes;
  },
  repeat(bytes, draw) {
    const [from, length] = [draw('from', bytes.length), draw('length', 64)];
    return Buffer.concat([bytes.subarray(0, from + length), bytes.subarray(from)]);
  },
  remove(bytes, draw) {
    const [from, length] = [draw('from', bytes.length), 1 + draw('length', 64)];
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + length)]);
  },
  /** A number or a text in a header of letters, by another value. */
  word(bytes, draw) {
    const text = Buffer.from(bytes).toString('latin1');
    const found = [...text.matchAll(/"[^"\n]{0,40}"|\d+/g)];
    const one = found[draw('which', found.length)];
    if (!one) return bytes;
    const word = words[draw('word', words.length)]!;
    return Buffer.from(
      text.slice(0, one.index) + word + text.slice(one.index + one[0].length),
      'latin1',
    );
  },
  /** Parts of a file in another order. */
  swap(bytes, draw) {
    const at = draw('at', bytes.length);
    return Buffer.concat([bytes.subarray(at), bytes.subarray(0, at)]);
  },
};
