import { foldIn, randomKey, uniform } from '../../src/core/random.js';
import { tf, tidy } from '../../src/core/tf.js';
import { sampledPixels } from './discretised-logistic.js';
import { checkSampling, classesOf, type PeerSampling } from './peer.js';
import { type Convolve, marked, type PixelCnn, stackAbove, stackLeft } from './pixelcnn.js';

/** What the layers of both stacks had in a row of the image, by convolution. */
interface KnownRow {
  /** (batch, 1, width, channels) each. */
  above: tf.Tensor4D[];
  /** (batch, 1, 1, channels) each, column by column. */
  left: tf.Tensor4D[][];
}

/** Chooses the pixels of a place, (batch, channels) row by row, from their mixtures (batch, 1, 1, numbers). */
export type ChoosePixels = (mixtures: tf.Tensor4D, row: number, column: number) => Float32Array;

/**
 * Walks through images pixel by pixel. Each layer is computed once a place: what earlier places gave it is kept,
 * a row of it (Ramachandran et al. 2017, arXiv 1704.06001).
 *
 * @param choose called for each place in raster order
 * @returns images (batch, channels, height, width), which the caller frees
 */
export function walkThrough(
  { config, parameters }: PixelCnn,
  { batch, classes }: { batch: number; classes?: tf.Tensor2D | undefined },
  choose: ChoosePixels,
): tf.Tensor4D {
  const { channels, height, width } = config.image;
  const outside = (columns: number): tf.Tensor4D => tf.zeros([batch, 1, columns, channels + 1]);
  let pixels: tf.Tensor4D = outside(width);
  let known: KnownRow = { above: [], left: [] };
  const rows: tf.Tensor4D[] = [];
  for (let row = 0; row < height; row++) {
    const made = tidy(() => {
      const own: KnownRow = { above: [], left: [] };
      const above = stackAbove(parameters, pixels, classes, besideRow(known, own));
      const chosen: tf.Tensor4D[] = [];
      for (let column = 0; column < width; column++) {
        const here = above.map((h) => tf.slice(h, [0, 0, column, 0], [-1, -1, 1, -1]));
        const before = chosen.at(-1) ?? outside(1);
        const convolve = besidePlace(known, own, column);
        const mixtures = stackLeft(parameters, before, here, classes, convolve);
        const values = choose(mixtures, row, column);
        chosen.push(marked(tf.tensor4d(values, [batch, 1, 1, channels])));
      }
      return { own, pixels: tf.concat(chosen, 2) };
    });
    tf.dispose([known.above, known.left, ...(row === 0 ? [pixels] : [])]);
    pixels = made.pixels;
    known = made.own;
    rows.push(pixels);
  }
  return tidy(() => {
    const whole = tf.concat(rows, 1);
    tf.dispose([known.above, known.left, rows]);
    const images = tf.slice(whole, [0, 0, 0, 0], [-1, -1, -1, channels]);
    return tf.transpose(images, [0, 3, 1, 2]);
  });
}

/** Convolutions of a row, below the one that is known. */
function besideRow(known: KnownRow, own: KnownRow): Convolve {
  return (x, { weight, bias }, layer) => {
    own.above[layer] = tf.keep(tf.clone(x));
    const window = tf.concat([known.above[layer] ?? tf.zerosLike(x), x], 1);
    const none: [number, number] = [0, 0];
    const padded = tf.pad(window, [none, none, [1, 1], none]);
    return tf.add(tf.conv2d(padded, weight, 1, 'valid'), bias);
  };
}

/** Convolutions of a place, right of those of its row, below the row that is known. */
function besidePlace(known: KnownRow, own: KnownRow, column: number): Convolve {
  return (x, { weight, bias }, layer) => {
    own.left[layer] ??= [];
    own.left[layer][column] = tf.keep(tf.clone(x));
    const pair = (row: KnownRow) =>
      [column - 1, column].map((place) => row.left[layer]?.[place] ?? tf.zerosLike(x));
    const window = tf.concat([tf.concat(pair(known), 2), tf.concat(pair(own), 2)], 1);
    return tf.add(tf.conv2d(window, weight, 1, 'valid'), bias);
  };
}

/**
 * Samples of a PixelCNN (count, channels, height, width) of grey levels in [−1, 1], pixel by pixel.
 * @throws UserError for a wrong count or label, and for steps or guidance, of which it has none
 */
export function samplePixelCnn(model: PixelCnn, options: PeerSampling): tf.Tensor4D {
  checkSampling(model, options);
  const { count, seed, label } = options;
  const { channels } = model.config.image;
  const keys = Array.from({ length: count }, (_, i) =>
    foldIn(foldIn(randomKey(seed), 'sample'), i),
  );
  const classes = classesOf(model, label, count);
  try {
    return walkThrough(model, { batch: count, ...classes }, (mixtures, row, column) => {
      const size = 1 + channels;
      const uniforms = new Float32Array(count * size);
      keys.forEach((key, i) => {
        uniforms.set(uniform(foldIn(foldIn(key, row), column), size), i * size);
      });
      return sampledPixels(mixtures.dataSync<'float32'>(), uniforms, channels);
    });
  } finally {
    tf.dispose(Object.values(classes));
  }
}
