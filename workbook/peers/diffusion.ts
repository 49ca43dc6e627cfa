import { tensorSpec } from '@tarflow/graph';
import { z } from 'zod';
import { attention, gelu, layerNorm, linear, silu } from '../../src/core/ops.js';
import { foldIn, type RandomKey, uniform } from '../../src/core/random.js';
import { checkedConfig } from '../../src/core/schema.js';
import { tf, tidy } from '../../src/core/tf.js';
import { leaf } from '../../src/core/tree.js';
import { sizeOf } from '../../src/data/source.js';
import {
  count,
  countOrNone,
  type Family,
  imageSchema,
  type Model,
  type Objective,
} from '../../src/flow/model.js';
import {
  checkPatches,
  gridOf,
  patchify,
  tokenCount,
  tokenWidth,
  unpatchify,
} from '../../src/flow/patches.js';
import { embedding, type LinearParameters, linearSpecs } from '../../src/nn/layers.js';
import { type LeafSpec, normals, type Specified, zeros } from '../../src/nn/specs.js';
import { noisyImageFeeds } from '../../src/training/batches/index.js';
import { mixingAt, predictions } from './diffusion-process.js';
import { checkNoise, noiseFeed } from './peer.js';

const diffusionSchema = z.strictObject({
  kind: z.literal('diffusion'),
  image: imageSchema,
  /** Side of a square patch, in pixels; divides height and width. */
  patchSize: count,
  /** Width of the transformer's residual stream. */
  channels: count,
  layers: count,
  /** Width of an attention head; divides channels. */
  headWidth: count,
  classes: countOrNone,
  /** What the network predicts, and so which process it is trained on. */
  prediction: z.enum(predictions),
});

/** The shape of a diffusion model, and what it predicts. */
export interface DiffusionConfig extends z.infer<typeof diffusionSchema> {}

/** Weights (outputs, inputs) of linear layers; `modulation` and `final` give shifts, scales and gates. */
export type DiffusionParameters = Specified<ReturnType<typeof parameterSpecs>>;
type Layer = DiffusionParameters['layers'][number];

/** A diffusion model whose network is a transformer of patches. */
export type Diffusion = Model<DiffusionConfig, DiffusionParameters>;

/**
 * The family of diffusion models and rectified flows of pixels with uniform noise of one grey level. Their
 * network is a transformer of patches (DiT: Peebles and Xie 2022, arXiv 2212.09748): time and class shift, scale
 * and gate each layer, and all layers begin as the identity.
 */
export const diffusion: Family<DiffusionConfig, DiffusionParameters> = {
  kind: 'diffusion',
  schema: diffusionSchema,
  check(config) {
    checkPatches(checkedConfig(diffusionSchema, config));
    return config;
  },
  title: ({ prediction, patchSize, channels, layers }) =>
    `${prediction} ${[patchSize, channels, layers].join('-')}`,
  specs: (config, key) => ({ parameters: parameterSpecs(config, key), buffers: {} }),
  operations,
  objectives: () => [denoising],
};

function parameterSpecs(config: DiffusionConfig, key: RandomKey) {
  const { channels, layers, classes } = config;
  const named = (name: string, outputs: number, inputs = channels) =>
    linearSpecs(foldIn(key, name), outputs, inputs);
  const still = (outputs: number) => ({
    weight: zeros([outputs, channels]),
    bias: zeros([outputs]),
  });
  return {
    pos_embed: places(config),
    ...(classes > 0 && {
      class_embed: normals(foldIn(key, 'class_embed'), [classes, channels], 0.02),
    }),
    time: { 0: named('time.0', channels), 2: named('time.2', channels) },
    proj_in: named('proj_in', channels, tokenWidth(config)),
    layers: Array.from({ length: layers }, (_, index) => ({
      modulation: still(6 * channels),
      qkv: named(`qkv ${index}`, 3 * channels),
      proj: named(`proj ${index}`, channels),
      main: {
        0: named(`0 ${index}`, 4 * channels),
        2: named(`2 ${index}`, channels, 4 * channels),
      },
    })),
    final: still(2 * channels),
    proj_out: still(tokenWidth(config)),
  };
}

/** What learning begins from: sines and cosines of a token's row, then of its column, as in DiT. */
function places(config: DiffusionConfig): LeafSpec<tf.Tensor2D> {
  const { channels } = config;
  const quarter = channels / 4;
  const columns = gridOf(config)[1];
  const values = () =>
    Float32Array.from({ length: tokenCount(config) * channels }, (_, i) => {
      const [token, channel] = [Math.floor(i / channels), i % channels];
      const at = channel < 2 * quarter ? Math.floor(token / columns) : token % columns;
      const angle = at * 10_000 ** -((channel % quarter) / quarter);
      return channel % (2 * quarter) < quarter ? Math.sin(angle) : Math.cos(angle);
    });
  return { shape: [tokenCount(config), channels], values };
}

/** Products of a token with its weights and of all pairs of tokens, and what a sample has once. */
function operations(config: DiffusionConfig): number {
  const { channels, layers } = config;
  const tokens = tokenCount(config);
  const perToken = 12 * layers * channels ** 2 + 2 * tokenWidth(config) * channels;
  const once = channels ** 2 * (6 * layers + 4);
  return 2 * (tokens * perToken + once) + 4 * layers * tokens ** 2 * channels;
}

/** Cosines and sines (width) of a time from 0 to 1, as the positions of Vaswani et al. 2017 of 1000·t. */
export function timeFeatures(t: number, width: number): Float32Array {
  const half = Math.ceil(width / 2);
  return Float32Array.from({ length: width }, (_, i) => {
    const angle = 1000 * t * 10_000 ** -((i % half) / half);
    return i < half ? Math.cos(angle) : Math.sin(angle);
  });
}

/**
 * What the network predicts of noisy images (batch, channels, height, width). Pure.
 *
 * @param time (batch, model channels), as {@link timeFeatures}
 * @param classes mixtures (batch, classes), where there are classes
 */
export function predicted(
  { config, parameters }: Diffusion,
  x: tf.Tensor4D,
  time: tf.Tensor2D,
  classes: tf.Tensor2D | undefined,
): tf.Tensor4D {
  const { proj_in, pos_embed, class_embed, layers, final, proj_out } = parameters;
  const tokens = patchify(config, x);
  const [batch, entries] = tokens.shape;
  const hidden = silu(dense(parameters.time[0], time));
  const place = dense(parameters.time[2], hidden);
  const about = silu(class_embed ? tf.add(place, embedding(class_embed, classes)) : place);
  let h: tf.Tensor3D = tf.add(perToken(proj_in, tokens), pos_embed);
  for (const layer of layers) h = tidy(() => throughLayer(config, layer, h, about));
  const [shift, scale] = tf.split(dense(final, about), 2, 1);
  const out = perToken(proj_out, modulated(h, shift, scale));
  return unpatchify(config, tf.reshape(out, [batch, entries, tokens.shape[2]]));
}

/** A layer of attention of all tokens to each other, and of an MLP; both shifted, scaled and gated. */
function throughLayer(
  { headWidth, channels }: DiffusionConfig,
  { modulation, qkv, proj, main }: Layer,
  h: tf.Tensor3D,
  about: tf.Tensor2D,
): tf.Tensor3D {
  const [batch, tokens] = h.shape;
  const heads = channels / headWidth;
  const given = tf.split(
    dense(modulation, about),
    [1, 1, 1, 1, 1, 1].map((n) => n * channels),
    1,
  );
  const [shift1, scale1, gate1, shift2, scale2, gate2] = given as [Row, Row, Row, Row, Row, Row];
  const read = perToken(qkv, modulated(h, shift1, scale1));
  const split = tf.transpose(
    tf.reshape(read, [batch, tokens, 3, heads, headWidth]),
    [2, 0, 3, 1, 4],
  );
  const [q, k, v] = tf.unstack(split) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
  const mixed = attention(q, k, v, { scale: 1 / Math.sqrt(headWidth) });
  const joined = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch, tokens, channels]);
  const between = tf.add(h, tf.mul(perToken(proj, joined), tf.expandDims(gate1, 1)));
  const inner = gelu(perToken(main[0], modulated(between, shift2, scale2)));
  return tf.add(between, tf.mul(perToken(main[2], inner), tf.expandDims(gate2, 1)));
}

type Row = tf.Tensor2D;

/** A layer norm without weights, then scaled by 1 + scale and shifted, alike at all tokens. */
function modulated(h: tf.Tensor3D, shift: Row, scale: Row): tf.Tensor3D {
  const channels = h.shape[2];
  const rows = tf.reshape(h, [-1, channels]);
  const normal = tf.reshape(layerNorm(rows, tf.ones([channels]), tf.zeros([channels])), h.shape);
  return tf.add(tf.mul(normal, tf.expandDims(tf.add(scale, 1), 1)), tf.expandDims(shift, 1));
}

function dense({ weight, bias }: LinearParameters, x: tf.Tensor2D): tf.Tensor2D {
  return linear(x, weight, bias);
}

function perToken(parameters: LinearParameters, x: tf.Tensor3D): tf.Tensor3D {
  const [batch, tokens, width] = x.shape;
  const rows = dense(parameters, tf.reshape(x, [batch * tokens, width]));
  return tf.reshape(rows, [batch, tokens, -1]);
}

/** The mean square error of what is predicted, at times that are uniform; `noise` is that of ε. */
const denoising: Objective<DiffusionConfig, DiffusionParameters> = {
  name: 'denoising',
  inputs({ image, classes, channels }, batch) {
    const shape = [batch, image.channels, image.height, image.width];
    return {
      images: tensorSpec(shape),
      noise: tensorSpec(shape),
      time: tensorSpec([batch, channels]),
      /** α and σ. */
      mixing: tensorSpec([batch, 2]),
      ...(classes > 0 && { classes: tensorSpec([batch, classes]) }),
    };
  },
  feeds(config, raw, keys, settings) {
    checkNoise(settings.noise, 'uniform', 'A diffusion model reads pixels with uniform noise');
    const times = keys.map((key) => uniform(foldIn(key, 'time'), 1)[0] ?? 0);
    const mixings = times.map((t) => mixingAt(config.prediction, t));
    return {
      ...noisyImageFeeds(config, raw, keys, settings),
      noise: noiseFeed(keys, 'diffusion', sizeOf(config.image)),
      time: Float32Array.from(times.flatMap((t) => [...timeFeatures(t, config.channels)])),
      mixing: Float32Array.from(mixings.flatMap(({ signal, deviation }) => [signal, deviation])),
    };
  },
  trains: () => true,
  loss(model, batch) {
    const [images, noise] = [leaf(batch, 'images', 4), leaf(batch, 'noise', 4)];
    const sides = tf.split(tf.reshape(leaf(batch, 'mixing', 2), [-1, 2, 1, 1]), 2, 1);
    const [signal, deviation] = sides as [tf.Tensor4D, tf.Tensor4D];
    const noisy = tf.add(tf.mul(images, signal), tf.mul(noise, deviation));
    const classes = batch.classes && leaf(batch, 'classes', 2);
    const found = predicted(model, noisy, leaf(batch, 'time', 2), classes);
    const target = {
      epsilon: () => noise,
      v: () => tf.sub(tf.mul(noise, signal), tf.mul(images, deviation)),
      flow: () => tf.sub(noise, images),
    }[model.config.prediction]();
    return { loss: tf.mean(tf.squaredDifference(found, target)), terms: {} };
  },
};
