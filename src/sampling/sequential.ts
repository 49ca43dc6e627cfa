import { tf } from '../backend/tf.js';
import type { BlockCache } from '../flow/block.js';
import { tokenCount, tokenWidth } from '../flow/config.js';
import type { GuidedBlock } from './guidance.js';

/**
 * Inverts one block token by token with a key/value cache: x_0 = z_0, then
 * x_{t+1} = z_{t+1}·exp(a) + b with a and b predicted from x_0 … x_t. T − 1 steps, exact.
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @param onStep awaited after each step, to report progress or to stop by throwing
 * @returns the block's input (batch, T, D), in the block's order
 */
export async function invertSequential(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  onStep?: () => Promise<void> | void,
): Promise<tf.Tensor3D> {
  const { config } = guided.block;
  const [last, width] = [tokenCount(config) - 1, tokenWidth(config)];
  const token = (t: number): tf.Tensor3D => tf.slice(z, [0, t, 0], [-1, 1, width]);

  const solved: tf.Tensor3D[] = [token(0)];
  let cache: BlockCache | undefined;
  try {
    for (let t = 0; t < last; t++) {
      const step = tf.tidy(() => {
        const {
          a,
          b,
          cache: extended,
        } = guided.predict(solved[t] as tf.Tensor3D, {
          start: t,
          cache,
          keepCache: true,
        });
        const next = tf.add(tf.mul(token(t + 1), tf.exp(a)), b) as tf.Tensor3D;
        return { next, extended } as never;
      }) as unknown as { next: tf.Tensor3D; extended: BlockCache };
      disposeCache(cache);
      cache = step.extended;
      solved.push(step.next);
      await onStep?.();
    }
    return tf.concat(solved, 1);
  } finally {
    disposeCache(cache);
    tf.dispose(solved);
  }
}

function disposeCache(cache: BlockCache | undefined): void {
  for (const layer of cache ?? []) tf.dispose([layer.keys, layer.values]);
}
