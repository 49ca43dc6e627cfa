import {
  callCompiled,
  inParts,
  type Precision,
  repeat,
  threadsForParts,
  withSlice,
} from '@tarflow/graph';
import { currentEngine } from '../../../core/engine.js';
import { tf, tidy } from '../../../core/tf.js';
import { type Leaves, leaves, mapTree, nested, withLeaves } from '../../../core/tree.js';
import type {
  AutoregressiveBlock,
  Cache,
  Conditions,
  Decoder,
} from '../../../flow/autoregressive.js';
import { denormalise } from '../../../flow/gaussian.js';
import type { SolveContext } from '../definition.js';
import type { Execution } from '../execution.js';
import { givenTokens, lastOf } from './steps.js';

/** What the loop over the tokens of some samples reads and does not change. */
type PartInputs = {
  /** The block's output (T, samples, D), its tokens in the block's order. */
  latents: tf.Tensor3D;
  conditions: Conditions;
};

/** What a call of the loop hands to the next one. */
type PartState = {
  /** The last token that is known (samples, D). */
  token: tf.Tensor2D;
  /** (T, samples, D): tokens as far as they are known, then latents. */
  solved: tf.Tensor3D;
  cache: Cache;
};

/** Tokens to solve for after `start` and up to `end`, by steps that look at `length` tokens. */
interface Range {
  start: number;
  end: number;
  length: number;
}

/**
 * Solves a block for its input token by token, as `solveSequentially` does, in one call or a few:
 * the loop over tokens is compiled, and keys and values are written in place (TarFlow, section
 * 3.1).
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @param context its `onStep` is awaited after each call with the number of known tokens
 * @param lengths numbers of tokens that steps look at, ascending, the last one T; a call each
 * @param sizes numbers of samples that are solved side by side, all of the batch in sum
 * @returns the block's input (batch, T, D), in the block's order, which the caller frees
 */
export async function decodeSequentially(
  block: AutoregressiveBlock,
  z: tf.Tensor3D,
  { conditions, execution, onStep }: SolveContext,
  lengths: readonly number[] = keyLengths(block, z.shape[0]),
  sizes: readonly number[] = partSizes(block, z.shape[0], execution),
): Promise<tf.Tensor3D> {
  const [batch, tokens] = z.shape;
  const shared = tidy(() => ({
    places: placesOf(block),
    parts: partsOf({ latents: tf.transpose(z, [1, 0, 2]), conditions }, sizes),
  }));
  let states: PartState[] = [];
  try {
    for (const [i, length] of lengths.entries()) {
      const start = Math.min(lengths[i - 1] ?? 0, tokens - 1);
      const range: Range = { start, end: Math.min(length, tokens - 1), length };
      const isLast = i === lengths.length - 1;
      const inputs = { ...shared, states };
      const made = callCompiled({
        name: 'decode',
        // Only where the first token is predicted is the block itself called.
        description: [block.description, range, block.given === 0 ? block.direction : ''],
        parameters: leaves(block.parameters),
        instance: block.index,
        inputs: leaves(inputs),
        body: (parameters: Leaves, named: Leaves) => {
          const own = block.withParameters(parameters);
          const { places, parts, states: begun } = withLeaves(inputs, named);
          const decoder = decoderOf(own, sizes[0] ?? 1, places);
          const calls = parts.map((part, index) => () => {
            const state = begun[index] ?? beginning(own, decoder, length, part);
            const { solved, ...rest } = decodeRange(decoder, range, part, state);
            return leaves(isLast ? { solved } : { solved, ...rest });
          });
          return leaves(inParts(calls));
        },
        mode: execution.loop,
        precision: loopPrecision(block, batch, execution),
      });
      tf.dispose(states);
      states = Object.values(nested<Record<string, PartState>>(made));
      await onStep?.(range.end + 1);
    }
    return tidy(() => {
      const solved = states.map((state) => state.solved);
      return tf.transpose(tf.concat(solved, 1), [1, 0, 2]);
    });
  } finally {
    tf.dispose([shared, states]);
  }
}

/** Some rounds of the loop over tokens, each from the last token that is known to the next one. */
function decodeRange(
  decoder: Decoder,
  { start, end, length }: Range,
  { latents, conditions }: PartInputs,
  state: PartState,
): PartState {
  const cache = decoder.lengthened(state.cache, length);
  const names = Object.keys(cache);
  const cacheOf = (tensors: readonly tf.Tensor[]): Cache =>
    Object.fromEntries(tensors.map((tensor, i) => [names[i], tensor]));
  const step = decoder.stepper(conditions);
  const carried = [state.token, state.solved, ...Object.values(cache)];
  const [token, solved, ...rest] = repeat(start, end, carried, (t, [known, all, ...before]) => {
    const made = step(t, known as tf.Tensor2D, cacheOf(before));
    const next: tf.Scalar = tf.add(t, tf.scalar(1, 'int32'));
    const latent = tf.gather<tf.Tensor>(latents, next) as tf.Tensor2D;
    const found = denormalise(latent, made.next);
    const longer = withSlice(all as tf.Tensor3D, 0, next, tf.expandDims(found, 0));
    return [found, longer, ...names.map((name) => made.cache[name] as tf.Tensor)];
  });
  return { token: token as tf.Tensor2D, solved: solved as tf.Tensor3D, cache: cacheOf(rest) };
}

/**
 * What a part's steps change, before the first of them. It is made where they are compiled: caches
 * that came from outside would be copied.
 */
function beginning(
  block: AutoregressiveBlock,
  decoder: Decoder,
  length: number,
  { latents, conditions }: PartInputs,
): PartState {
  const first: tf.Tensor2D = tf.squeeze(tf.slice(latents, 0, 1), [0]);
  if (block.given === 1) {
    const cache = decoder.emptyCache(latents.shape[1], length);
    return { token: first, solved: latents, cache };
  }
  const latent: tf.Tensor3D = tf.expandDims(first, 1);
  const place = { conditions, keepCache: true };
  const { next, cache } = block.predict(givenTokens(block, latent), place);
  const token: tf.Tensor2D = tf.squeeze(denormalise(latent, lastOf(next)), [1]);
  const solved = tf.concat([tf.expandDims<tf.Tensor3D>(token, 0), tf.slice(latents, 1)], 0);
  return { token, solved, cache: decoder.cacheOf(cache ?? {}, length) };
}

/** The raster index of each token in the block's order (T) int32. */
export function placesOf(block: AutoregressiveBlock): tf.Tensor1D {
  const raster: tf.Tensor3D = tf.reshape(tf.range(0, block.tokens), [1, block.tokens, 1]);
  return tf.cast(tf.reshape(block.order(raster), [block.tokens]), 'int32');
}

export function decoderOf(block: AutoregressiveBlock, rows: number, places: tf.Tensor1D): Decoder {
  if (block.decoder) return block.decoder(rows, places);
  throw new Error('A block without a step for one token cannot be solved by a loop.');
}

/**
 * From so many rows of a step on, the processors that were measured take longer for a compiled step
 * with factors in bfloat16 than for one in float32. With fewer it is reading the weights that takes
 * time, and of bfloat16 there is half as much to read.
 */
const manyRows = 4;

/** The precision of a loop's steps: what is asked for, or float32 where that is faster. */
function loopPrecision(
  { cache }: AutoregressiveBlock,
  batch: number,
  { loop, precision }: Execution,
): Precision {
  const slower = loop === 'xla' && !currentEngine().gpu && cache.rows * batch >= manyRows;
  return slower ? 'float32' : precision;
}

/** So many multiplications in a step take about as long as a second loop costs. */
const worthALoop = 1.5e6;

/**
 * How many samples each part of a batch has. Parts are solved side by side, each by a thread in a
 * loop of its own: XLA does not divide the small operations of a step.
 */
function partSizes(
  { cache, cost }: AutoregressiveBlock,
  batch: number,
  { loop }: Execution,
): number[] {
  const worth = Math.floor((cache.rows * batch * cost.work) / worthALoop);
  const threads = loop === 'xla' ? threadsForParts('xla') : 1;
  const count = Math.max(1, Math.min(batch, worth, threads));
  return Array.from(
    { length: count },
    (_, part) => Math.floor((batch * (part + 1)) / count) - Math.floor((batch * part) / count),
  );
}

/** The inputs of each part of a batch. */
function partsOf({ latents, conditions }: PartInputs, sizes: readonly number[]): PartInputs[] {
  let first = 0;
  return sizes.map((size) => {
    const rows = [first, size] as const;
    first += size;
    return {
      latents: tf.slice(latents, [0, rows[0], 0], [-1, size, -1]),
      conditions: mapTree(conditions, (leaf) => tf.slice(leaf, ...rows)),
    };
  });
}

/** The memory that the cache of a loop takes, in bytes. */
export function loopCacheBytes({ tokens, cache }: AutoregressiveBlock, batch: number): number {
  return 4 * cache.rows * batch * (cache.lead + tokens) * cache.width;
}

/**
 * The numbers of tokens that steps look at: each looks at the least that holds all tokens seen, the
 * rest masked. Looking at all T in every step is twice the work of looking at those seen. Each
 * length takes half a second to compile, and so there are the more of them the more they save.
 */
function keyLengths(block: AutoregressiveBlock, batch: number): number[] {
  const { tokens, cost } = block;
  // Half of what a model's steps read from memory, at 10 GB/s.
  const saved = (loopCacheBytes(block, batch) * tokens * cost.stack) / 2 / 1e10;
  const count = Math.min(8, Math.ceil(tokens / 16), 1 + Math.floor(saved / 0.25));
  return Array.from({ length: count }, (_, i) => Math.ceil((tokens * (i + 1)) / count));
}
