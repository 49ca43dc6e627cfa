/**
 * How pixels along one axis are made of others: (to, from), row by row. Applied to both axes it
 * resizes an image.
 */
export interface Resampling {
  to: number;
  from: number;
  weights: Float32Array;
}

/** The cubic convolution kernel (Keys 1981), which is 0 from a distance of 2 on. */
function cubic(distance: number, sharpness: number): number {
  const x = Math.abs(distance);
  if (x >= 2) return 0;
  return x < 1
    ? ((sharpness + 2) * x - (sharpness + 3)) * x * x + 1
    : (((x - 5) * x + 8) * x - 4) * sharpness;
}

/** Pillow's weights for pixels of 8 bits are whole multiples of 1/2²². */
const fixedPoint = 2 ** 22;

/**
 * Bicubic resampling as Pillow does it: the kernel (sharpness −0.5) is widened where pixels become
 * fewer, so that none is left out, and cut off at the border.
 */
export function smoothBicubic(from: number, to: number): Resampling {
  const weights = new Float32Array(to * from);
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  for (let row = 0; row < to; row++) {
    const centre = (row + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * stretch + 0.5));
    const last = Math.min(from, Math.trunc(centre + 2 * stretch + 0.5));
    const raw = Array.from({ length: last - first }, (_, i) =>
      cubic((first + i - centre + 0.5) / stretch, -0.5),
    );
    const total = raw.reduce((sum, value) => sum + value, 0);
    raw.forEach((value, i) => {
      weights[row * from + first + i] = Math.round((value / total) * fixedPoint) / fixedPoint;
    });
  }
  return { to, from, weights };
}

/**
 * Bicubic interpolation as PyTorch does it (sharpness −0.75, pixels at their centres, the border
 * repeated), without regard to pixels that are left out.
 *
 * @param step pixels of the source from one of the result to the next. Default `from / to`.
 */
export function plainBicubic(from: number, to: number, step = from / to): Resampling {
  const weights = new Float32Array(to * from);
  for (let row = 0; row < to; row++) {
    const place = (row + 0.5) * step - 0.5;
    const first = Math.floor(place) - 1;
    for (let i = 0; i < 4; i++) {
      const at = Math.min(Math.max(first + i, 0), from - 1);
      const index = row * from + at;
      weights[index] = (weights[index] as number) + cubic(place - first - i, -0.75);
    }
  }
  return { to, from, weights };
}
