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
  const scaled = coveringExtent(image, target);
  const columns = taps(
    image.width,
    scaled.width,
    centred(scaled.width, target.width),
    target.width,
  );
  const rows = taps(
    image.height,
    scaled.height,
    centred(scaled.height, target.height),
    target.height,
  );
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

/** The rows that are needed, each scaled to the columns asked for: (height, width, channels). */
function alongRows(image: Pixels, columns: Taps, rows: Taps): Pixels & { top: number } {
  const { channels } = image;
  const top = rows.first[0] as number;
  const last = rows.first.length - 1;
  const height = (rows.first[last] as number) + (rows.count[last] as number) - top;
  const width = columns.first.length;
  const data = new Uint8Array(height * width * channels);
  const scaleRow = channels === 3 ? colourRow : greyRow;
  for (let y = 0; y < height; y++) {
    const from = (top + y) * image.width * channels;
    scaleRow(image.data, from, columns, data, y * width * channels);
  }
  return { channels, height, width, data, top };
}

/** A row of three channels. Most of the time goes here: a call for each pixel would double it. */
function colourRow(
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
    const end = x * widest + (count[x] as number);
    for (let k = x * widest, i = row + 3 * (first[x] as number); k < end; k++, i += 3) {
      const weight = weights[k] as number;
      red = (red + (source[i] as number) * weight) | 0;
      green = (green + (source[i + 1] as number) * weight) | 0;
      blue = (blue + (source[i + 2] as number) * weight) | 0;
    }
    target[to] = levelOf(red);
    target[to + 1] = levelOf(green);
    target[to + 2] = levelOf(blue);
  }
}

function greyRow(
  source: Uint8Array,
  row: number,
  { first, count, weights, widest }: Taps,
  target: Uint8Array,
  begin: number,
): void {
  for (let x = 0; x < first.length; x++) {
    const from = x * widest;
    const end = from + (count[x] as number);
    mixGrey(source, row + (first[x] as number), 1, weights, from, end, target, begin + x);
  }
}

/** Rows that are scaled already, scaled along their columns: (channels, height, width). */
function alongColumns(rows: Pixels & { top: number }, taps: Taps): Uint8Array {
  const { channels, width, data, top } = rows;
  const { first, count, weights, widest } = taps;
  const height = first.length;
  const plane = height * width;
  const line = width * channels;
  const out = new Uint8Array(channels * plane);
  const mix = channels === 3 ? mixColours : mixGrey;
  for (let y = 0, to = 0; y < height; y++) {
    const row = ((first[y] as number) - top) * line;
    const from = y * widest;
    const end = from + (count[y] as number);
    for (let x = 0; x < width; x++, to++) {
      mix(data, row + x * channels, line, weights, from, end, out, to, plane);
    }
  }
  return out;
}

/**
 * One pixel of three channels: from `at`, every `step` numbers, by the weights `from` … `end − 1`; its
 * channels go to `to`, every `plane` numbers.
 */
function mixColours(
  source: Uint8Array,
  at: number,
  step: number,
  weights: Int32Array,
  from: number,
  end: number,
  target: Uint8Array,
  to: number,
  plane: number,
): void {
  let red = half;
  let green = half;
  let blue = half;
  for (let k = from, i = at; k < end; k++, i += step) {
    const weight = weights[k] as number;
    red = (red + (source[i] as number) * weight) | 0;
    green = (green + (source[i + 1] as number) * weight) | 0;
    blue = (blue + (source[i + 2] as number) * weight) | 0;
  }
  target[to] = levelOf(red);
  target[to + plane] = levelOf(green);
  target[to + 2 * plane] = levelOf(blue);
}

/** {@link mixColours} of one channel. */
function mixGrey(
  source: Uint8Array,
  at: number,
  step: number,
  weights: Int32Array,
  from: number,
  end: number,
  target: Uint8Array,
  to: number,
): void {
  let grey = half;
  for (let k = from, i = at; k < end; k++, i += step) {
    grey = (grey + (source[i] as number) * (weights[k] as number)) | 0;
  }
  target[to] = levelOf(grey);
}

/** Weights that are rounded may sum to a little more than one. */
function levelOf(sum: number): number {
  return Math.min(255, sum >> precision);
}
