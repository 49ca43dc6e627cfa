import { tf, tidy } from '../../../core/tf.js';
import { mapTree } from '../../../core/tree.js';
import type { AutoregressiveBlock, Cache, Conditions } from '../../../flow/autoregressive.js';
import { joinedCache, selectedCache, truncatedCache } from '../../../flow/cache.js';

/** Samples that iterate together. */
export interface Group {
  /** Their places in the batch. */
  samples: number[];
  conditions: Conditions;
  /** The block's output (samples, T, D). */
  z: tf.Tensor3D;
  /** The iterate (samples, T, D). */
  x: tf.Tensor3D;
  /** Per sample the number of tokens, from the first, that are final. */
  final: number[];
  /** Keys and values of the first `cached` tokens, all of them final. */
  cache: Cache | undefined;
  cached: number;
}

/** The groups of a batch that are under way. They own their tensors but those of the whole batch. */
export class Groups {
  private readonly live = new Set<Group>();

  /** @param grain what numbers of cached tokens are multiples of */
  constructor(
    readonly block: AutoregressiveBlock,
    private readonly z: tf.Tensor3D,
    private readonly conditions: Conditions,
    readonly grain: number,
  ) {}

  /** All samples together, from a first iterate, which the group owns. */
  first(x: tf.Tensor3D): Group {
    const { z, conditions, block } = this;
    const samples = Array.from({ length: x.shape[0] }, (_, sample) => sample);
    const final = samples.map((): number => block.given);
    return this.own({ samples, conditions, z, x, final, cache: undefined, cached: 0 });
  }

  /** Some rows of a group as a group of their own. */
  part(group: Group, rows: readonly number[]): Group {
    const of = (values: readonly number[]): number[] => rows.map((row) => values[row] as number);
    const taken = tidy(() => {
      const indices = tf.tensor1d([...rows], 'int32');
      return {
        conditions: mapTree(group.conditions, (leaf) => tf.gather(leaf, indices)),
        z: tf.gather(group.z, indices),
        x: tf.gather(group.x, indices),
        cache: group.cache && selectedCache(this.block, group.cache, rows),
      };
    });
    const { cached } = group;
    return this.own({ samples: of(group.samples), final: of(group.final), cached, ...taken });
  }

  /** The whole batch again, in its own order, from groups that are released. */
  joined(parts: readonly Group[]): Group {
    const [only] = parts;
    if (parts.length === 1 && only?.z === this.z) return only;
    const { block, z, conditions } = this;
    const samples = parts.flatMap((group) => group.samples);
    const places = samples.map((_, sample) => samples.indexOf(sample));
    const finals = parts.flatMap((group) => group.final);
    const cached = floorTo(this.grain, Math.min(...parts.map((group) => group.cached)));
    const { x, cache } = tidy(() => {
      const caches = parts.flatMap(({ cache: own, samples: ofGroup }) =>
        own && cached > 0 ? { cache: truncatedCache(block, own, cached), samples: ofGroup } : [],
      );
      const all = tf.concat(
        parts.map((group) => group.x),
        0,
      );
      return {
        x: tf.gather(all, tf.tensor1d(places, 'int32')),
        cache: caches.length > 0 ? joinedCache(block, caches) : undefined,
      };
    });
    for (const group of parts) this.release(group);
    const final = places.map((place) => finals[place] as number);
    return this.own({ samples: samples.map((_, s) => s), conditions, z, x, final, cache, cached });
  }

  release(group: Group): void {
    this.live.delete(group);
    tf.dispose([group.x, group.cache ?? []]);
    if (group.z !== this.z) tf.dispose([group.z, group.conditions]);
  }

  dispose(): void {
    for (const group of this.live) this.release(group);
  }

  private own(group: Group): Group {
    this.live.add(group);
    return group;
  }
}

/** The greatest multiple of a grain that is not above a number. */
export function floorTo(grain: number, value: number): number {
  return value - (value % grain);
}
