import { createHash } from 'node:crypto';
import * as path from 'node:path';
import { z } from 'zod';
import { UserError } from '../core/errors.js';
import { readBytes } from '../core/files.js';
import { attention, gelu, layerNorm, linear } from '../core/ops.js';
import { checkedJson } from '../core/schema.js';
import { tf, tidy } from '../core/tf.js';
import { disposeTree, type Leaves, leaf } from '../core/tree.js';
import { checkWeights, openWeights } from '../formats/network-weights.js';
import { askedEntries, type CaptionEncoder, type EncodeOptions } from './caption-encoder.js';
import { readWordPieces } from './word-pieces.js';

/** The shape of a BERT, as its `config.json` says it. */
const shape = z.object({
  model_type: z.literal('bert'),
  hidden_act: z.literal('gelu'),
  position_embedding_type: z.literal('absolute').default('absolute'),
  hidden_size: z.int().min(1),
  intermediate_size: z.int().min(1),
  layer_norm_eps: z.number().positive(),
  max_position_embeddings: z.int().min(2),
  num_attention_heads: z.int().min(1),
  num_hidden_layers: z.int().min(1).max(512),
  type_vocab_size: z.int().min(1),
  vocab_size: z.int().min(1),
});
type Shape = z.infer<typeof shape>;

/** Captions that are encoded together. */
const batchSize = 64;

/** Added to the logits of keys after the end of a caption. */
const unseen = -1e9;

/** Where a BERT comes from, for errors. */
export interface BertOrigin {
  /** As `openTextEncoder` takes it. */
  name: string;
  /** Where its authors publish the files. */
  address: string;
}

/**
 * A BERT (Devlin et al. 2019, arXiv 1810.04805) as an encoder of captions: its states are those of the
 * last layer, for every token, begin and end among them. A token sees those of its own caption alone,
 * so that states do not depend on what else is encoded.
 *
 * @param folder with `config.json`, `tokenizer.json` and `model.safetensors`, as transformers'
 *   `BertModel` has them
 * @returns an encoder that the caller frees
 * @throws UserError where a file is not there, for another kind of network, and for other tensors, by
 *   name
 */
export async function loadBert(folder: string, origin: BertOrigin): Promise<CaptionEncoder> {
  const { name, address } = origin;
  const published = { network: name, address };
  const file = await openWeights(path.join(folder, 'model.safetensors'), published);
  /** By their published names. */
  const parameters: Leaves = {};
  const dispose = () => disposeTree(parameters);
  try {
    const config = await readShape(path.join(folder, 'config.json'));
    const pieces = await readWordPieces(path.join(folder, 'tokenizer.json'));
    const shapes = shapesOf(config);
    checkWeights(file, published, shapes, (other) => /^(pooler\.|.*position_ids$)/.test(other));
    for (const [tensor, sides] of Object.entries(shapes)) {
      const { data } = await file.read(tensor);
      parameters[tensor] = tf.tensor(Float32Array.from(data), [...sides]);
    }
    const weights = await digestOf(folder, await file.sha256());
    const { hidden_size: width, max_position_embeddings: entries } = config;
    const encode = async (captions: readonly string[], options: EncodeOptions = {}) => {
      const asked = askedEntries({ name, entries }, captions, options, 2);
      const tokens = captions.map((caption) => pieces(caption, asked));
      return inBatches(tokens, (some) => states(parameters, config, some, asked));
    };
    return { name, entries, width, weights, encode, dispose };
  } catch (error) {
    dispose();
    throw error;
  } finally {
    await file.close();
  }
}

/** The digest of all that states depend on beside captions: weights, and the vocabulary's file. */
async function digestOf(folder: string, weights: string): Promise<string> {
  const vocabulary = await readBytes(path.join(folder, 'tokenizer.json'));
  return createHash('sha256').update(weights).update(vocabulary).digest('hex');
}

async function readShape(file: string): Promise<Shape> {
  const json = Buffer.from(await readBytes(file)).toString('utf8');
  const config = checkedJson(shape, json, file, 'Expected the config.json of a BERT');
  const { hidden_size: width, num_attention_heads: heads } = config;
  if (width % heads === 0) return config;
  throw new UserError(
    `${file} has ${heads} attention heads and a width of ${width}`,
    'Expected a number of heads that divides the width',
  );
}

function shapesOf(config: Shape): Record<string, readonly number[]> {
  const { hidden_size: width, intermediate_size: wide } = config;
  const shapes: Record<string, readonly number[]> = {};
  const linearLayer = (name: string, outputs: number, inputs: number) => {
    shapes[`${name}.weight`] = [outputs, inputs];
    shapes[`${name}.bias`] = [outputs];
  };
  const norm = (name: string) => {
    shapes[`${name}.weight`] = [width];
    shapes[`${name}.bias`] = [width];
  };
  shapes['embeddings.word_embeddings.weight'] = [config.vocab_size, width];
  shapes['embeddings.position_embeddings.weight'] = [config.max_position_embeddings, width];
  shapes['embeddings.token_type_embeddings.weight'] = [config.type_vocab_size, width];
  norm('embeddings.LayerNorm');
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = `encoder.layer.${i}`;
    for (const part of ['query', 'key', 'value']) {
      linearLayer(`${layer}.attention.self.${part}`, width, width);
    }
    linearLayer(`${layer}.attention.output.dense`, width, width);
    norm(`${layer}.attention.output.LayerNorm`);
    linearLayer(`${layer}.intermediate.dense`, wide, width);
    linearLayer(`${layer}.output.dense`, width, wide);
    norm(`${layer}.output.LayerNorm`);
  }
  return shapes;
}

function inBatches(
  tokens: readonly (readonly number[])[],
  statesOf: (some: readonly (readonly number[])[]) => tf.Tensor3D,
): tf.Tensor3D {
  return tidy(() => {
    const parts: tf.Tensor3D[] = [];
    for (let first = 0; first < tokens.length; first += batchSize) {
      parts.push(tidy(() => statesOf(tokens.slice(first, first + batchSize))));
    }
    return parts.length === 1 ? parts[0]! : tf.concat(parts, 0);
  });
}

/** States of captions' tokens: (captions, entries, width), zero after the end of each. */
function states(
  parameters: Leaves,
  config: Shape,
  tokens: readonly (readonly number[])[],
  entries: number,
): tf.Tensor3D {
  const { hidden_size: width, layer_norm_eps: epsilon, num_hidden_layers: layers } = config;
  const batch = tokens.length;
  const vector = (name: string) => leaf(parameters, name, 1);
  const matrix = (name: string) => leaf(parameters, name, 2);
  const normed = (h: tf.Tensor2D, name: string) =>
    layerNorm(h, vector(`${name}.weight`), vector(`${name}.bias`), epsilon);
  const linearly = (h: tf.Tensor2D, name: string) =>
    linear(h, matrix(`${name}.weight`), vector(`${name}.bias`));
  const ids = tokens.flatMap((row) => padded(row, entries));
  const seen = tf.tensor3d(
    tokens.flatMap((row) => padded(new Array(row.length).fill(1), entries)),
    [batch, entries, 1],
  );
  const words = tf.gather(matrix('embeddings.word_embeddings.weight'), tf.tensor1d(ids, 'int32'));
  const places = tf.slice(matrix('embeddings.position_embeddings.weight'), 0, entries);
  const kind = tf.slice(matrix('embeddings.token_type_embeddings.weight'), 0, 1);
  const placed: tf.Tensor2D = tf.add(words, tf.tile(tf.add(places, kind), [batch, 1]));
  const mask = tf.reshape(tf.mul(tf.sub(1, seen), unseen), [batch, 1, 1, entries]);
  let h = normed(placed, 'embeddings.LayerNorm');
  for (let i = 0; i < layers; i++) {
    const layer = `encoder.layer.${i}`;
    const before = h;
    h = tidy(() => {
      const heads = (part: string) =>
        byHeads(linearly(before, `${layer}.attention.self.${part}`), batch, config);
      const [q, k, v] = [heads('query'), heads('key'), heads('value')];
      const scale = 1 / Math.sqrt(q.shape[3]);
      const mixed = tf.transpose(attention(q, k, v, { scale, mask }), [0, 2, 1, 3]);
      const rows: tf.Tensor2D = tf.reshape(mixed, [batch * entries, width]);
      const attended = linearly(rows, `${layer}.attention.output.dense`);
      const middle = normed(tf.add(before, attended), `${layer}.attention.output.LayerNorm`);
      const wide = gelu(linearly(middle, `${layer}.intermediate.dense`));
      const narrow = linearly(wide, `${layer}.output.dense`);
      return normed(tf.add(middle, narrow), `${layer}.output.LayerNorm`);
    });
    before.dispose();
  }
  return tf.mul(tf.reshape(h, [batch, entries, width]), seen);
}

/** (batch · entries, width) as (batch, heads, entries, width of a head). */
function byHeads(
  x: tf.Tensor2D,
  batch: number,
  { hidden_size: width, num_attention_heads: heads }: Shape,
): tf.Tensor4D {
  const apart: tf.Tensor4D = tf.reshape(x, [batch, -1, heads, width / heads]);
  return tf.transpose(apart, [0, 2, 1, 3]);
}

function padded(row: readonly number[], length: number): number[] {
  return [...row, ...new Array<number>(length - row.length).fill(0)];
}
