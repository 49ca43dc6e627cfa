import { callCompiled, inParts, type Precision, threadsForParts } from '@tarflow/graph';
import { currentEngine } from '../../core/engine.js';
import { tf, tidy } from '../../core/tf.js';
import { type Leaves, leaves } from '../../core/tree.js';
import type { AutoregressiveBlock, Decoder } from '../../flow/autoregressive.js';
import { denormalise } from '../../flow/gaussian.js';
import { cacheLeaves } from '../guidance/cache.js';
import {
  type GuidedBlock,
  guidanceKey,
  guidanceWeights,
  predictGuided,
} from '../guidance/guided-block.js';
import { givenTokens, lastOf } from './sequential.js';

/** A solver that is a loop over a block's tokens, compiled as a few calls. */
export interface CompiledLoop<R extends LoopRange> {
  /** Of the calls, in errors and in graphs: letters and digits. */
  name: string;
  /** All on which rounds depend beside the block, its guidance and the range, JSON-able. */
  description: unknown;
  /** Consecutive tokens of each row in a step. */
  count: number;
  /** What rounds read beside the latents, by names that meet no others: numbers that change no graph. */
  inputs?: Leaves;
  /** A call each; the first one starts at 0. */
  ranges: readonly R[];
  /**
   * Some rounds for a part of the batch.
   *
   * @param state what the call before returned, at first `token` (samples, D), the first one of the
   *   block's input, `solved` (T, samples, D), which is that token and then the latents, and the cache
   *   of an empty loop; with it {@link inputs}, `latents` (T, samples, D), and `weights` of guidance (T)
   * @returns what the next call gets
   */
  rounds(part: GuidedBlock, decoder: Decoder, range: R, state: Leaves): Leaves;
  /** Names of what the last call returns. */
  results: readonly string[];
  /** Awaited after each call but the last, with its range and what it returned for each part. */
  onCall?: ((range: R, parts: readonly Leaves[]) => Promise<void> | void) | undefined;
}

/** Some rounds of a loop, which look at so many tokens. */
export interface LoopRange {
  start: number;
  length: number;
}

/**
 * Runs a loop over a block's tokens on all samples of a batch.
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @param sizes numbers of samples that are solved side by side, all of the batch in sum
 * @returns the results for each part, which the caller frees
 */
export async function runLoop<R extends LoopRange>(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  loop: CompiledLoop<R>,
  sizes: readonly number[] = partSizes(guided, z.shape[0], loop.count),
): Promise<Leaves[]> {
  const { block, guidance, branches, execution } = guided;
  const shared: Leaves = tidy(() => ({
    places: placesOf(block),
    ...(guidance && { weights: tf.tensor1d(guidanceWeights(block, guidance, 0, block.tokens)) }),
    ...joined(partsOf(guided, z, sizes)),
  }));
  let state: Leaves = {};
  const conditions = Object.keys(guided.conditions);
  try {
    for (const range of loop.ranges) {
      const last = range === loop.ranges.at(-1);
      const next = callCompiled<Leaves, Leaves>({
        name: loop.name,
        description: [
          ...[block.description, range, guidance ? guidanceKey(guidance) : '', loop.description],
          // Only where the first token is predicted is the block itself called.
          ...(block.given === 0 ? [block.direction] : []),
        ],
        parameters: leaves(block.parameters),
        instance: block.index,
        inputs: { ...shared, ...loop.inputs, ...state },
        body: (parameters, inputs) => {
          const traced = { ...guided, block: block.withParameters(parameters) };
          const rows = branches * (sizes[0] as number) * loop.count;
          const decoder = decoderOf(traced, rows, inputs);
          const parts = sizes.map((_, part) => () => {
            const own: Leaves = { ...inputs, ...ofPart(inputs, part) };
            const given = Object.fromEntries(conditions.map((name) => [name, own[name]]));
            const moved = { ...traced, conditions: given };
            const begun =
              range.start === 0 ? { ...own, ...beginning(moved, decoder, range.length, own) } : own;
            const made = loop.rounds(moved, decoder, range, begun);
            return last ? named(made, loop.results) : made;
          });
          return joined(inParts(parts));
        },
        mode: execution.loop,
        precision: loopPrecision(guided, z.shape[0] * loop.count),
      });
      tf.dispose(state);
      state = next;
      if (!last) await loop.onCall?.(range, partsIn(state, sizes.length));
    }
    const results = partsIn(state, sizes.length);
    state = {};
    return results;
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
  throw new Error('A block without a step for a few tokens cannot be solved by a loop.');
}

/**
 * From so many rows of a step on, the processors that were measured take longer for a compiled step
 * with factors in bfloat16 than for one in float32. With fewer it is reading the weights that takes
 * time, and of bfloat16 there is half as much to read.
 */
const manyRows = 4;

/**
 * The precision of a loop's steps: what is asked for, or float32 where that is faster.
 *
 * @param rows of a step without guidance: samples of the batch times the tokens of each
 */
export function loopPrecision({ branches, execution }: GuidedBlock, rows: number): Precision {
  const { loop, precision } = execution;
  const slower = loop === 'xla' && !currentEngine().gpu && branches * rows >= manyRows;
  return slower ? 'float32' : precision;
}

/** So many multiplications in a step take about as long as a second loop costs. */
const worthALoop = 1.5e6;

/**
 * How many samples each part of a batch has. Parts are solved side by side, each by a thread in a
 * loop of its own: XLA does not divide the small operations of a step.
 */
function partSizes(
  { block, branches, execution }: GuidedBlock,
  batch: number,
  tokens: number,
): number[] {
  const worth = Math.floor((branches * batch * tokens * block.work) / worthALoop);
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

function partsIn(leavesOfParts: Leaves, count: number): Leaves[] {
  return Array.from({ length: count }, (_, part) => ofPart(leavesOfParts, part));
}

function named(all: Leaves, names: readonly string[]): Leaves {
  return Object.fromEntries(names.map((name) => [name, all[name] as tf.Tensor]));
}

/** Samples (samples, T, D) from the `solved` (T, samples, D) of parts. */
export function solvedTokens(parts: readonly Leaves[]): tf.Tensor3D {
  return tidy(() => {
    const solved = parts.map((part) => part.solved as tf.Tensor3D);
    return tf.transpose(tf.concat(solved, 1), [1, 0, 2]);
  });
}

/** The memory that the cache of a loop takes, in bytes. */
export function loopCacheBytes({ block, branches }: GuidedBlock, batch: number): number {
  return 4 * branches * batch * (block.lead + block.tokens) * block.cacheWidth;
}

/**
 * The numbers of tokens that steps look at: each looks at the least that holds all tokens seen, the
 * rest masked. Looking at all T in every step is twice the work of looking at those seen. Each
 * length takes half a second to compile, and so there are the more of them the more they save.
 */
export function keyLengths(guided: GuidedBlock, batch: number): number[] {
  const { tokens, stack } = guided.block;
  // Half of what a model's steps read from memory, at 10 GB/s.
  const saved = (loopCacheBytes(guided, batch) * tokens * stack) / 2 / 1e10;
  const count = Math.min(8, Math.ceil(tokens / 16), 1 + Math.floor(saved / 0.25));
  return Array.from({ length: count }, (_, i) => Math.ceil((tokens * (i + 1)) / count));
}
