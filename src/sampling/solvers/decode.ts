import { currentEngine } from '../../backend/engine.js';
import {
  callCompiled,
  inParts,
  type Precision,
  repeat,
  threadsForParts,
  withSlice,
} from '../../backend/program/index.js';
import { tf, tidy } from '../../backend/tf.js';
import { type Leaves, leaves } from '../../backend/tree.js';
import type { AutoregressiveBlock, Cache, Decoder } from '../../flow/autoregressive.js';
import { denormalise } from '../../flow/gaussian.js';
import { cacheLeaves, cacheOfLeaves } from '../guidance/cache.js';
import {
  type GuidedBlock,
  guidanceKey,
  guidanceWeights,
  guidedPrediction,
  predictGuided,
} from '../guidance/guided-block.js';
import { givenTokens, lastOf } from './sequential.js';

/**
 * Solves a block for its input token by token, as `solveSequentially` does, in one call or a few:
 * the loop over tokens is compiled, and keys and values are written in place (TarFlow, section
 * 3.1).
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @param onStep awaited after each call with the number of known tokens, to report progress or to
 *   stop by throwing
 * @param lengths numbers of tokens that steps look at, ascending, the last one T; a call each
 * @param sizes numbers of samples that are solved side by side, all of the batch in sum
 * @returns the block's input (batch, T, D), in the block's order, which the caller frees
 */
export async function decodeSequentially(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  onStep?: (known: number) => Promise<void> | void,
  lengths: readonly number[] = keyLengths(guided, z.shape[0]),
  sizes: readonly number[] = partSizes(guided, z.shape[0]),
): Promise<tf.Tensor3D> {
  const { block, guidance, branches, execution } = guided;
  const tokens = z.shape[1];
  const shared: Leaves = tidy(() => ({
    places: placesOf(block),
    ...(guidance && { weights: tf.tensor1d(guidanceWeights(block, guidance, 0, tokens)) }),
    ...joined(partsOf(guided, z, sizes)),
  }));
  let state: Leaves = {};
  const conditions = Object.keys(guided.conditions);
  try {
    let start = 0;
    for (const length of lengths) {
      const end = Math.min(length, tokens - 1);
      const range = { start, end, length };
      const next = callCompiled<Leaves, Leaves>({
        name: 'decode',
        description: [
          ...[block.description, range, guidance ? guidanceKey(guidance) : ''],
          // Only where the first token is predicted is the block itself called.
          ...(block.given === 0 ? [block.direction] : []),
        ],
        parameters: leaves(block.parameters),
        instance: block.index,
        inputs: { ...shared, ...state },
        body: (parameters, inputs) => {
          const traced = { ...guided, block: block.withParameters(parameters) };
          const decoder = decoderOf(traced, branches * (sizes[0] as number), inputs);
          const parts = sizes.map((_, part) => () => {
            const own: Leaves = { ...inputs, ...ofPart(inputs, part) };
            const given = Object.fromEntries(conditions.map((name) => [name, own[name]]));
            const moved = { ...traced, conditions: given };
            const begun = start === 0 ? { ...own, ...beginning(moved, decoder, length, own) } : own;
            const { solved, ...rest } = decodeRange(moved, decoder, range, begun);
            return { solved: solved as tf.Tensor, ...(end < tokens - 1 && rest) };
          });
          return joined(inParts(parts));
        },
        mode: execution.loop,
        precision: loopPrecision(guided, z.shape[0]),
      });
      tf.dispose(state);
      state = next;
      start = end;
      await onStep?.(end + 1);
    }
    return tidy(() => {
      const solved = sizes.map((_, part) => state[`${part}.solved`] as tf.Tensor3D);
      return tf.transpose(tf.concat(solved, 1), [1, 0, 2]);
    });
  } finally {
    tf.dispose([shared, state]);
  }
}

/** The raster index of each token in the block's order (T) int32. */
function placesOf(block: AutoregressiveBlock): tf.Tensor1D {
  const raster = tf.reshape(tf.range(0, block.tokens), [1, block.tokens, 1]) as tf.Tensor3D;
  return tf.cast(tf.reshape(block.order(raster), [block.tokens]), 'int32');
}

function decoderOf({ block }: GuidedBlock, rows: number, { places }: Leaves): Decoder {
  if (block.decoder) return block.decoder(rows, places as tf.Tensor1D);
  throw new Error('A block without a one-token step cannot be decoded by a loop.');
}

/**
 * From so many rows of a batch on, the processors that were measured take longer for a compiled step
 * with factors in bfloat16 than for one in float32. With fewer it is reading the weights that takes
 * time, and of bfloat16 there is half as much to read.
 */
const manyRows = 4;

/** The precision of a loop's steps: what is asked for, or float32 where that is faster. */
function loopPrecision({ branches, execution }: GuidedBlock, batch: number): Precision {
  const { loop, precision } = execution;
  const slower = loop === 'xla' && !currentEngine().gpu && branches * batch >= manyRows;
  return slower ? 'float32' : precision;
}

/** So many multiplications in a step take about as long as a second loop costs. */
const worthALoop = 1.5e6;

/**
 * How many samples each part of a batch has. Parts are solved side by side, each by a thread in a
 * loop of its own: XLA does not divide the small operations of a step.
 */
function partSizes({ block, branches, execution }: GuidedBlock, batch: number): number[] {
  const worth = Math.floor((branches * batch * block.work) / worthALoop);
  const threads = execution.loop === 'xla' ? threadsForParts('xla') : 1;
  const count = Math.max(1, Math.min(batch, worth, threads));
  return Array.from(
    { length: count },
    (_, part) => Math.floor((batch * (part + 1)) / count) - Math.floor((batch * part) / count),
  );
}

/** What the steps of each part of a batch read and do not change: latents and conditions. */
function partsOf(guided: GuidedBlock, z: tf.Tensor3D, sizes: readonly number[]): Leaves[] {
  let first = 0;
  return sizes.map((size) => {
    const samples = Array.from({ length: size }, (_, i) => first + i);
    const whole = sizes.length === 1;
    const { conditions } = whole ? guided : guided.select(samples);
    const rows = Object.entries(conditions as Leaves).map(([name, leaf]) => [name, leaf.clone()]);
    const own = whole ? z : tf.slice(z, [first, 0, 0], [size, -1, -1]);
    first += size;
    return { latents: tf.transpose(own, [1, 0, 2]), ...Object.fromEntries(rows) } as Leaves;
  });
}

/**
 * What a part's steps change, before the first of them. It is made where they are compiled: caches
 * that came from outside would be copied.
 */
function beginning(
  guided: GuidedBlock,
  decoder: Decoder,
  length: number,
  { latents, weights }: Leaves,
): Leaves {
  const { block, branches } = guided;
  const [, samples] = (latents as tf.Tensor3D).shape;
  const first = tf.squeeze<tf.Tensor2D>(tf.slice(latents as tf.Tensor3D, 0, 1), [0]);
  if (block.given === 1) {
    const cache = decoder.emptyCache(branches * samples, length);
    return { token: first, solved: latents as tf.Tensor, ...cacheLeaves(cache) };
  }
  const none = givenTokens(block, tf.expandDims(first, 1));
  const weight = weights && tf.reshape(tf.slice(weights, 0, 1), [1, 1, 1]);
  const place = { start: 0, keepCache: true };
  const { next, cache } = predictGuided(guided, none, place, weight);
  const made = denormalise(tf.expandDims<tf.Tensor3D>(first, 1), lastOf(next));
  const token = tf.squeeze<tf.Tensor2D>(made, [1]);
  const rest = tf.slice(latents as tf.Tensor3D, 1);
  return {
    token,
    solved: tf.concat([tf.expandDims<tf.Tensor3D>(token, 0), rest], 0),
    ...cacheLeaves(decoder.cacheOf(cache ?? {}, length)),
  };
}

/** Leaves of parts as one record, each with its part's number before its name. */
function joined(parts: readonly Leaves[]): Leaves {
  return Object.fromEntries(
    parts.flatMap((part, index) =>
      Object.entries(part).map(([name, leaf]) => [`${index}.${name}`, leaf]),
    ),
  );
}

/** The leaves of one part of {@link joined}. */
function ofPart(leavesOfParts: Leaves, part: number): Leaves {
  const prefix = `${part}.`;
  return Object.fromEntries(
    Object.entries(leavesOfParts)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, leaf]) => [name.slice(prefix.length), leaf]),
  );
}

/** The memory that {@link decodeSequentially} takes for its cache, in bytes. */
export function decodingCacheBytes({ block, branches }: GuidedBlock, batch: number): number {
  return 4 * branches * batch * (block.lead + block.tokens) * block.cacheWidth;
}

/** Tokens to solve for after `start` and up to `end`, in steps that look at `length` tokens. */
interface Range {
  start: number;
  end: number;
  length: number;
}

/**
 * Some rounds of the loop over tokens.
 *
 * @param inputs `token` (samples, D), the last one that is known; `solved` (T, samples, D); the cache;
 *   `latents` (T, samples, D), and `weights` of guidance (T)
 * @returns the first of these as they are afterwards, the cache with room for `length` tokens
 */
function decodeRange(
  { conditions, guidance }: GuidedBlock,
  decoder: Decoder,
  { start, end, length }: Range,
  inputs: Leaves,
): Leaves {
  const { latents, weights } = inputs as Record<'latents' | 'weights', tf.Tensor>;
  const cache = decoder.lengthened(cacheOfLeaves(inputs), length);
  const names = Object.keys(cache);
  const carried = [inputs.token, inputs.solved, ...Object.values(cache)] as tf.Tensor[];
  const step = decoder.stepper(conditions);
  const results = repeat(start, end, carried, (t, [token, solved, ...leavesOfCache]) => {
    const given = guidance ? tf.concat([token, token] as tf.Tensor2D[], 0) : token;
    const before: Cache = Object.fromEntries(
      names.map((name, i) => [name, leavesOfCache[i]]),
    ) as Cache;
    const both = step(t, given as tf.Tensor2D, before);
    const next = tf.add(t, tf.scalar(1, 'int32')) as tf.Scalar;
    const latent = tf.gather(latents, next) as tf.Tensor2D;
    const predicted = guidance
      ? guidedPrediction(guidance, both.next, tf.gather(weights, next))
      : both.next;
    const made = denormalise(latent, predicted);
    const longer = withSlice(solved as tf.Tensor3D, 0, next, tf.expandDims(made, 0));
    return [made, longer, ...names.map((name) => both.cache[name] as tf.Tensor)];
  });
  const [token, solved, ...extended] = results as [tf.Tensor, tf.Tensor, ...tf.Tensor[]];
  const after = Object.fromEntries(names.map((name, i) => [name, extended[i] as tf.Tensor]));
  return { token, solved, ...cacheLeaves(after) };
}

/**
 * The numbers of tokens that steps look at: each looks at the least that holds all tokens seen, the
 * rest masked. Looking at all T in every step is twice the work of looking at those seen. Each
 * length takes half a second to compile, and so there are the more of them the more they save.
 */
function keyLengths(guided: GuidedBlock, batch: number): number[] {
  const { tokens, stack } = guided.block;
  // Half of what a model's steps read from memory, at 10 GB/s.
  const saved = (decodingCacheBytes(guided, batch) * tokens * stack) / 2 / 1e10;
  const count = Math.min(8, Math.ceil(tokens / 16), 1 + Math.floor(saved / 0.25));
  return Array.from({ length: count }, (_, i) => Math.ceil((tokens * (i + 1)) / count));
}
