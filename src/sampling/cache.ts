import { tf } from '../backend/tf.js';
import type { Leaves } from '../backend/tree.js';
import type { BlockCache } from '../flow/block.js';
import type { LayerCache } from '../flow/transformer.js';

/** Frees a cache. */
export function disposeCache(cache: BlockCache | undefined): void {
  for (const layer of cache ?? []) tf.dispose([layer.keys, layer.values]);
}

/** The memory that a cache takes, in bytes. */
export function cacheBytes(cache: BlockCache | undefined): number {
  return 4 * (cache ?? []).reduce((sum, { keys, values }) => sum + keys.size + values.size, 0);
}

/** The first `count` tokens of a cache, as new tensors. */
export function truncatedCache(cache: BlockCache, count: number): BlockCache {
  return mapCache(cache, (tensor) =>
    tensor.shape[2] === count
      ? tensor.clone()
      : tf.slice(tensor, [0, 0, 0, 0], [-1, -1, count, -1]),
  );
}

/**
 * A cache's rows for some of its samples, as new tensors.
 *
 * @param branches rows per sample, as `GuidedBlock` says: all samples' first ones come first
 */
export function selectedCache(
  cache: BlockCache,
  branches: number,
  samples: readonly number[],
): BlockCache {
  return tf.tidy(() => {
    const batch = (cache[0] as LayerCache).keys.shape[0] / branches;
    const rows = Array.from({ length: branches }, (_, branch) =>
      samples.map((sample) => branch * batch + sample),
    );
    const indices = tf.tensor1d(rows.flat(), 'int32');
    return mapCache(cache, (tensor) => tf.gather(tensor, indices)) as never;
  }) as unknown as BlockCache;
}

/**
 * Caches of parts of a batch as one cache of the whole, as new tensors.
 *
 * @param parts caches of equally many tokens, with the samples that they belong to; together they
 *   are 0 … batch − 1
 */
export function joinedCache(
  parts: readonly { cache: BlockCache; samples: readonly number[] }[],
  branches: number,
): BlockCache {
  return tf.tidy(() => {
    const batch = parts.reduce((sum, { samples }) => sum + samples.length, 0);
    const rows = new Int32Array(branches * batch);
    let offset = 0;
    for (const { samples } of parts) {
      for (let branch = 0; branch < branches; branch++) {
        for (const sample of samples) rows[branch * batch + sample] = offset++;
      }
    }
    const indices = tf.tensor1d(rows, 'int32');
    const first = (parts[0] as { cache: BlockCache }).cache;
    const joined = first.map((_, layer): LayerCache => {
      const all = (part: keyof LayerCache): tf.Tensor4D =>
        tf.gather(
          tf.concat(
            parts.map(({ cache }) => (cache[layer] as LayerCache)[part]),
            0,
          ),
          indices,
        );
      return { keys: all('keys'), values: all('values') };
    });
    return joined as never;
  }) as unknown as BlockCache;
}

/** A cache's tensors by name. */
export function cacheLeaves(cache: BlockCache): Leaves {
  return Object.fromEntries(
    cache.flatMap(({ keys, values }, layer) => [
      [`keys${layer}`, keys],
      [`values${layer}`, values],
    ]),
  );
}

/** A cache of so many layers from its tensors by name. */
export function cacheOfLeaves(named: Leaves, layers: number): BlockCache {
  return Array.from({ length: layers }, (_, layer) => ({
    keys: named[`keys${layer}`] as tf.Tensor4D,
    values: named[`values${layer}`] as tf.Tensor4D,
  }));
}

function mapCache(cache: BlockCache, f: (tensor: tf.Tensor4D) => tf.Tensor4D): BlockCache {
  return cache.map(({ keys, values }) => ({ keys: f(keys), values: f(values) }));
}
