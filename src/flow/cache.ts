import { tf, tidy } from '../core/tf.js';
import { mapTree } from '../core/tree.js';
import type { AutoregressiveBlock, Cache } from './autoregressive.js';

type Cached = Pick<AutoregressiveBlock, 'cache'>;

/** The memory that a cache takes, in bytes. */
export function cacheBytes(cache: Cache | undefined): number {
  return 4 * Object.values(cache ?? {}).reduce((sum, { size }) => sum + size, 0);
}

/** The part of a block's cache that belongs to its first tokens, as new tensors. */
export function truncatedCache({ cache: { lead } }: Cached, cache: Cache, tokens: number): Cache {
  const count = lead + tokens;
  return mapTree(cache, (leaf) =>
    leaf.shape[2] === count ? leaf.clone() : tf.slice(leaf, [0, 0, 0, 0], [-1, -1, count, -1]),
  );
}

/** A cache's rows for some of its samples, as new tensors. */
export function selectedCache(
  { cache: { rows: branches } }: Cached,
  cache: Cache,
  samples: readonly number[],
): Cache {
  return tidy(() => {
    const all = Object.values(cache)[0]?.shape[0] ?? 0;
    const rows = Array.from({ length: branches }, (_, branch) =>
      samples.map((sample) => (branch * all) / branches + sample),
    );
    const indices = tf.tensor1d(rows.flat(), 'int32');
    return mapTree(cache, (leaf) => tf.gather(leaf, indices));
  });
}

/**
 * Caches of parts of a batch as one cache of the whole, as new tensors.
 *
 * @param parts caches of equally many tokens, with the samples that they belong to; together they
 *   are 0 … batch − 1
 */
export function joinedCache(
  { cache: { rows: branches } }: Cached,
  parts: readonly { cache: Cache; samples: readonly number[] }[],
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
    const caches = parts.map(({ cache }) => cache);
    return mapTree(caches[0] ?? {}, (_, name) =>
      tf.gather(tf.concat(caches.flatMap((cache) => cache[name] ?? [])), indices),
    );
  });
}
