import { gelu } from '../backend/ops.js';
import { callCompiled, repeat, withSlice } from '../backend/program/index.js';
import { tf } from '../backend/tf.js';
import { type Leaves, leaves, withLeaves } from '../backend/tree.js';
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
 * 3.1). The mathematics is that of `predict` in flow/; the layout is not. Activations are columns,
 * (channels, rows): W·x multiplies a weight as it is stored, while x·Wᵀ with few rows x would first
 * copy the weight, at every step.
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @param onStep awaited after each call with the number of known tokens, to report progress or to
 *   stop by throwing
 * @param lengths numbers of keys that steps look at, ascending, the last one T; a call each
 * @returns the block's input (batch, T, D), in the block's order, which the caller frees
 */
export async function decodeSequentially(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  onStep?: (known: number) => Promise<void> | void,
  lengths: readonly number[] = keyLengths(guided, z.shape[0]),
): Promise<tf.Tensor3D> {
  const { block, conditions, guidance, branches, execution } = guided;
  const { config } = block;
  const { channels, headWidth, layersPerBlock } = config;
  const [batch, tokens] = z.shape;
  const rows = branches * batch;
  const shared: Leaves = tf.tidy(() => ({
    latents: tf.transpose(z, [1, 2, 0]), // (T, D, batch)
    positions: permute(block, block.parameters.pos_embed, 0).clone(),
    ...(conditions.classes && { classes: conditions.classes.clone() }),
    ...(conditions.temperature && { temperature: conditions.temperature.clone() }),
    ...(guidance && { strength: tf.tensor1d(strengths(block, guidance, 0, tokens - 1)) }),
  }));
  let state: Leaves = tf.tidy(() => ({
    token: tf.reshape(tf.slice(shared.latents as tf.Tensor3D, [0, 0, 0], [1, -1, -1]), [-1, batch]),
    solved: (shared.latents as tf.Tensor).clone(),
    ...Object.fromEntries(
      cacheNames(layersPerBlock).map((name) => [
        name,
        tf.zeros([rows, channels / headWidth, tokens, headWidth]),
      ]),
    ),
  }));
  const { pos_embed, ...parameters } = leaves(block.parameters);
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
        body: (given, inputs) => {
          const table = inputs.positions as tf.Tensor;
          const traced = withLeaves(block.parameters, { ...given, pos_embed: table });
          return decodeRange({ ...block, parameters: traced }, guided, range, inputs);
        },
        mode: execution.loop,
        precision: execution.precision,
      });
      tf.dispose(state);
      state = next;
      start = end;
      await onStep?.(end + 1);
    }
    return tf.transpose(state.solved as tf.Tensor3D, [2, 0, 1]);
  } finally {
    tf.dispose([shared, state]);
  }
}

/** The memory that {@link decodeSequentially} takes for keys and values, in bytes. */
export function decodingCacheBytes({ block: { config }, branches }: GuidedBlock, batch: number) {
  return 8 * branches * batch * tokenCount(config) * config.channels * config.layersPerBlock;
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
 * @param inputs `token` (D, batch), the last one that is known; `solved` (T, D, batch); keys and
 *   values (rows, heads, T, head width); `latents` (T, D, batch), `positions` (T, channels) in the
 *   block's order, and the conditions
 * @returns the first of these as they are afterwards
 */
function decodeRange(
  block: FlowBlock,
  { guidance }: GuidedBlock,
  { start, end, length }: Range,
  inputs: Leaves,
): Leaves {
  const { config, parameters } = block;
  const [tokens, width] = [tokenCount(config), tokenWidth(config)];
  const { latents, positions, classes, temperature, strength } = inputs as Record<
    'latents' | 'positions' | 'classes' | 'temperature' | 'strength',
    tf.Tensor
  >;
  const columns = tf.reshape(positions, [tokens, config.channels, 1]);
  const term =
    parameters.class_embed && classTerm(parameters.class_embed, classes as tf.Tensor2D | undefined);
  const names = ['token', 'solved', ...cacheNames(config.layersPerBlock)];
  const carried = names.map((name) => inputs[name] as tf.Tensor);
  const results = repeat(start, end, carried, (t, [token, solved, ...caches]) => {
    const given = guidance ? tf.concat([token, token] as tf.Tensor2D[], 1) : token;
    let h = tf.add(linear(parameters.proj_in, given as tf.Tensor2D), tf.gather(columns, t));
    if (term) h = tf.add(h, term);
    const unseen = tf.greater(tf.range(0, length, 1, 'int32'), t);
    const mask = tf.mul(tf.cast(unseen, 'float32'), -1e9);
    const extended: tf.Tensor[] = [];
    parameters.attn_blocks.forEach((layer, index) => {
      const step = layerStep(layer, h as tf.Tensor2D, {
        keys: caches[2 * index] as tf.Tensor4D,
        values: caches[2 * index + 1] as tf.Tensor4D,
        place: t,
        length,
        mask,
        temperature,
      });
      h = step.h;
      extended.push(step.keys, step.values);
    });
    const next = tf.add(t, tf.scalar(1, 'int32')) as tf.Scalar;
    const latent = tf.gather(latents, next) as tf.Tensor;
    const { a, b } = outputs(block, h as tf.Tensor2D, width);
    const guide = (pair: tf.Tensor2D, other: 'a' | 'b'): tf.Tensor2D => {
      if (!guidance) return pair;
      if (guidance.on === other) return conditional(pair, 1);
      return extrapolated(pair, tf.gather(strength, t), 1);
    };
    const moved = a ? tf.mul(latent, tf.exp(guide(a, 'b'))) : latent;
    const made = tf.add(moved, guide(b, 'a'));
    const longer = withSlice(solved as tf.Tensor3D, 0, next, tf.expandDims(made, 0));
    return [made, longer, ...extended];
  });
  return Object.fromEntries(names.map((name, index) => [name, results[index] as tf.Tensor]));
}

/** Log-scale and shift, columns of D; a volume-preserving block has no log-scale. */
function outputs(
  { config, parameters }: FlowBlock,
  h: tf.Tensor2D,
  width: number,
): { a?: tf.Tensor2D; b: tf.Tensor2D } {
  const out = linear(parameters.proj_out, h);
  if (config.volumePreserving) return { b: out };
  const [a, b] = tf.split(out, [width, width], 0) as [tf.Tensor2D, tf.Tensor2D];
  return { a, b };
}

interface StepCache {
  keys: tf.Tensor4D;
  values: tf.Tensor4D;
  place: tf.Scalar;
  length: number;
  mask: tf.Tensor;
  temperature: tf.Tensor | undefined;
}

function layerStep(
  { attention, mlp }: LayerParameters,
  h: tf.Tensor2D,
  { keys, values, place, length, mask, temperature }: StepCache,
): { h: tf.Tensor2D; keys: tf.Tensor4D; values: tf.Tensor4D } {
  const [channels, rows] = h.shape;
  const [, heads, tokens, headWidth] = keys.shape;
  const [q, k, v] = tf
    .split(linear(attention.qkv, norm(attention.norm, h)), 3, 0)
    .map((part) => tf.reshape(tf.transpose(part), [rows, heads, 1, headWidth])) as tf.Tensor4D[];
  const allKeys = withSlice(keys, 2, place, k as tf.Tensor4D);
  const allValues = withSlice(values, 2, place, v as tf.Tensor4D);
  const seen = (cache: tf.Tensor4D): tf.Tensor4D =>
    length === tokens ? cache : tf.slice(cache, [0, 0, 0, 0], [-1, -1, length, -1]);
  let logits = tf.matMul(q as tf.Tensor4D, seen(allKeys), false, true);
  logits = tf.mul(logits, 1 / Math.sqrt(headWidth));
  if (temperature) logits = tf.div(logits, temperature);
  const weights = tf.softmax(tf.add(logits, mask)) as tf.Tensor4D;
  const attended = tf.reshape(tf.matMul(weights, seen(allValues)), [rows, channels]);
  let out = tf.add(h, linear(attention.proj, tf.transpose(attended) as tf.Tensor2D));
  const hidden = gelu(linear(mlp.main[0], norm(mlp.norm, out as tf.Tensor2D)));
  out = tf.add(out, linear(mlp.main[2], hidden));
  return { h: out as tf.Tensor2D, keys: allKeys, values: allValues };
}

function linear({ weight, bias }: LinearParameters, x: tf.Tensor2D): tf.Tensor2D {
  return tf.add(tf.matMul(weight, x), tf.expandDims(bias, 1)) as tf.Tensor2D;
}

/** Layer norm over the first axis. */
function norm({ weight, bias }: NormParameters, x: tf.Tensor2D): tf.Tensor2D {
  const centred = tf.sub(x, tf.mean(x, 0, true));
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), 0, true), 1e-5));
  const scaled = tf.mul(tf.mul(centred, inverse), tf.expandDims(weight, 1));
  return tf.add(scaled, tf.expandDims(bias, 1)) as tf.Tensor2D;
}

/** The class term (channels, rows), or (channels, 1) where no label is given. */
function classTerm(
  table: NonNullable<BlockParameters['class_embed']>,
  classes: tf.Tensor2D | undefined,
): tf.Tensor2D {
  const [count, , channels] = table.shape;
  const flat = tf.reshape(table, [count, channels]) as tf.Tensor2D;
  if (classes) return tf.matMul(flat, classes, true, true);
  return tf.reshape(tf.mean(flat, 0), [channels, 1]) as tf.Tensor2D;
}

function cacheNames(layers: number): string[] {
  return Array.from({ length: layers }, (_, layer) => [`keys${layer}`, `values${layer}`]).flat();
}

/**
 * The numbers of keys that steps look at: each looks at the least that holds all tokens seen, the
 * rest masked. Looking at all T keys in every step is twice the work of looking at those seen. Where
 * the cache is larger than a processor's, that is most of the time, and a few lengths are worth the
 * longer compilation.
 */
function keyLengths(guided: GuidedBlock, batch: number): number[] {
  const tokens = tokenCount(guided.block.config);
  const large = decodingCacheBytes(guided, batch) > 3e7;
  const count = large ? Math.min(8, Math.ceil(tokens / 16)) : 1;
  return Array.from({ length: count }, (_, i) => Math.ceil((tokens * (i + 1)) / count));
}
