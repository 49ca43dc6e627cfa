import { isTracing, type TensorSpec } from '@tarflow/graph';
import { z } from 'zod';
import { isOnGpu } from '../core/engine.js';
import { checkGiven, UserError } from '../core/errors.js';
import type { RandomKey } from '../core/random.js';
import type { tf } from '../core/tf.js';
import type { Leaves, Tree } from '../core/tree.js';
import type { ImageSize, RawBatch } from '../data/source.js';
import type { TensorSource } from '../formats/safetensors.js';
import type { LeafSpec, Specs } from '../nn/specs.js';
import type { AutoregressiveBlock, Conditions } from './autoregressive.js';

/** Fields of configurations: a whole number above 0, and one that may be 0. */
export const count = wholeNumber(1, 'a whole number above 0');
/** Of blocks or layers: far more than any model has, of which a damaged file can say what it likes. */
export const depth = wholeNumber(1, 'a whole number from 1 to 512').max(
  512,
  'expected a whole number from 1 to 512',
);
export const countOrNone = wholeNumber(0, 'a whole number of at least 0');

/** The field `image` of a configuration. */
export const imageSchema = z.strictObject({ channels: count, height: count, width: count });

function wholeNumber(least: number, expected: string) {
  return z.int(`expected ${expected}`).min(least, `expected ${expected}`);
}

/** What the configuration of every model says. */
export interface ModelConfig {
  /** The family, as the registry names it. */
  kind: string;
  /** Channels, height and width of the images in pixels, or of latents in places. */
  image: ImageSize;
  /** Number of classes; 0 makes the model unconditional. */
  classes: number;
}

/** A model: its family, its shape, its parameters and what else training changes. */
export interface Model<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  family: Family<C, P>;
  config: C;
  /** What optimisers train. */
  parameters: P;
  /** What training changes without a gradient, by name, such as the variance of a prior. */
  buffers: Leaves;
  /** What the file says of a model that was loaded. */
  details?: { classNames?: readonly string[] | undefined };
}

/**
 * A kind of model: everything that loading, training, measuring and sampling ask of it. What a family
 * lacks is absent; a function that needs it throws a UserError that says so.
 */
export interface Family<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  readonly kind: C['kind'];
  /**
   * The configuration's fields: strict, so that an unknown one is an error. The one source of the
   * type, of what a checkpoint and run.json hold, and of what `--set` changes.
   */
  readonly schema: z.ZodType<C>;
  /**
   * Checks what a schema cannot, such as which sizes must divide which.
   * @throws UserError that names the value that does not fit, and what would
   */
  check(config: C): C;
  /** A model's name in tables, e.g. `4-128-4-4`. */
  title(config: C): string;
  /** Parameters and buffers before they exist: shapes, and first numbers from a key. */
  specs(config: C, key: RandomKey): { parameters: Specs<P>; buffers: Record<string, LeafSpec> };
  /**
   * Parameters that start from data (actnorm), by name: new tensors in the place of those that
   * `specs` makes. Absent where none does.
   */
  start?(model: Model<C, P>, images: tf.Tensor4D, conditions: Conditions): Leaves;
  /**
   * Fields of the configuration that say how or on what a model is trained, and not what it is: a run may
   * begin with a model that differs in them. Those within a field are named as `image.height`; where this
   * and `image.width` are among them, `loadCheckpoint` takes another image size. Absent where there are
   * none.
   */
  readonly trainingFields?: readonly string[];
  /**
   * Multiplications and additions of a forward pass of one image, of which a step takes three: absent where
   * they are those of every matrix of weights, once a row of the `flow`.
   */
  operations?(config: C): number;
  /** What is trained, in the order of a step; several where parts of a model have losses of their own. */
  objectives(config: C): readonly Objective<C, P>[];
  /** The noise that samples are made from, and that data become in a flow. */
  prior?: Prior<C, P>;
  /** Exact likelihood by an invertible map to noise. */
  flow?: FlowAbility<C, P>;
  /**
   * Images (batch, channels, height, width) from noise (batch, T, D), without randomness. The caller
   * frees them. Absent in a family with blocks, which solvers invert.
   */
  generate?(model: Model<C, P>, z: tf.Tensor3D, options: GenerateOptions): Promise<tf.Tensor4D>;
  /** The blocks that solvers invert, nearest the data first. */
  blocks?(model: Model<C, P>): AutoregressiveBlock[];
  /** What the first block reads of images, and back; where there are blocks. */
  tokens?: TokenAbility<C>;
  /** Images to latents, of which flows are trained, and back. */
  autoencoder?: AutoencoderAbility<C, P>;
  /** How state dicts that others published are read, which have no configuration with them. */
  published?: PublishedAbility<C>;
}

/** The latents that stand for an image: normal, each number by itself. */
export interface Posterior {
  /** (batch, channels, height, width). */
  mean: tf.Tensor4D;
  /** Of the same shape. */
  logVariance: tf.Tensor4D;
}

/** What an autoencoder can do. Its latents are on its own scale. */
export interface AutoencoderAbility<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  /** Pure and without checks; images (batch, channels, height, width) are in [−1, 1]. */
  encode(model: Model<C, P>, images: tf.Tensor4D): Posterior;
  /** Pure and without checks; images (batch, channels, height, width) are about [−1, 1]. */
  decode(model: Model<C, P>, latents: tf.Tensor4D): tf.Tensor4D;
  /**
   * The size of the latents of images, and back.
   * @throws UserError for a size that the autoencoder does not take
   */
  latents(config: C, image: ImageSize): ImageSize;
  images(config: C, latents: ImageSize): ImageSize;
  /** Numbers in the largest activation of an image: so many bound the memory that a batch takes. */
  activation(config: C, image: ImageSize): number;
  /** What latents are multiplied by to have unit variance; absent where it is not known. */
  scale(config: C): number | undefined;
  /**
   * The noise that the decoder takes away, as a share of the latents' own deviation; undefined for one
   * that reads latents as they are.
   */
  latentNoise?(config: C): number | undefined;
}

/** Numbers for the inputs of an objective, by name. */
export type Feeds = Record<string, Float32Array | Int32Array>;

/** What feeds depend on beside data and keys: the settings of training that concern a batch. */
export interface FeedSettings {
  noise: { kind: 'gaussian'; sigma: number } | { kind: 'uniform' } | { kind: 'none' };
  /** Probability that a label is dropped. */
  dropLabel: number;
  /** True to mirror images at random. */
  flip: boolean;
}

/** A loss, and what it reads. */
export interface Objective<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  /** Letters; names columns of the log where a family has several. */
  readonly name: string;
  /** Shapes of what {@link loss} reads; the first axis of each is that of the batch. */
  inputs(config: C, batch: number): Record<string, TensorSpec>;
  /**
   * The numbers of a batch, on the host; called in the thread that makes batches.
   *
   * @param keys one per sample, from seed, epoch and the sample's index in its data set
   */
  feeds(config: C, raw: RawBatch, keys: readonly RandomKey[], settings: FeedSettings): Feeds;
  /**
   * Whether this objective trains a leaf of the parameters, by its dotted name. No two objectives of a
   * family train the same leaf.
   */
  trains(leaf: string): boolean;
  /**
   * Tensors that the loss reads and nothing changes, such as the weights of another network: loaded once
   * for a run, kept in no state and in no checkpoint. Absent where there are none. The caller frees them.
   * @throws UserError where they are not to be had
   */
  fixed?(config: C): Promise<Leaves>;
  /**
   * The loss of a batch with its named terms (scalars or short vectors, columns of the log), and new
   * values of buffers. All of them are means over the batch, so that those of parts of it, side by
   * side or in several processes, can be averaged. A validation reports the terms that are scalars.
   *
   * @param fixed as {@link fixed} gives them
   */
  loss(
    model: Model<C, P>,
    batch: Leaves,
    fixed: Leaves,
  ): { loss: tf.Scalar; terms: Leaves; buffers?: Leaves };
}

/** What a pass from data to noise gives. */
export interface ForwardResult {
  /** Noise (batch, T, D); a flow without tokens has one token of all numbers. */
  z: tf.Tensor3D;
  /** log |det dz/dx| per sample (batch), in nats, summed over dimensions. */
  logDet: tf.Tensor1D;
  /**
   * The output of each block (batch, T, D) in raster order, nearest the data first; in a coupling flow what
   * leaves after each level (batch, height, width, channels).
   */
  outputs: tf.Tensor[];
  /**
   * The log-determinant of each block or level (batch), in nats. Their sum is `logDet`, but for what
   * spreading the background adds.
   */
  logDets: tf.Tensor1D[];
}

/** What a flow can do. */
export interface FlowAbility<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  /**
   * Data to noise, pure and without checks, for use inside a gradient.
   *
   * @param x images (batch, channels, height, width), about [−1, 1]
   */
  forward(model: Model<C, P>, x: tf.Tensor4D, conditions: Conditions): ForwardResult;
  /** Rows of a layer that a sample makes: its tokens, or 1 where there are none. */
  rows(config: C): number;
  /** Width of a layer: rows · width² says what a product of a batch costs. */
  width(config: C): number;
}

/** Where noise comes from: independent normal numbers of mean 0. */
export interface Prior<C extends ModelConfig = ModelConfig, P extends Tree = Tree> {
  /** (T, D), the shape of a sample's noise. */
  shape(config: C): readonly [number, number];
  /** Their variance (T, D), a buffer of the model; absent or undefined where it is 1. */
  variance?(model: Model<C, P>): tf.Tensor2D | undefined;
}

/** Tensors by name, whose shapes matter. */
export type Shapes = Record<string, { shape: readonly number[] }>;

/** What is known of published state dicts. */
export interface PublishedAbility<C extends ModelConfig = ModelConfig> {
  /** The network that they are of, and where its authors publish them, for errors. */
  readonly network: string;
  readonly address: string;
  /** The name of a tensor that files of this family have, and those of other families have not. */
  readonly mark: string;
  /** Names of tensors that hold nothing of the model: they are not read. */
  ignored: RegExp;
  /**
   * Tensors that the configuration tells, which are not read here, and which PyTorch's
   * `load_state_dict(strict=True)` asks for. Absent where they are not written.
   */
  unread?(config: C): Record<string, TensorSource>;
  /** A sentence on the licence of such weights, shown when they are read; absent where it is free. */
  readonly licence?: string;
  /** The name here of a tensor that some files have under an older one. Absent where there are none. */
  renamed?(name: string): string;
  /**
   * The configuration that the shapes of a state dict tell, not yet checked: call `publishedConfig`.
   *
   * @param source what to call the dict in errors, e.g. its path
   * @param known what shapes cannot tell
   * @throws UserError where the shapes are not those of this family
   */
  configOf(
    state: Shapes,
    source: string,
    known: { imageChannels?: number; headWidth?: number; imageSide?: number },
  ): C;
}

/** Between images and the tokens of the first block. */
export interface TokenAbility<C extends ModelConfig = ModelConfig> {
  /**
   * Tokens (batch, T, D) of images (batch, channels, height, width), and the log-determinant (batch)
   * of the way there, absent where it is 0.
   */
  of(config: C, images: tf.Tensor4D): { tokens: tf.Tensor3D; logDet?: tf.Tensor1D };
  images(config: C, tokens: tf.Tensor3D): tf.Tensor4D;
}

/** What samples are made for. `inverse` takes more where there are blocks. */
export interface GenerateOptions {
  /** Class per sample; absent or −1 reads as no label. */
  label?: number | readonly number[] | Int32Array | undefined;
  signal?: AbortSignal | undefined;
}

/** For what a family with an ability is of use, in words. */
const uses = {
  flow: 'measure the density of images (bpd, score)',
  prior: 'draw samples (sample)',
  autoencoder: 'encode images and decode latents (encode, decode, autoencoder)',
} as const;

/** What a family may be able to do, and how an error calls it. */
const abilities = {
  flow: 'density',
  prior: 'sampler',
  blocks: 'autoregressive blocks',
  tokens: 'tokens',
  autoencoder: 'encoder and decoder of latents',
  published: 'published files that are known here',
} as const;

/**
 * What a family can do.
 * @throws UserError that says what it lacks, where it cannot
 */
export function ability<C extends ModelConfig, P extends Tree, Name extends keyof typeof abilities>(
  family: Family<C, P>,
  name: Name,
): NonNullable<Family<C, P>[Name]> {
  const found = family[name];
  if (found) return found;
  throw lacking(family, name);
}

/** The error for what a family cannot do: it says what it can. */
export function lacking(
  family: object & { kind: string },
  name: keyof typeof abilities,
): UserError {
  const can = Object.entries(uses).flatMap(([one, use]) => (one in family ? [use] : []));
  return new UserError(
    `A model of kind '${family.kind}' has no ${abilities[name]}`,
    `${can.length > 0 ? `It can ${can.join(', and ')}; else choose` : 'Choose'} a model of another kind`,
  );
}

/**
 * The blocks of a model, nearest the data first.
 * @throws UserError for a model that has none
 */
export function blocksOf(model: Model): AutoregressiveBlock[] {
  return ability(model.family, 'blocks')(model);
}

/** Dimensions of an image: channels · height · width. */
export function dimensions({ image }: { image: ImageSize }): number {
  return image.channels * image.height * image.width;
}

/**
 * Checks that images fit a model.
 * @throws UserError that says what came and what the model takes
 */
export function checkImages(model: Pick<Model, 'config'>, x: tf.Tensor): void {
  checkGiven('The model', model, 'config');
  checkGiven('What stands for images', x, 'shape', 'dtype');
  const { channels, height, width } = model.config.image;
  if (x.rank !== 4 || x.shape[1] !== channels || x.shape[2] !== height || x.shape[3] !== width) {
    throw new UserError(
      `Images of shape (${x.shape.join(', ')}) came`,
      `This model takes (batch, ${channels}, ${height}, ${width})`,
    );
  }
  if (x.dtype !== 'float32') {
    throw new UserError(
      `Images of type ${x.dtype} came`,
      "This model takes float32, about [-1, 1]: cast them, as by x.cast('float32')",
    );
  }
}

/** No noise brings a pixel on [−1, 1] so far; one of 255 is beyond it. */
export const farthestPixel = 64;

/**
 * Checks that pixels are about [−1, 1]. Latents, which have more channels than pictures, have a scale of
 * their own; what is not finite is for others to tell.
 *
 * @param images what to call them in the error
 * @throws UserError that says their range, and how to bring it to that scale
 */
export function checkPixelRange(
  { image }: { image: ImageSize },
  values: Float32Array,
  images = 'The images',
): void {
  if (image.channels > 3) return;
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (most <= farthestPixel && least >= -farthestPixel) return;
  const shown = [least, most].map((value) => Number(value.toPrecision(4))).join(' to ');
  throw new UserError(
    `${images} have values from ${shown}`,
    'Expected about [-1, 1]: grey levels of 0 to 255 come there by x / 127.5 - 1',
  );
}

/** Sizes of images of models of which a graphics processor has had some. */
const lookedAt = new WeakSet<ImageSize>();

/**
 * {@link checkImages}, and that pixels are about [−1, 1]. On a graphics processor, of which a reader
 * waits for all its work, pixels are looked at until some were right, and where a function is traced, which
 * has none, not at all.
 *
 * @throws UserError as {@link checkImages} and {@link checkPixelRange}
 */
export function checkPixels(model: Pick<Model, 'config'>, x: tf.Tensor): void {
  checkImages(model, x);
  const { config } = model;
  const { image } = config;
  if (isTracing() || (isOnGpu() && lookedAt.has(image))) return;
  checkPixelRange(config, x.dataSync<'float32'>());
  lookedAt.add(image);
}

/**
 * Checks that a set of images fits a model.
 * @throws UserError that says what came and what the model takes
 */
export function checkImageSize(config: { image: ImageSize }, image: ImageSize, name: string): void {
  const { channels, height, width } = config.image;
  if (image.channels !== channels || image.height !== height || image.width !== width) {
    throw new UserError(
      `${name} has images of ${image.channels}×${image.height}×${image.width} (channels × height × width)`,
      `This model takes ${channels}×${height}×${width}`,
    );
  }
}
