import { z } from 'zod';
import { checkedValue } from '../core/schema.js';
import { tf, tidy, withGradient } from '../core/tf.js';

/** The grey level that most pixels have: black or white. */
export type Background = 0 | 255;

export const backgroundSchema: z.ZodType<Background> = z.literal(
  [0, 255],
  'expected the grey level that most pixels have, 0 or 255, or none',
);

/** The normal distribution of background pixels is truncated so many deviations above its mean. */
export const spreadCut = 2.5;
/** Φ(spreadCut). */
const kept = 0.9937903346742238;
/** Its deviation, on the scale [−1, 1] of the other levels. */
export const spreadDeviation = 0.4;

/** Grey levels in a unit of [−1, 1]. */
const greys = 128;
/** Where black ends and level 1 begins. */
const edge = 1 / greys - 1;
/** Half the distance of numbers in single precision near −1, in grey levels. */
const leastGrey = 2 ** -18;

/**
 * The fixed, elementwise map that spreads the background: of a black pixel, the dequantisation noise
 * u becomes a truncated normal number, y = −1 + 1/128 + s(Φ⁻¹(u·Φ(k)) − k) with s = 0.4 and k = 2.5;
 * all other levels stay where they are. White is the mirror image.
 *
 * Two things make a flow bad at a background that is one level wide. An affine map of uniform noise
 * is uniform, and the best normal distribution for it takes ½·log₂(πe/6) = 0.25 bits too many for
 * each such pixel. And a block that is sure of black predicts a deviation of 0.002, so that a single
 * pixel which is not black lies hundreds of deviations off. Behind this map the noise is all but
 * normal, and its deviation 0.4. The density stays that of the pixels: the map's slope is part of it.
 *
 * @param images (batch, channels, height, width) with uniform dequantisation noise, on [−1, 1]; the
 *   density is of this range, and numbers beyond the background are read as its end
 * @returns y of the same shape, and log |det dy/dx| per image (batch), in nats; the caller frees both
 * @throws UserError for a background that is neither 0 nor 255
 */
export function spreadBackground(
  background: Background,
  images: tf.Tensor4D,
): { y: tf.Tensor4D; logDet: tf.Tensor1D } {
  checkedValue(backgroundSchema, background, 'The background', 'Choose black or white');
  return tidy(() => {
    const sign = background === 0 ? 1 : -1;
    // 1 for black pixels, 0 for others; constant, but where it jumps.
    const blackOf = (x: tf.Tensor4D) =>
      withGradient(
        [x],
        (input) => ({
          value: tf.cast(tf.less(tf.mul(input, sign), edge), 'float32'),
          saved: [],
        }),
        (dy) => [tf.zerosLike(dy)],
      );
    // log dy/dx = log(128·s·Φ(k)) − log φ(t), where t is the noise that became normal.
    const logSlope = (x: tf.Tensor4D, y: tf.Tensor4D): tf.Tensor4D => {
      const t = tf.add(tf.div(tf.sub(tf.mul(y, sign), edge), spreadDeviation), spreadCut);
      return tf.mul(blackOf(x), tf.add(tf.mul(tf.square(t), 0.5), logSlopeAtMean));
    };
    const y = withGradient(
      [images],
      (x) => {
        const grey = tf.mul(tf.add(tf.mul(x, sign), 1), greys);
        const t = normalQuantile(tf.mul(tf.clipByValue(grey, leastGrey, 1), kept));
        const black = tf.add(tf.mul(tf.sub(t, spreadCut), spreadDeviation), edge);
        const value = tf.where(tf.less(tf.mul(x, sign), edge), tf.mul(black, sign), x);
        return { value, saved: [x, value] };
      },
      (dy, [x, spread]) => [tf.mul(dy, tf.exp(logSlope(x, spread)))],
    );
    return { y, logDet: tf.sum(logSlope(images, y), [1, 2, 3]) };
  });
}

const logSlopeAtMean = Math.log(greys * spreadDeviation * kept * Math.sqrt(2 * Math.PI));

/**
 * The inverse of {@link spreadBackground}: images from any numbers.
 *
 * @param y (batch, channels, height, width)
 * @returns the same shape, on [−1, 1] where y is a spread image; the caller frees it
 * @throws UserError for a background that is neither 0 nor 255
 */
export function narrowBackground(background: Background, y: tf.Tensor4D): tf.Tensor4D {
  checkedValue(backgroundSchema, background, 'The background', 'Choose black or white');
  return tidy(() => {
    const sign = background === 0 ? 1 : -1;
    const mirrored = tf.mul(y, sign);
    const t = tf.add(tf.div(tf.sub(mirrored, edge), spreadDeviation), spreadCut);
    const lower = tf.mul(tf.add(tf.erf(tf.mul(t, Math.SQRT1_2)), 1), 0.5);
    const black = tf.sub(tf.div(tf.minimum(tf.div(lower, kept), 1), greys), 1);
    return tf.where(tf.less(mirrored, edge), tf.mul(black, sign), y);
  });
}

/**
 * What the first layer reads of images: their cut, with the background spread where the model spreads
 * one.
 *
 * @returns the cut, and where there is one the log-determinant (batch) of spreading
 */
export function cutImages<T extends tf.Tensor>(
  background: Background | undefined,
  images: tf.Tensor4D,
  cut: (images: tf.Tensor4D) => T,
): { tokens: T; logDet?: tf.Tensor1D } {
  return tidy(() => {
    if (background === undefined) return { tokens: cut(images) };
    const { y, logDet } = spreadBackground(background, images);
    return { tokens: cut(y), logDet };
  });
}

/** The way back of {@link cutImages}. */
export function joinImages<T extends tf.Tensor>(
  background: Background | undefined,
  tokens: T,
  join: (tokens: T) => tf.Tensor4D,
): tf.Tensor4D {
  return tidy(() => {
    const images = join(tokens);
    return background === undefined ? images : narrowBackground(background, images);
  });
}

/**
 * Φ⁻¹ to seven digits, by polynomials in −log(4p(1 − p)) (Giles 2012, "Approximating the erfinv
 * function", GPU Computing Gems).
 */
function normalQuantile<T extends tf.Tensor>(p: T): T {
  const q = tf.sub(1, p);
  const w = tf.neg(tf.log(tf.mul(tf.mul(p, q), 4)));
  const middle = polynomial(tf.sub(w, 2.5), [
    ...[2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087],
    ...[-0.00125372503, -0.00417768164, 0.246640727, 1.50140941],
  ]);
  const tail = polynomial(tf.sub(tf.sqrt(tf.maximum(w, 5)), 3), [
    ...[-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773],
    ...[-0.0076224613, 0.00943887047, 1.00167406, 2.83297682],
  ]);
  const factor = tf.where(tf.less(w, 5), middle, tail);
  return tf.mul(tf.mul(factor, tf.sub(p, q)), Math.SQRT2);
}

/** A polynomial by Horner's rule, the highest coefficient first. */
function polynomial<T extends tf.Tensor>(x: T, coefficients: number[]): T {
  const [highest = 0, next = 0, ...others] = coefficients;
  return others.reduce(
    (sum, coefficient) => tf.add(tf.mul(sum, x), coefficient),
    tf.add(tf.mul(x, highest), next),
  );
}
