import { at } from '../core/errors.js';
import { tf } from '../core/tf.js';

/** Cosines and sines (tokens, width) by which queries and keys are rotated, a row per token. */
export interface Rotary {
  cos: tf.Tensor2D;
  sin: tf.Tensor2D;
}

/**
 * Rotary positions (Su et al. 2021, arXiv 2104.09864): each pair of numbers, 0 and 1, 2 and 3 and so
 * on, is turned by the angle of its token.
 *
 * @param x (…, tokens, width); width is even
 * @param rotary (tokens, width), both numbers of a pair with the same angle
 * @returns the same shape
 */
export function rotated<T extends tf.Tensor>(x: T, { cos, sin }: Rotary): T {
  const width = at(x.shape, -1);
  const rows = tf.reshape(x, [-1, width]);
  // A product, since moving the numbers of pairs one by one takes several passes over memory.
  const turned = tf.reshape(tf.matMul(rows, quarterTurn(width)), x.shape);
  return tf.add<tf.Tensor, T>(tf.mul(x, cos), tf.mul(turned, sin));
}

/** The map (width, width) of (a, b) to (−b, a) for every pair, from the right. */
function quarterTurn(width: number): tf.Tensor2D {
  const map = new Float32Array(width * width);
  for (let first = 0; first < width; first += 2) {
    map[first * width + first + 1] = 1;
    map[(first + 1) * width + first] = -1;
  }
  return tf.tensor2d(map, [width, width]);
}

/** Rows `first` … `first + count − 1` of cosines and sines. */
export function rotaryRows({ cos, sin }: Rotary, first: number, count: number): Rotary {
  const rows = (table: tf.Tensor2D): tf.Tensor2D => tf.slice(table, [first, 0], [count, -1]);
  return { cos: rows(cos), sin: rows(sin) };
}

/** Cosines and sines of a table of angles (tokens, width). */
export function rotaryOf(angles: tf.Tensor2D): Rotary {
  return { cos: tf.cos(angles), sin: tf.sin(angles) };
}
