import { checkCount, UserError } from '../core/errors.js';
import { foldIn, normal, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { logProbAndScore, type ScoreOptions } from '../flow/density.js';
import { ability, checkImages, checkPixelRange, type Model } from '../flow/model.js';
import { hamiltonian } from './hamiltonian.js';
import { sample } from './sample.js';

/** What is drawn, one label or caption for all pictures, and how. */
export interface InpaintOptions extends ScoreOptions {
  /** Pictures to draw, each by a chain of its own. Default 4. */
  count?: number;
  /**
   * Standard deviation of the Gaussian noise of the training. What is known gets a draw of it for each
   * picture, and what was drawn is denoised at the end. Default 0: images are taken as they are.
   */
  sigma?: number | undefined;
  /** Proposals that adapt the length of steps, and as many after them. Default 40. */
  steps?: number;
  /** Same seed, same pictures. Default 0. */
  seed?: number;
  /** Called with the share done, 0 to 1. */
  onProgress?: (share: number) => void;
  signal?: AbortSignal;
}

/** Steps along the score in a proposal. */
const leapfrog = 5;
/** A chain begins with that of so many samples of the model which is most like what is known. */
const candidates = 32;

/** Pictures, and how the chains went that drew them. */
export interface Inpainted {
  /** (count, channels, height, width), not clipped; the caller frees them. */
  images: tf.Tensor4D;
  /** The share of proposals that each chain accepted after the warm-up; about 0.65 is good. */
  acceptance: number[];
  /** log p(x) of each picture with its noise, in nats: it tells chains that stayed far from likely pictures. */
  logProb: number[];
}

/**
 * Draws what a mask covers, given the rest: p(masked | known) by Hamiltonian Monte Carlo on the masked
 * numbers, by the exact score. Blocks of alternating orders allow no exact draw; chains approach the
 * distribution.
 *
 * @param image (1, channels, height, width), about [−1, 1]; what is known comes back as it is
 * @param mask (1, 1, height, width), above 0 where pixels are to be drawn
 * @throws UserError for an image or a mask of another size, a number that is not finite, a mask that covers
 *   nothing or everything, settings out of range, labels or captions that do not fit the model, and a model
 *   without a density or a sampler
 *
 * @example
 * ```ts
 * import { createModel, inpaint, startEngine, tf } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * const mask = tf.concat([tf.zeros([1, 1, 8, 4]), tf.ones([1, 1, 8, 4])], 3);
 * const { images } = await inpaint(flow, tf.zeros([1, 1, 8, 8]), mask, { label: 1, steps: 5 });
 * console.log(images.shape); // [ 4, 1, 8, 8 ]: the right half is drawn
 * ```
 */
export async function inpaint(
  flow: Model,
  image: tf.Tensor4D,
  mask: tf.Tensor4D,
  options: InpaintOptions = {},
): Promise<Inpainted> {
  const { count = 4, sigma = 0, steps = 40, seed = 0, onProgress, signal } = options;
  checkCount('The number of pictures', count);
  checkCount('The number of proposals', steps);
  if (!(sigma >= 0)) throw new UserError(`Sigma is ${sigma}`, 'Expected a number of at least 0');
  ability(flow.family, 'flow');
  checkInputs(flow, image, mask);
  const key = foldIn(randomKey(seed), 'inpaint');
  const free: tf.Tensor4D = tf.greater(mask, 0);
  const told = context(options, count);
  const owned: tf.Tensor[] = [free, ...(told.text ? [told.text] : [])];
  try {
    const start = await startOf(flow, image, free, { ...options, count, sigma, seed });
    owned.push(start);
    const density = (states: tf.Tensor4D) => logProbAndScore(flow, states, told);
    const { x, logProb, score, acceptance } = await hamiltonian(start, density, {
      ...{ free, steps, leapfrog, key },
      stepSize: sigma > 0 ? sigma / 4 : 0.05,
      onProposal: async (done) => {
        signal?.throwIfAborted();
        onProgress?.(done / (2 * steps));
        await new Promise(setImmediate);
      },
    });
    // Tweedie's formula, as `denoise` has it, by the score that is at hand.
    const clean = () => tf.add(x, tf.mul(score, sigma * sigma));
    const images = tidy(() => tf.where(free, clean(), image));
    const nats = Array.from(logProb.dataSync());
    tf.dispose([x, logProb, score]);
    return { images, acceptance, logProb: nats };
  } finally {
    tf.dispose(owned);
  }
}

/** How `rows` samples are computed and what they show; the caller frees the text. */
function context({ label, text, mode, precision }: ScoreOptions, rows: number): ScoreOptions {
  return { label, mode, precision, text: text && tf.tile(text, [rows, 1, 1]) };
}

/** What is known with its noise, and the rest of those samples of the model that are most like it. */
async function startOf(
  flow: Model,
  image: tf.Tensor4D,
  free: tf.Tensor4D,
  options: InpaintOptions & { count: number; sigma: number; seed: number },
): Promise<tf.Tensor4D> {
  const { count, sigma, seed, signal } = options;
  const told = context(options, count * candidates);
  const samples = await sample(flow, {
    ...{ ...told, seed, count: count * candidates },
    ...(signal && { signal }),
  }).finally(() => told.text?.dispose());
  return tidy(() => {
    const squares = tf.where(free, tf.zerosLike(samples), tf.squaredDifference(samples, image));
    const distances: tf.Tensor2D = tf.reshape(tf.sum(squares, [1, 2, 3]), [count, candidates]);
    const first = tf.range(0, count * candidates, candidates, 'int32');
    const nearest: tf.Tensor1D = tf.add(tf.argMin(distances, 1), first);
    const chosen: tf.Tensor4D = tf.gather(samples, nearest);
    samples.dispose();
    const noise = normal(foldIn(randomKey(seed), 'noise of what is known'), chosen.size);
    const noisy = tf.add(image, tf.mul(tf.tensor4d(noise, chosen.shape), sigma));
    return tf.where(free, chosen, noisy);
  });
}

function checkInputs({ config }: Model, image: tf.Tensor4D, mask: tf.Tensor4D): void {
  const { height, width } = config.image;
  checkImages(config, image);
  checkPixelRange(config, image);
  if (image.shape[0] !== 1 || !image.dataSync().every(Number.isFinite)) {
    const problem =
      image.shape[0] === 1 ? 'A pixel is not finite' : `${image.shape[0]} images came`;
    throw new UserError(problem, 'Expected one image of finite numbers, about [-1, 1]');
  }
  if (mask.shape.join() !== [1, 1, height, width].join()) {
    throw new UserError(
      `A mask of shape (${mask.shape.join(', ')}) came`,
      `Expected (1, 1, ${height}, ${width}), a number for each pixel of the image`,
    );
  }
  const covered = mask.dataSync().filter((value) => value > 0).length;
  if (covered > 0 && covered < mask.size) return;
  throw new UserError(
    `The mask covers ${covered === 0 ? 'nothing' : 'everything'}`,
    'Expected numbers above 0 where pixels are to be drawn; whole pictures are drawn by `sample`',
  );
}
