import { LuDecomposition, Matrix } from 'ml-matrix';
import { foldIn, normal, randomKey, tf, tidy } from '../../src/core/index.js';
import { disposeTree, mapTree, type Tree } from '../../src/core/tree.js';
import type { Background } from '../../src/flow/background.js';
import type { Family, Model, ModelConfig } from '../../src/flow/model.js';
import { dimensions } from '../../src/flow/model.js';
import { freshModel } from '../../src/flow/state-dict.js';

/** What a family of flows is tried with. */
export interface FlowCases<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  family: Family<C, P>;
  /** Small shapes that together use all there is, by what they show. */
  configurations: Record<string, C>;
  /** A flow of two numbers that can learn a density. */
  plane: C;
  /**
   * How far the parameter of a name is moved from where it starts, as a standard deviation. With
   * strength 1 no block is near the identity, and the inverse is well conditioned.
   */
  spread(name: string, strength: number): number;
}

/** A model that is no longer near the identity: every parameter is moved at random. */
export function movedModel<C extends ModelConfig, P extends Tree>(
  { family, spread }: FlowCases<C, P>,
  config: C,
  { seed = 1, strength = 1 }: { seed?: number; strength?: number } = {},
): Model<C, P> {
  const fresh = freshModel(family, config, seed);
  const key = foldIn(randomKey(seed), 'moved');
  const parameters = mapTree(fresh.parameters, (leaf, name) =>
    tidy(() => {
      const noise = tf.tensor(normal(foldIn(key, name), leaf.size), leaf.shape);
      return tf.add(leaf, tf.mul(noise, spread(name, strength)));
    }),
  );
  disposeTree(fresh.parameters);
  return { ...fresh, parameters };
}

/**
 * Standard normal images (batch, channels, height, width); for a model that spreads the background
 * within ±1, every third number in the background.
 */
export function randomImages(
  { config }: { config: ModelConfig & { background?: Background | undefined } },
  batch: number,
  seed: number,
): tf.Tensor4D {
  const { image, background } = config;
  const shape = [batch, image.channels, image.height, image.width] as const;
  const numbers = normal(randomKey(seed), batch * dimensions(config));
  if (background === undefined) return tf.tensor4d(numbers, [...shape]);
  const sign = background === 0 ? 1 : -1;
  const within = numbers.map(Math.tanh);
  const pixels = within.map((x, i) => (i % 3 === 0 ? sign * ((x + 1) / 256 - 1) : x));
  return tf.tensor4d(pixels, [...shape]);
}

/** Standard normal latents (batch, T, D). */
export function randomLatents({ family, config }: Model, batch: number, seed: number): tf.Tensor3D {
  const [tokens, width] = (family.prior as NonNullable<typeof family.prior>).shape(config);
  return tf.tensor3d(normal(randomKey(seed), batch * tokens * width), [batch, tokens, width]);
}

/** The largest difference of two tensors, and whatever is not finite as infinity. */
export function difference(left: tf.Tensor, right: tf.Tensor): number {
  if (left.shape.join() !== right.shape.join()) {
    throw new Error(`shapes (${left.shape}) and (${right.shape})`);
  }
  const [a, b] = [left, right].map((tensor) => Float32Array.from(tensor.dataSync()));
  return a!.reduce((largest, value, i) => {
    const error = Math.abs(value - b![i]!);
    return Number.isFinite(error) ? Math.max(largest, error) : Number.POSITIVE_INFINITY;
  }, 0);
}

/**
 * The Jacobian of a function of one sample, by automatic differentiation. Samples do not meet in the
 * function, so one backward pass of as many copies as there are outputs gives a row for each.
 */
export function jacobian<T extends tf.Tensor>(f: (inputs: T) => tf.Tensor, input: T): number[][] {
  return tidy(() => {
    const { size, shape } = f(input);
    const copies = tf.tile(input, [size, ...new Array<number>(input.rank - 1).fill(1)]);
    const units = tf.reshape(tf.eye(size), [size, ...shape.slice(1)]);
    const rows = tf.grad(f as (inputs: tf.Tensor) => tf.Tensor)(copies, units);
    return tf.reshape(rows, [size, -1]).arraySync() as number[][];
  });
}

/** log |det| of a matrix. */
export function logDeterminant(matrix: readonly number[][]): number {
  const { upperTriangularMatrix } = new LuDecomposition(new Matrix(matrix.map((row) => [...row])));
  return upperTriangularMatrix.diagonal().reduce((sum, x) => sum + Math.log(Math.abs(x)), 0);
}
