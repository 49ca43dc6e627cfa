import { gelu, layerNorm } from '../backend/ops.js';
import {
  callCompiled,
  inParts,
  repeat,
  threadsForParts,
  withSlice,
} from '../backend/program/index.js';
import { tf } from '../backend/tf.js';
import { type Leaves, leaves, mapTree, withLeaves } from '../backend/tree.js';
import { type FlowBlock, permute } from '../flow/block.js';
import { tokenCount, tokenWidth } from '../flow/config.js';
import type {
  BlockParameters,
  LayerParameters,
  LinearParameters,
  NormParameters,
} from '../flow/parameters.js';
import { conditional, extrapolated, type GuidedBlock, strengths } from './guidance.js';

/**
 * Solves a block for its input token by token, as `solveSequentially` does, in one call or a few:
 * the loop over tokens is compiled, and keys and values are written in place (TarFlow, section
 * 3.1). The mathematics is that of `predict` in flow/.
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @param onStep awaited after each call with the number of known tokens, to report progress or to
 *   stop by throwing
 * @param lengths numbers of keys that steps look at, ascending, the last one T; a call each
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
  const { config } = block;
  const tokens = z.shape[1];
  const shared: Leaves = tf.tidy(() => ({
    positions: permute(block, block.parameters.pos_embed, 0).clone(),
    ...(guidance && { strength: tf.tensor1d(strengths(block, guidance, 0, tokens - 1)) }),
    ...joined(partsOf(guided, z, sizes).map(given)),
  }));
  let state: Leaves = {};
  const { pos_embed, ...parameters } = leaves(block.parameters);
  const few = branches * (sizes[0] as number) < manyRows;
  try {
    let start = 0;
    for (const length of lengths) {
      const end = Math.min(length, tokens - 1);
      const range = { start, end, length };
      const next = callCompiled<Leaves, Leaves>({
        name: 'decode',
        description: [config, range, guidance?.on ?? (guidance ? 'ab' : '')],
        parameters,
        instance: block.index,
        inputs: { ...shared, ...state },
        body: (weights, inputs) => {
          const table = inputs.positions as tf.Tensor;
          const traced = withLeaves(block.parameters, { ...weights, pos_embed: table });
          const moved = { ...block, parameters: few ? transposed(traced) : traced };
          const parts = sizes.map((_, part) => () => {
            const own: Leaves = { ...inputs, ...ofPart(inputs, part) };
            const begun =
              start === 0 ? { ...own, ...beginning(config, branches, length, own) } : own;
            const { solved, ...rest } = decodeRange(moved, guided, few, range, begun);
            return { solved: solved as tf.Tensor, ...(end < tokens - 1 && rest) };
          });
          return joined(inParts(parts));
        },
        mode: execution.loop,
        precision: execution.precision,
      });
      tf.dispose(state);
      state = next;
      start = end;
      await onStep?.(end + 1);
    }
    return tf.tidy(() => {
      const solved = sizes.map((_, part) => state[`${part}.solved`] as tf.Tensor3D);
      return tf.transpose(tf.concat(solved, 1), [1, 0, 2]);
    });
  } finally {
    tf.dispose([shared, state]);
  }
}

/** So many multiplications in a step take about as long as a second loop costs. */
const worthALoop = 1.5e6;

/**
 * How many samples each part of a batch has. Parts are solved side by side, each by a thread in a
 * loop of its own: XLA does not divide the small operations of a step.
 */
function partSizes(guided: GuidedBlock, batch: number): number[] {
  const {
    block: { config },
    branches,
    execution,
  } = guided;
  const weights = 12 * config.channels ** 2 * config.layersPerBlock;
  const worth = Math.floor((branches * batch * weights) / worthALoop);
  const threads = execution.loop === 'xla' ? threadsForParts('xla') : 1;
  const count = Math.max(1, Math.min(batch, worth, threads));
  return Array.from(
    { length: count },
    (_, part) => Math.floor((batch * (part + 1)) / count) - Math.floor((batch * part) / count),
  );
}

/** Some samples of a batch: their latents and what they are predicted under. */
interface Part {
  z: tf.Tensor3D;
  guided: GuidedBlock;
}

function partsOf(guided: GuidedBlock, z: tf.Tensor3D, sizes: readonly number[]): Part[] {
  if (sizes.length === 1) return [{ z, guided }];
  let first = 0;
  return sizes.map((size) => {
    const samples = Array.from({ length: size }, (_, i) => first + i);
    const part = { z: tf.slice(z, [first, 0, 0], [size, -1, -1]), guided: guided.select(samples) };
    first += size;
    return part;
  });
}

/** What a part's steps read and do not change. */
function given({ z, guided: { block, conditions } }: Part): Leaves {
  const { channels, headWidth } = block.config;
  return {
    latents: tf.transpose(z, [1, 0, 2]), // (T, samples, D)
    ...(conditions.classes && { classes: conditions.classes.clone() }),
    ...(conditions.temperature && {
      temperature: ofHeads(conditions.temperature, channels / headWidth),
    }),
  };
}

/**
 * What a part's steps change, before the first of them. It is made where they are compiled: caches
 * that came from outside would be copied.
 */
function beginning(
  { channels, headWidth, layersPerBlock }: FlowBlock['config'],
  branches: number,
  length: number,
  inputs: Leaves,
): Leaves {
  const latents = inputs.latents as tf.Tensor3D;
  const rows = branches * latents.shape[1];
  const shape: [number, number, number] = [(rows * channels) / headWidth, length, headWidth];
  return {
    token: tf.squeeze(tf.slice(latents, 0, 1), [0]),
    solved: latents,
    ...Object.fromEntries(cacheNames(layersPerBlock).map((name) => [name, tf.fill(shape, 0)])),
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

/** The memory that {@link decodeSequentially} takes for keys and values, in bytes. */
export function decodingCacheBytes({ block: { config }, branches }: GuidedBlock, batch: number) {
  return 8 * branches * batch * tokenCount(config) * config.channels * config.layersPerBlock;
}

/**
 * Below as many rows, x·W with a weight that was transposed before the loop is faster than x·Wᵀ with
 * the weight as it is stored, which would be copied in every round.
 */
const manyRows = 96;

/** Parameters with the weights of linear layers as (inputs, outputs). */
function transposed(parameters: BlockParameters): BlockParameters {
  return mapTree(parameters, (leaf, name) =>
    name.endsWith('.weight') && leaf.rank === 2 ? tf.transpose(leaf) : leaf,
  );
}

/** Tokens to solve for after `start` and up to `end`, in steps that look at `length` keys. */
interface Range {
  start: number;
  end: number;
  length: number;
}

/**
 * Some rounds of the loop over tokens.
 *
 * @param few true where the weights of linear layers are (inputs, outputs)
 * @param inputs `token` (batch, D), the last one that is known; `solved` (T, batch, D); keys and
 *   values (rows·heads, at most `length`, head width); `latents` (T, batch, D), `positions` (T,
 *   channels) in the block's order, and the conditions
 * @returns the first of these as they are afterwards, keys and values of `length` tokens
 */
function decodeRange(
  block: FlowBlock,
  { guidance }: GuidedBlock,
  few: boolean,
  { start, end, length }: Range,
  inputs: Leaves,
): Leaves {
  const { config, parameters } = block;
  const width = tokenWidth(config);
  const { latents, positions, classes, temperature, strength } = inputs as Record<
    'latents' | 'positions' | 'classes' | 'temperature' | 'strength',
    tf.Tensor
  >;
  const term =
    parameters.class_embed && classTerm(parameters.class_embed, classes as tf.Tensor2D | undefined);
  const names = ['token', 'solved', ...cacheNames(config.layersPerBlock)];
  const carried = names.map((name) => {
    const tensor = inputs[name] as tf.Tensor;
    return /^(keys|values)/.test(name) ? lengthened(tensor as tf.Tensor3D, length) : tensor;
  });
  const linear: Linear = ({ weight, bias }, x) =>
    tf.add(tf.matMul(x, weight, false, !few), bias) as tf.Tensor2D;
  const results = repeat(start, end, carried, (t, [token, solved, ...caches]) => {
    const given = guidance ? tf.concat([token, token] as tf.Tensor2D[], 0) : token;
    let h = tf.add(linear(parameters.proj_in, given as tf.Tensor2D), tf.gather(positions, t));
    if (term) h = tf.add(h, term);
    const unseen = tf.greater(tf.range(0, length, 1, 'int32'), t);
    const mask = tf.mul(tf.cast(unseen, 'float32'), -1e9);
    const extended: tf.Tensor[] = [];
    parameters.attn_blocks.forEach((layer, index) => {
      const cache = {
        keys: caches[2 * index] as tf.Tensor3D,
        values: caches[2 * index + 1] as tf.Tensor3D,
        place: t,
        mask,
        temperature,
      };
      const step = layerStep(layer, h as tf.Tensor2D, cache, linear);
      h = step.h;
      extended.push(step.keys, step.values);
    });
    const next = tf.add(t, tf.scalar(1, 'int32')) as tf.Scalar;
    const latent = tf.gather(latents, next) as tf.Tensor;
    const { a, b } = outputs(config, linear(parameters.proj_out, h as tf.Tensor2D), width);
    const guide = (pair: tf.Tensor2D, other: 'a' | 'b'): tf.Tensor2D => {
      if (!guidance) return pair;
      if (guidance.on === other) return conditional(pair);
      return extrapolated(pair, tf.gather(strength, t), 0);
    };
    const moved = a ? tf.mul(latent, tf.exp(guide(a, 'b'))) : latent;
    const made = tf.add(moved, guide(b, 'a'));
    const longer = withSlice(solved as tf.Tensor3D, 0, next, tf.expandDims(made, 0));
    return [made, longer, ...extended];
  });
  return Object.fromEntries(names.map((name, index) => [name, results[index] as tf.Tensor]));
}

/** Numbers of rows (rows, 1, 1, 1) as numbers of their heads (rows·heads, 1, 1). */
function ofHeads(numbers: tf.Tensor4D, heads: number): tf.Tensor3D {
  return tf.reshape(tf.tile(numbers, [1, heads, 1, 1]), [-1, 1, 1]);
}

/** A cache with room for `length` tokens. */
function lengthened(cache: tf.Tensor3D, length: number): tf.Tensor3D {
  const missing = length - cache.shape[1];
  if (missing === 0) return cache;
  const none: [number, number] = [0, 0];
  return tf.pad(cache, [none, [0, missing], none]);
}

/** Log-scale and shift; a volume-preserving block has no log-scale. */
function outputs(
  { volumePreserving }: FlowBlock['config'],
  out: tf.Tensor2D,
  width: number,
): { a?: tf.Tensor2D; b: tf.Tensor2D } {
  if (volumePreserving) return { b: out };
  const [a, b] = tf.split(out, [width, width], 1) as [tf.Tensor2D, tf.Tensor2D];
  return { a, b };
}

/** A linear layer of rows. */
type Linear = (parameters: LinearParameters, x: tf.Tensor2D) => tf.Tensor2D;

/**
 * Rows and heads are one axis, as the products take them: were they two, XLA would not write in
 * place, but make three copies of the cache in every round.
 */
interface StepCache {
  keys: tf.Tensor3D;
  values: tf.Tensor3D;
  place: tf.Scalar;
  mask: tf.Tensor;
  temperature: tf.Tensor | undefined;
}

function layerStep(
  { attention, mlp }: LayerParameters,
  h: tf.Tensor2D,
  { keys, values, place, mask, temperature }: StepCache,
  linear: Linear,
): { h: tf.Tensor2D; keys: tf.Tensor3D; values: tf.Tensor3D } {
  const [rowsOfHeads, , headWidth] = keys.shape;
  const norm = ({ weight, bias }: NormParameters, x: tf.Tensor2D) => layerNorm(x, weight, bias);
  const [q, k, v] = tf
    .split(linear(attention.qkv, norm(attention.norm, h)), 3, 1)
    .map((part) => tf.reshape(part, [rowsOfHeads, 1, headWidth])) as tf.Tensor3D[];
  const allKeys = withSlice(keys, 1, place, k as tf.Tensor3D);
  const allValues = withSlice(values, 1, place, v as tf.Tensor3D);
  let logits = tf.matMul(q as tf.Tensor3D, allKeys, false, true);
  logits = tf.mul(logits, 1 / Math.sqrt(headWidth));
  if (temperature) logits = tf.div(logits, temperature);
  const weights = tf.softmax(tf.add(logits, mask)) as tf.Tensor3D;
  const attended = tf.reshape(tf.matMul(weights, allValues), h.shape);
  const between = tf.add(h, linear(attention.proj, attended as tf.Tensor2D)) as tf.Tensor2D;
  const hidden = gelu(linear(mlp.main[0], norm(mlp.norm, between)));
  const out = tf.add(between, linear(mlp.main[2], hidden)) as tf.Tensor2D;
  return { h: out, keys: allKeys, values: allValues };
}

/** The class term (rows, channels), or (1, channels) where no label is given. */
function classTerm(
  table: NonNullable<BlockParameters['class_embed']>,
  classes: tf.Tensor2D | undefined,
): tf.Tensor2D {
  const [count, , channels] = table.shape;
  const flat = tf.reshape(table, [count, channels]) as tf.Tensor2D;
  return classes ? tf.matMul(classes, flat) : (tf.mean(flat, 0, true) as tf.Tensor2D);
}

function cacheNames(layers: number): string[] {
  return Array.from({ length: layers }, (_, layer) => [`keys${layer}`, `values${layer}`]).flat();
}

/**
 * The numbers of keys that steps look at: each looks at the least that holds all tokens seen, the
 * rest masked. Looking at all T keys in every step is twice the work of looking at those seen. Each
 * length takes half a second to compile, and so there are the more of them the more they save.
 */
function keyLengths(guided: GuidedBlock, batch: number): number[] {
  const { config } = guided.block;
  const tokens = tokenCount(config);
  // Half of what a model's steps read from memory, at 10 GB/s.
  const saved = (decodingCacheBytes(guided, batch) * tokens * config.blocks) / 2 / 1e10;
  const count = Math.min(8, Math.ceil(tokens / 16), 1 + Math.floor(saved / 0.25));
  return Array.from({ length: count }, (_, i) => Math.ceil((tokens * (i + 1)) / count));
}
