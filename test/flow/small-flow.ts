import { foldIn, normal, randomKey } from '../../src/backend/random.js';
import { tf } from '../../src/backend/tf.js';
import { mapTree } from '../../src/backend/tree.js';
import { dimensions, disposeModel } from '../../src/flow/flow.js';
import {
  checkConfig,
  type TarFlowConfig,
  tokenCount,
  tokenWidth,
} from '../../src/models/tarflow/config.js';
import { createTarFlow, type TarFlow } from '../../src/models/tarflow/index.js';

/** Of a {@link smallFlow} without changes. */
export const smallFlowConfig: TarFlowConfig = {
  kind: 'tarflow',
  image: { channels: 1, height: 4, width: 4 },
  patchSize: 1,
  channels: 16,
  blocks: 2,
  layersPerBlock: 1,
  headWidth: 8,
  classes: 0,
  volumePreserving: false,
};

/**
 * A small flow that is no longer near the identity: every parameter of a fresh one is moved at
 * random, `strength` times as far as keeps the inverse well conditioned.
 */
export function smallFlow(changes: Partial<TarFlowConfig> = {}, seed = 1, strength = 1): TarFlow {
  const fresh = createTarFlow(checkConfig({ ...smallFlowConfig, ...changes }), seed);
  const key = foldIn(randomKey(seed), 'moved');
  const parameters = mapTree(fresh.parameters, (leaf, name) =>
    tf.tidy(() => {
      const spread = name.includes('proj_out')
        ? 0.1 * strength
        : name.includes('embed')
          ? 0.5
          : 0.1;
      const noise = tf.tensor(normal(foldIn(key, name), leaf.size), leaf.shape);
      return tf.add(leaf, tf.mul(noise, spread));
    }),
  );
  const flow = { ...fresh, parameters, buffers: { var: (fresh.buffers.var as tf.Tensor).clone() } };
  disposeModel(fresh);
  return flow;
}

/**
 * Standard normal images (batch, channels, height, width) for a flow; for one that spreads the
 * background within ±1, every third pixel in the background.
 */
export function randomImages(
  { config: { image, background } }: TarFlow,
  batch: number,
  seed: number,
): tf.Tensor4D {
  const shape: [number, number, number, number] = [
    batch,
    image.channels,
    image.height,
    image.width,
  ];
  const numbers = normal(randomKey(seed), batch * image.channels * image.height * image.width);
  if (background === undefined) return tf.tensor4d(numbers, shape);
  const sign = background === 0 ? 1 : -1;
  const within = numbers.map(Math.tanh);
  const pixels = within.map((x, i) => (i % 3 === 0 ? sign * ((x + 1) / 256 - 1) : x));
  return tf.tensor4d(pixels, shape);
}

/** Standard normal latents (batch, T, D) for a flow. */
export function randomLatents({ config }: TarFlow, batch: number, seed: number): tf.Tensor3D {
  const shape: [number, number, number] = [batch, tokenCount(config), tokenWidth(config)];
  return tf.tensor3d(normal(randomKey(seed), batch * dimensions(config)), shape);
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
