import { checkCount, UserError } from '../core/errors.js';
import { foldIn, normal, randomKey } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';
import { logProbAndScore, type ScoreOptions } from '../flow/density.js';
import { forward } from '../flow/forward.js';
import { ability, checkPixels, type Model } from '../flow/model.js';
import { hamiltonian } from './hamiltonian.js';
import { inverse } from './inverse.js';
import { type SampleOptions, sample, sampleNoise } from './sample.js';

/** What is drawn, and how; models that read captions see the empty one. */
export interface InpaintOptions extends Omit<ScoreOptions, 'text'> {
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

/** A chain begins with that of so many samples of the model which is most like what is known. */
const candidates = 32;

/** Pictures, and how the chains went that drew them. */
export interface Inpainted {
  /** (count, channels, height, width), not clipped; the caller frees them. */
  images: tf.Tensor4D;
  /**
   * The share of proposals that each chain accepted after the warm-up, of which about 0.65 is good; absent
   * where pictures are exact draws.
   */
  acceptance?: number[];
  /** log p(x) of each picture with its noise, in nats: it tells chains that stayed far from likely pictures. */
  logProb: number[];
}

/**
 * Draws what a mask covers, given the rest, from p(masked | known). Where the masked tokens come last in the
 * order of every block, so do their numbers of noise: they are drawn anew, and pictures are exact draws.
 * Otherwise, as in blocks of alternating orders, chains of Hamiltonian Monte Carlo on the masked numbers, by
 * the exact score, approach the distribution.
 *
 * @param image (1, channels, height, width), about [−1, 1]; what is known comes back as it is
 * @param mask (1, 1, height, width), above 0 where pixels are to be drawn
 * @throws UserError for an image or a mask of another size, a number that is not finite, a mask that covers
 *   nothing or everything, settings out of range, a label that does not fit the model, and a model without a
 *   density or a sampler
 */
export async function inpaint(
  flow: Model,
  image: tf.Tensor4D,
  mask: tf.Tensor4D,
  options: InpaintOptions = {},
): Promise<Inpainted> {
  const { count = 4, sigma = 0, steps = 40, seed = 0, onProgress, signal } = options;
  const { label, mode, precision } = options;
  checkCount('The number of pictures', count);
  checkCount('The number of proposals', steps);
  if (!(sigma >= 0)) throw new UserError(`Sigma is ${sigma}`, 'Expected a number of at least 0');
  ability(flow.family, 'flow');
  checkInputs(flow, image, mask);
  const key = foldIn(randomKey(seed), 'inpaint');
  const free: tf.Tensor4D = tf.greater(mask, 0);
  const told = { label, mode, precision };
  const noisy = tidy(() => {
    const images = tf.tile(image, [count, 1, 1, 1]);
    const noise = tf.tensor4d(normal(foldIn(key, 'known'), images.size), images.shape);
    return tf.add(images, tf.mul(noise, sigma));
  });
  const owned: tf.Tensor[] = [free, noisy];
  try {
    const last = maskedLast(flow, free);
    if (last) owned.push(last);
    const start = last
      ? await drawnAnew(flow, noisy, last, { ...told, seed })
      : await likelyStarts(flow, noisy, image, free, { ...told, seed, ...(signal && { signal }) });
    owned.push(start);
    const density = (states: tf.Tensor4D) => logProbAndScore(flow, states, told);
    const { x, logProb, score, acceptance } = await hamiltonian(start, density, {
      ...{ free, steps: last ? 0 : steps, key },
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
    return { images, ...(!last && { acceptance }), logProb: nats };
  } finally {
    tf.dispose(owned);
  }
}

/** Which numbers of tokens (1, T, D) are masked, where these come last in every block; else undefined. */
function maskedLast({ family, ...flow }: Model, free: tf.Tensor4D): tf.Tensor3D | undefined {
  const { tokens, blocks } = family;
  if (!tokens || !blocks) return undefined;
  return tidy(() => {
    const config = { ...flow.config, background: undefined };
    const wide = tf.tile(tf.cast(free, 'float32'), [1, config.image.channels, 1, 1]);
    const masked = tokens.of(config, wide).tokens;
    const isLast = blocks({ family, ...flow }).every((block) => {
      const inOrder = block.order(masked);
      const [some, all] = [tf.max(inOrder, [0, 2]).dataSync(), tf.min(inOrder, [0, 2]).dataSync()];
      // Numbers of one token do not depend on each other.
      return all.subarray(some.indexOf(1) + 1).every((covered) => covered === 1);
    });
    return isLast ? tf.cast(masked, 'bool') : undefined;
  });
}

/** Images of the noise of others, but for masked numbers, whose noise is new. */
async function drawnAnew(
  flow: Model,
  noisy: tf.Tensor4D,
  masked: tf.Tensor3D,
  { seed, ...told }: ScoreOptions & { seed: number },
): Promise<tf.Tensor4D> {
  const z = tidy(() => {
    const fresh = sampleNoise(flow, seed, 0, noisy.shape[0]);
    return tf.where(masked, fresh, forward(flow, noisy, told).z);
  });
  return inverse(flow, z, told).finally(() => z.dispose());
}

/** What is known with its noise, and the rest of those samples of the model that are most like it. */
async function likelyStarts(
  flow: Model,
  noisy: tf.Tensor4D,
  image: tf.Tensor4D,
  free: tf.Tensor4D,
  options: Omit<SampleOptions, 'count'>,
): Promise<tf.Tensor4D> {
  const [count] = noisy.shape;
  const samples = await sample(flow, { ...options, count: count * candidates });
  return tidy(() => {
    const squares = tf.where(free, tf.zerosLike(samples), tf.squaredDifference(samples, image));
    const distances: tf.Tensor2D = tf.reshape(tf.sum(squares, [1, 2, 3]), [count, candidates]);
    const first = tf.range(0, count * candidates, candidates, 'int32');
    const nearest: tf.Tensor1D = tf.add(tf.argMin(distances, 1), first);
    const chosen: tf.Tensor4D = tf.gather(samples, nearest);
    samples.dispose();
    return tf.where(free, chosen, noisy);
  });
}

function checkInputs(flow: Model, image: tf.Tensor4D, mask: tf.Tensor4D): void {
  checkPixels(flow, image);
  const { height, width } = flow.config.image;
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
