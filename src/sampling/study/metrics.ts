import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { type NamedContext, numbered } from '../../conditions/context.js';
import { classMixture } from '../../conditions/labels.js';
import { checkCount, UserError } from '../../core/errors.js';
import { tf, tidy } from '../../core/tf.js';
import type { AutoregressiveBlock, Conditions } from '../../flow/autoregressive.js';
import { blockForward, predictAll } from '../../flow/forward.js';
import { denormalise, type Gaussian } from '../../flow/gaussian.js';
import type { Model } from '../../flow/model.js';
import { ability, blocksOf, checkPixels } from '../../flow/model.js';
import type { Start } from '../solvers/definition.js';
import { startingTokens } from '../solvers/gauss-seidel-jacobi/update.js';
import { firstNotFinite } from '../solvers/solve-block.js';

/** The Convergence Ranking Metric of a block and what it is made of, all spectral norms. */
export interface ConvergenceRanking {
  /** ‖mean over images of exp(−a)·x‖, x the block's input, a matrix (T, D); see `spread`. */
  spread: number;
  /** ‖W_a‖, of the rows of the output layer that make a; 0 in a volume-preserving model. */
  scaleWeight: number;
  /** ‖W_b‖, of the rows that make b. */
  shiftWeight: number;
  /** spread · scaleWeight + shiftWeight. A large one marks a tough block. */
  metric: number;
  /** The metric divided by its sum over the blocks. */
  share: number;
}

/** The Initial Guessing Metric of a block for both starts; the smaller one is to be preferred. */
export interface InitialGuessing {
  /** Spectral norm of the mean error of the first iterate, where the iteration starts at the latent. */
  latent: number;
  /** The same where it starts at zeros. */
  zeros: number;
  /** The start with the smaller norm; `latent` where both are equal. */
  better: Start;
}

export interface MetricOptions {
  /**
   * Class per image, by its number or its name. Absent: no label, which a TarFlow reads as the mean of all classes, as the published
   * code does. Captions are the empty one.
   */
  label?: NamedContext['label'];
  /** Images evaluated together. Default 32. */
  batchSize?: number;
}

/**
 * The Convergence Ranking Metric, which tells how many iterations the blocks need in proportion to
 * one another (Liu and Qin 2025, arXiv 2505.12849): a block whose a and b depend strongly on its
 * input needs more.
 *
 * @param images (images, channels, height, width), a small set of real ones without noise
 * @returns one entry per block, by index from the data
 * @throws UserError where images or labels do not fit the model, for images that are not finite,
 *   and for a batch size below 1
 */
export function convergenceRankingMetric(
  flow: Model,
  images: tf.Tensor4D,
  options: MetricOptions & {
    /** What is averaged: exp(−a)·x, as published (default), or exp(a)·z of the block's output z. */
    spread?: 'images' | 'latents';
  } = {},
): ConvergenceRanking[] {
  const spreads = meanMatrices(flow, images, options, (block, { u, v, conditions }) => {
    const { logScale } = shifted(block, u, conditions);
    if (options.spread === 'latents') return [logScale ? tf.mul(tf.exp(logScale), v) : v];
    return [logScale ? tf.mul(tf.exp(tf.neg(logScale)), u) : u];
  });
  const rankings = blocksOf(flow).map((block, index) => {
    const spread = spreads[index]![0]!;
    const [shiftWeight, scaleWeight] = tidy(() => {
      const { mean, logScale } = block.outputWeights();
      return [matrixNorm(mean), logScale ? matrixNorm(logScale) : 0] as const;
    });
    return { spread, scaleWeight, shiftWeight, metric: spread * scaleWeight + shiftWeight };
  });
  const total = rankings.reduce((sum, { metric }) => sum + metric, 0);
  return rankings.map((ranking) => ({ ...ranking, share: ranking.metric / total }));
}

/**
 * The Initial Guessing Metric, which tells where to start an iteration (Liu and Qin 2025, arXiv
 * 2505.12849): the spectral norm of the mean over images of the first iterate's error, for both
 * starts.
 *
 * @param images (images, channels, height, width), a small set of real ones without noise
 * @returns one entry per block, by index from the data
 * @throws UserError where images or labels do not fit the model, for images that are not finite,
 *   and for a batch size below 1
 */
export function initialGuessingMetric(
  flow: Model,
  images: tf.Tensor4D,
  options: MetricOptions = {},
): InitialGuessing[] {
  const norms = meanMatrices(flow, images, options, (block, { u, v, conditions }) =>
    (['latent', 'zeros'] as const).map((start) => {
      const guess = startingTokens(block, v, start);
      return tf.sub(denormalise(v, shifted(block, guess, conditions)), u);
    }),
  );
  return norms.map(([latent, zeros]) => ({
    latent: latent!,
    zeros: zeros!,
    better: zeros! < latent! ? 'zeros' : 'latent',
  }));
}

/** A block's input u and output v (batch, T, D) in its order, and its conditions. */
interface Passed {
  u: tf.Tensor3D;
  v: tf.Tensor3D;
  conditions: Conditions;
}

/** Spectral norms, per block, of the means over images of matrices (T, D) that `f` makes. */
function meanMatrices(
  flow: Model,
  images: tf.Tensor4D,
  options: MetricOptions,
  f: (block: AutoregressiveBlock, passed: Passed) => tf.Tensor[],
): number[][] {
  const { label, batchSize = 32 } = numbered(flow, options);
  checkPixels(flow, images);
  checkCount('The batch size', batchSize);
  const count = images.shape[0];
  if (count === 0) throw new UserError('No images came', 'Give at least one');
  const broken = firstNotFinite(images);
  if (broken !== undefined) {
    throw new UserError(
      `Image ${broken} is not finite`,
      'Every number of the images has to be finite',
    );
  }
  const blocks = blocksOf(flow);
  const [{ tokens, width }] = blocks as [AutoregressiveBlock];
  const sums: Float64Array[][] = blocks.map(() => []);
  const mixture = classMixture(flow.config, label, count);
  for (let first = 0; first < count; first += batchSize) {
    tidy(() => {
      const size = Math.min(batchSize, count - first);
      const conditions = { classes: mixture && tf.slice(mixture, [first, 0], [size, -1]) };
      const batch = tf.slice(images, [first, 0, 0, 0], [size, -1, -1, -1]);
      let x = ability(flow.family, 'tokens').of(flow.config, batch).tokens;
      blocks.forEach((block, index) => {
        const { z } = blockForward(block, x, conditions);
        const passed = { u: block.order(x), v: block.order(z), conditions };
        f(block, passed).forEach((matrices, k) => {
          sums[index]![k] ??= new Float64Array(tokens * width);
          const sum = sums[index]![k]!;
          for (const [i, value] of tf.sum(matrices, 0).dataSync().entries()) sum[i]! += value;
        });
        x = z;
      });
    });
  }
  mixture?.dispose();
  return sums.map((matrices) =>
    matrices.map((sum) =>
      spectralNorm(
        sum.map((value) => value / count),
        tokens,
        width,
      ),
    ),
  );
}

/** The predictions of every token from those before it (batch, T, D); zero for those given. */
function shifted(
  block: AutoregressiveBlock,
  tokens: tf.Tensor3D,
  conditions: Conditions,
): Gaussian {
  const { mean, logScale } = predictAll(block, tokens, conditions);
  const shift = (leaf: tf.Tensor3D): tf.Tensor3D =>
    tf.pad(leaf, [
      [0, 0],
      [block.given, 0],
      [0, 0],
    ]);
  return { mean: shift(mean), logScale: logScale && shift(logScale) };
}

function matrixNorm(matrix: tf.Tensor2D): number {
  const [rows, columns] = matrix.shape;
  return spectralNorm(matrix.dataSync(), rows, columns);
}

/**
 * The spectral norm of a matrix, its largest singular value, in double precision.
 *
 * @param values row by row
 * @returns Infinity or NaN, the first such number, where an entry is not finite
 * @throws RangeError if they are not as many as rows times columns
 */
export function spectralNorm(values: ArrayLike<number>, rows: number, columns: number): number {
  if (values.length !== rows * columns) {
    throw new RangeError(
      `Got ${values.length} numbers, expected the ${rows * columns} of a matrix of ${rows} × ${columns}. Give all of its rows, one after the other.`,
    );
  }
  // The decomposition does not end for numbers that are not finite.
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i] as number);
    if (!Number.isFinite(size)) return size;
  }
  return new SingularValueDecomposition(Matrix.from1DArray(rows, columns, values), {
    computeLeftSingularVectors: false,
    computeRightSingularVectors: false,
    autoTranspose: true,
  }).norm2;
}
