/** Pixels side by side: (height, width, channels), values 0 … 255. */
export interface Pixels {
  channels: number;
  height: number;
  width: number;
  data: Uint8Array;
}

/** Height and width in pixels. */
export interface Extent {
  height: number;
  width: number;
}

/**
 * The transform of the published code: scaled until the image covers the size asked for, by
 * torchvision's `Resize(S)`, and the middle cut out, by its `CenterCrop(S)`. On images of PIL that is
 * a triangle filter, as wide as the scale, on eight bits with fixed-point weights, first along the
 * rows and rounded, then along the columns. The bits are those of Pillow.
 *
 * @param target height and width; the published code has them equal
 * @returns (channels, height, width), row by row
 */
export function resizedAndCropped(image: Pixels, target: Extent): Uint8Array {
  if (image.channels === 1) {
    // As three equal channels: a path of its own would be faster, and seldom taken.
    const data = new Uint8Array(3 * image.data.length).map(
      (_, i) => image.data[Math.floor(i / 3)]!,
    );
    const planes = resizedAndCropped({ ...image, channels: 3, data }, target);
    return planes.slice(0, target.height * target.width);
  }
  const scaled = coveringExtent(image, target);
  const [left, top] = [centred(scaled.width, target.width), centred(scaled.height, target.height)];
  const columns = taps(image.width, scaled.width, left, target.width);
  const rows = taps(image.height, scaled.height, top, target.height);
  return alongColumns(alongRows(image, columns, rows), rows);
}

/** torchvision's size of the scaled image: the side that must fit is exact, the other rounded down. */
export function coveringExtent({ height, width }: Extent, target: Extent): Extent {
  if (target.width * height >= target.height * width) {
    return {
      height: Math.floor((target.width * height) / width),
      width: target.width,
    };
  }
  return {
    height: target.height,
    width: Math.floor((target.height * width) / height),
  };
}

/** Where the middle begins: Python rounds halves to the even number. */
function centred(outer: number, inner: number): number {
  const half = (outer - inner) / 2;
  const floor = Math.floor(half);
  return half - floor === 0.5 ? floor + (floor % 2) : Math.round(half);
}

/** Bits behind the point of a weight: products of a grey level and sums of them fit into 32 bits. */
const precision = 22;
const half = 1 << (precision - 1);

/** From which pixels of a line those of the scaled line are mixed. */
interface Taps {
  /** The first pixel of each. */
  first: Int32Array;
  /** How many there are of each. */
  count: Int32Array;
  /** (pixels, widest) whole numbers; they sum to about 2²². */
  weights: Int32Array;
  widest: number;
}

/**
 * Weights of the pixels `begin` … `begin + length − 1` of a line that is scaled from `from` pixels
 * to `to`.
 */
function taps(from: number, to: number, begin: number, length: number): Taps {
  const scale = from / to;
  const support = Math.max(scale, 1);
  const widest = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(length);
  const count = new Int32Array(length);
  const weights = new Int32Array(length * widest);
  for (let i = 0; i < length; i++) {
    const centre = (begin + i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - support + 0.5));
    const high = Math.min(from, Math.trunc(centre + support + 0.5));
    const exact = Array.from({ length: high - low }, (_, j) => {
      const distance = Math.abs((j + low - centre + 0.5) * (1 / support));
      return distance < 1 ? 1 - distance : 0;
    });
    const sum = exact.reduce((total, weight) => total + weight, 0);
    first[i] = low;
    count[i] = high - low;
    exact.forEach((weight, j) => {
      const share = sum === 0 ? weight : weight / sum;
      weights[i * widest + j] = Math.trunc(0.5 + share * (1 << precision));
    });
  }
  return { first, count, weights, widest };
}

/** Rows that are scaled already, of which the first is row `top` of the image. */
interface ScaledRows extends Extent {
  top: number;
  data: Uint8Array;
}

/** The rows that are needed, each scaled to the columns asked for: (height, width, 3). */
function alongRows(image: Pixels, columns: Taps, rows: Taps): ScaledRows {
  const top = rows.first[0]!;
  const height = rows.first.at(-1)! + rows.count.at(-1)! - top;
  const width = columns.first.length;
  const data = new Uint8Array(height * width * 3);
  for (let y = 0; y < height; y++) {
    scaleRow(image.data, (top + y) * image.width * 3, columns, data, y * width * 3);
  }
  return { height, width, data, top };
}

/** Most of the time goes here: a call for each pixel would double it. */
function scaleRow(
  source: Uint8Array,
  row: number,
  { first, count, weights, widest }: Taps,
  target: Uint8Array,
  begin: number,
): void {
  for (let x = 0, to = begin; x < first.length; x++, to += 3) {
    let red = half;
    let green = half;
    let blue = half;
    const end = x * widest + count[x]!;
    for (let k = x * widest, i = row + 3 * first[x]!; k < end; k++, i += 3) {
      const weight = weights[k]!;
      red = (red + source[i]! * weight) | 0;
      green = (green + source[i + 1]! * weight) | 0;
      blue = (blue + source[i + 2]! * weight) | 0;
    }
    target[to] = levelOf(red);
    target[to + 1] = levelOf(green);
    target[to + 2] = levelOf(blue);
  }
}

/** Scaled rows, scaled along their columns: (3, height, width). */
function alongColumns({ width, data, top }: ScaledRows, taps: Taps): Uint8Array {
  const { first, count, weights, widest } = taps;
  const height = first.length;
  const plane = height * width;
  const line = 3 * width;
  const out = new Uint8Array(3 * plane);
  for (let y = 0, to = 0; y < height; y++) {
    const row = (first[y]! - top) * line;
    const end = y * widest + count[y]!;
    for (let x = 0; x < width; x++, to++) {
      let red = half;
      let green = half;
      let blue = half;
      for (let k = y * widest, i = row + 3 * x; k < end; k++, i += line) {
        const weight = weights[k]!;
        red = (red + data[i]! * weight) | 0;
        green = (green + data[i + 1]! * weight) | 0;
        blue = (blue + data[i + 2]! * weight) | 0;
      }
      out[to] = levelOf(red);
      out[to + plane] = levelOf(green);
      out[to + 2 * plane] = levelOf(blue);
    }
  }
  return out;
}

/** Weights that are rounded may sum to a little more than one. */
function levelOf(sum: number): number {
  return Math.min(255, sum >> precision);
}
