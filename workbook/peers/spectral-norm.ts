import { foldIn, type RandomKey } from '../../src/core/random.js';
import { tf, withGradient } from '../../src/core/tf.js';
import { type Leaves, leaf, mapTree, type Tree } from '../../src/core/tree.js';
import { type LeafSpec, normals, shapesOf } from '../../src/nn/specs.js';

/** The name of a weight's buffer. */
const bufferOf = (name: string): string => `power.${name}`;

/**
 * The buffers of {@link spectrallyNormal}: for each weight (…, outputs) of a network a vector (outputs).
 *
 * @param network specifications of parameters; those named `weight` are normalised
 */
export function powerOf(network: unknown, key: RandomKey): Record<string, LeafSpec> {
  const weights = Object.entries(shapesOf(network)).filter(([name]) => name.endsWith('weight'));
  return Object.fromEntries(
    weights.map(([name, shape]) => {
      const buffer = bufferOf(name);
      return [buffer, normals(foldIn(key, name), [shape.at(-1) ?? 1], 1)];
    }),
  );
}

/**
 * A network whose weights are divided by their largest singular values (Miyato et al. 2018, arXiv 1802.05957),
 * which one round of the power method estimates from the vectors of the step before. Gradients flow through the
 * estimates, and not through the vectors.
 *
 * @returns the network, and the vectors of this step under their names as buffers
 */
export function spectrallyNormal<P extends Tree>(
  network: P,
  buffers: Leaves,
): { normal: P; powers: Leaves } {
  const powers: Leaves = {};
  const normal = mapTree(network, (weight, name) => {
    if (!name.endsWith('weight')) return weight;
    const outputs = weight.shape.at(-1) ?? 1;
    const matrix = tf.reshape(weight, [weight.size / outputs, outputs]);
    const before = tf.reshape(leaf(buffers, bufferOf(name), 1), [outputs, 1]);
    const fixed = still(matrix);
    const left = unit(tf.matMul(fixed, before));
    const right = unit(tf.matMul(fixed, left, true));
    powers[bufferOf(name)] = tf.reshape(right, [outputs]);
    const value = tf.sum(tf.mul(tf.matMul(matrix, right), left));
    return tf.div(weight, value);
  });
  return { normal, powers };
}

function unit(vector: tf.Tensor2D): tf.Tensor2D {
  const length = tf.sqrt(tf.sum(tf.square(vector)));
  return tf.div(vector, tf.add(length, 1e-12));
}

/** The same numbers, through which no gradient flows. */
function still<T extends tf.Tensor>(x: T): T {
  return withGradient(
    [x],
    (input) => ({ value: tf.clone(input), saved: [input] }),
    (_, [input]) => [tf.zerosLike(input)],
  );
}
