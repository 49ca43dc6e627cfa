/** Pixels side by side: (height, width, channels), values 0 … 255. */
export interface Pixels {
  channels: number;
  height: number;
  width: number;
  data: Uint8Array;
}

/** Height and width in pixels. */
interface Extent {
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
function coveringExtent({ height, width }: Extent, target: Extent): Extent {
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

/** The rows that are needed, each scaled to the columns asked for. */
function alongRows(image: Pixels, columns: Taps, rows: Taps): Pixels & { top: number } {
  const top = rows.first[0] as number;
  const last = rows.first.length - 1;
  const bottom = (rows.first[last] as number) + (rows.count[last] as number);
  const { channels } = image;
  const width = columns.first.length;
  const height = bottom - top;
  const data = new Uint8Array(height * width * channels);
  const scaleRow = channels === 3 ? colourRow : greyRow;
  for (let y = 0; y < height; y++) {
    const from = (top + y) * image.width * channels;
    scaleRow(image.data, from, columns, data, y * width * channels);
  }
  return { channels, height, width, data, top };
}

function greyRow(
  source: Uint8Array,
  from: number,
  { first, count, weights, widest }: Taps,
  target: Uint8Array,
  to: number,
): void {
  for (let x = 0; x < first.length; x++) {
    let at = from + (first[x] as number);
    let sum = half;
    const end = x * widest + (count[x] as number);
    for (let k = x * widest; k < end; k++) {
      sum = (sum + (source[at++] as number) * (weights[k] as number)) | 0;
    }
    target[to + x] = levelOf(sum);
  }
}

function colourRow(
  source: Uint8Array,
  from: number,
  { first, count, weights, widest }: Taps,
  target: Uint8Array,
  to: number,
): void {
  for (let x = 0, out = to; x < first.length; x++, out += 3) {
    let at = from + 3 * (first[x] as number);
    let [red, green, blue] = [half, half, half];
    const end = x * widest + (count[x] as number);
    for (let k = x * widest; k < end; k++, at += 3) {
      const weight = weights[k] as number;
      red = (red + (source[at] as number) * weight) | 0;
      green = (green + (source[at + 1] as number) * weight) | 0;
      blue = (blue + (source[at + 2] as number) * weight) | 0;
    }
    target[out] = levelOf(red);
    target[out + 1] = levelOf(green);
    target[out + 2] = levelOf(blue);
  }
}

/** (channels, height, width) of rows that are scaled already. */
function alongColumns(
  { channels, width, data, top }: Pixels & { top: number },
  { first, count, weights, widest }: Taps,
): Uint8Array {
  const height = first.length;
  const line = width * channels;
  const sums = new Int32Array(line);
  const out = new Uint8Array(channels * height * width);
  for (let y = 0; y < height; y++) {
    sums.fill(half);
    let at = ((first[y] as number) - top) * line;
    for (let k = 0; k < (count[y] as number); k++) {
      const weight = weights[y * widest + k] as number;
      for (let i = 0; i < line; i++) {
        sums[i] = ((sums[i] as number) + (data[at++] as number) * weight) | 0;
      }
    }
    for (let channel = 0; channel < channels; channel++) {
      let to = (channel * height + y) * width;
      for (let i = channel; i < line; i += channels) out[to++] = levelOf(sums[i] as number);
    }
  }
  return out;
}

/** Weights that are rounded may sum to a little more than one. */
function levelOf(sum: number): number {
  return Math.min(255, sum >> precision);
}
