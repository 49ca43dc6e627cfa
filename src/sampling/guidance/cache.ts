import { tf, tidy } from '../../core/tf.js';
import type { Cache } from '../../flow/autoregressive.js';

/** The memory that a cache takes, in bytes. */
export function cacheBytes(cache: Cache | undefined): number {
  return 4 * Object.values(cache ?? {}).reduce((sum, { size }) => sum + size, 0);
}

/** The first `count` entries of a cache, as new tensors. */
export function truncatedCache(cache: Cache, count: number): Cache {
  return mapCache(cache, (leaf) =>
    leaf.shape[2] === count ? leaf.clone() : tf.slice(leaf, [0, 0, 0, 0], [-1, -1, count, -1]),
  );
}

/**
 * A cache's rows for some of its samples, as new tensors.
 *
 * @param branches rows per sample, as `GuidedBlock` says: all samples' first ones come first
 */
export function selectedCache(cache: Cache, branches: number, samples: readonly number[]): Cache {
  return tidy(() => {
    const [first] = Object.values(cache) as [tf.Tensor];
    const batch = (first.shape[0] as number) / branches;
    const rows = Array.from({ length: branches }, (_, branch) =>
      samples.map((sample) => branch * batch + sample),
    );
    const indices = tf.tensor1d(rows.flat(), 'int32');
    return mapCache(cache, (leaf) => tf.gather(leaf, indices));
  });
}

/**
 * Caches of parts of a batch as one cache of the whole, as new tensors.
 *
 * @param parts caches of equally many tokens, with the samples that they belong to; together they
 *   are 0 … batch − 1
 */
export function joinedCache(
  parts: readonly { cache: Cache; samples: readonly number[] }[],
  branches: number,
): Cache {
  return tidy(() => {
    const batch = parts.reduce((sum, { samples }) => sum + samples.length, 0);
    const rows = new Int32Array(branches * batch);
    let offset = 0;
    for (const { samples } of parts) {
      for (let branch = 0; branch < branches; branch++) {
        for (const sample of samples) rows[branch * batch + sample] = offset++;
      }
    }
    const indices = tf.tensor1d(rows, 'int32');
    const [first] = parts;
    return Object.fromEntries(
      Object.keys(first?.cache ?? {}).map((name) => {
        const leaves = parts.map(({ cache }) => cache[name] as tf.Tensor);
        return [name, tf.gather(tf.concat(leaves, 0), indices)];
      }),
    );
  });
}

const prefix = 'cache.';

/** A cache's tensors by names that meet no others. */
export function cacheLeaves(cache: Cache): Cache {
  return Object.fromEntries(Object.entries(cache).map(([name, leaf]) => [prefix + name, leaf]));
}

/** The cache among named tensors, see {@link cacheLeaves}. */
export function cacheOfLeaves(named: Cache): Cache {
  return Object.fromEntries(
    Object.entries(named)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, leaf]) => [name.slice(prefix.length), leaf]),
  );
}

function mapCache(cache: Cache, f: (leaf: tf.Tensor) => tf.Tensor): Cache {
  return Object.fromEntries(Object.entries(cache).map(([name, leaf]) => [name, f(leaf)]));
}
