import { UserError } from './errors.js';

/**
 * Explicit randomness. A key is a number that stands for a stream; the same key gives the same
 * numbers on every engine. Nothing here is global: each use (a step, a purpose) derives a key of its
 * own with {@link foldIn}, so a run can be resumed at any step without saved state.
 */
export interface RandomKey {
  readonly high: number;
  readonly low: number;
}

/**
 * A key from a seed: any safe integer, 0 included.
 *
 * @throws UserError for any other number
 */
export function randomKey(seed: number): RandomKey {
  if (!Number.isSafeInteger(seed)) {
    throw new UserError(`The seed is ${seed}`, 'Expected a whole number between -2^53 and 2^53');
  }
  const low = seed >>> 0;
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  return { high: mix(high ^ 0x9e3779b9), low: mix(low ^ mix(high ^ 0x85ebca6b)) };
}

/**
 * A new key from a key and a whole number from 0 to 2³² − 1 (a step) or a name (a purpose). Other numbers
 * lose their fraction and are taken modulo 2³².
 */
export function foldIn(key: RandomKey, data: number | string): RandomKey {
  const word = typeof data === 'number' ? data >>> 0 : hash(data);
  const low = mix(key.low ^ mix((word + 0x9e3779b9) >>> 0));
  const high = mix(key.high ^ mix((low + word) >>> 0));
  return { high, low };
}

/** `count` standard normal numbers (Box–Muller in double precision, rounded to float32). */
export function normal(key: RandomKey, count: number): Float32Array {
  const out = new Float32Array(count);
  normalInto(key, out, 0, count);
  return out;
}

/** The numbers of {@link normal}, written into `out` from `offset` on. */
export function normalInto(key: RandomKey, out: Float32Array, offset: number, count: number): void {
  const stream = streamOf(key);
  const end = offset + count;
  for (let first = offset; first < end; first += scratch.length) {
    const last = Math.min(end, first + scratch.length);
    const drawn = fill(stream, scratch, last - first + ((last - first) % 2));
    for (let i = first, from = 0; i < last; i += 2, from += 2) {
      // 1 − u lies in (0, 1], so the logarithm is finite.
      const radius = Math.sqrt(-2 * Math.log(1 - (drawn[from] ?? 0)));
      const angle = 2 * Math.PI * (drawn[from + 1] ?? 0);
      out[i] = radius * Math.cos(angle);
      if (i + 1 < last) out[i + 1] = radius * Math.sin(angle);
    }
  }
}

/** `count` numbers uniform in [0, 1). */
export function uniform(key: RandomKey, count: number): Float32Array {
  const out = new Float32Array(count);
  uniformInto(key, out, 0, count);
  return out;
}

/** The numbers of {@link uniform}, written into `out` from `offset` on. */
export function uniformInto(
  key: RandomKey,
  out: Float32Array,
  offset: number,
  count: number,
): void {
  const stream = streamOf(key);
  const end = offset + count;
  for (let first = offset; first < end; first += scratch.length) {
    const last = Math.min(end, first + scratch.length);
    const drawn = fill(stream, scratch, last - first);
    // 24 bits, so that rounding to float32 never gives 1.
    for (let i = first, from = 0; i < last; i++, from++) {
      out[i] = Math.floor((drawn[from] ?? 0) * 2 ** 24) / 2 ** 24;
    }
  }
}

/**
 * `count` integers uniform in [low, high).
 *
 * @throws UserError where that range is empty
 */
export function integers(key: RandomKey, count: number, low: number, high: number): Int32Array {
  if (!(high > low)) {
    throw new UserError(
      `The range from ${low} to ${high} is empty`,
      'Expected high to be larger than low',
    );
  }
  return Int32Array.from(draws(key, count), (draw) => low + Math.floor(draw * (high - low)));
}

/** A permutation of 0 … length − 1 (Fisher–Yates). */
export function permutation(key: RandomKey, length: number): Int32Array {
  const drawn = draws(key, length);
  const order = Int32Array.from({ length }, (_, index) => index);
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor((drawn[length - 1 - i] ?? 0) * (i + 1));
    const [held = i, other = j] = [order[i], order[j]];
    order[i] = other;
    order[j] = held;
  }
  return order;
}

/** `count` doubles in [0, 1) with 32 random bits. */
function draws(key: RandomKey, count: number): Float64Array {
  return fill(streamOf(key), new Float64Array(count), count);
}

/** The state of xoshiro128** (Blackman and Vigna 2018). */
type Stream = [a: number, b: number, c: number, d: number];

function streamOf({ high, low }: RandomKey): Stream {
  return [
    mix(low + 0x9e3779b9),
    mix(high + 0x3c6ef372),
    mix(low ^ 0xdaa66d2b),
    mix(high ^ 0x78dde6e4) | 1, // never all zero
  ];
}

/** Where numbers lie on their way: an even count of them, and few enough for the nearest cache. */
const scratch = new Float64Array(1024);

/** Writes the next `count` doubles of a stream to the beginning of `out`. */
function fill(stream: Stream, out: Float64Array, count: number): Float64Array {
  let [a, b, c, d] = stream;
  for (let i = 0; i < count; i++) {
    const product = Math.imul(b, 5);
    out[i] = (Math.imul((product << 7) | (product >>> 25), 9) >>> 0) / 2 ** 32;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
  }
  stream[0] = a;
  stream[1] = b;
  stream[2] = c;
  stream[3] = d;
  return out;
}

/** A bijective mixer of 32-bit words (the finaliser of MurmurHash3). */
function mix(word: number): number {
  let x = word >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** FNV-1a. */
function hash(text: string): number {
  let x = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) x = Math.imul(x ^ byte, 0x01000193);
  return x >>> 0;
}
