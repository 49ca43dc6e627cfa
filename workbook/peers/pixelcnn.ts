import { tensorSpec } from '@tarflow/graph';
import { z } from 'zod';
import { UserError } from '../../src/core/errors.js';
import { foldIn, type RandomKey } from '../../src/core/random.js';
import { checkedConfig } from '../../src/core/schema.js';
import { tf, tidy } from '../../src/core/tf.js';
import { leaf } from '../../src/core/tree.js';
import {
  checkImages,
  count,
  countOrNone,
  dimensions,
  type Family,
  imageSchema,
  type Model,
  type Objective,
} from '../../src/flow/model.js';
import { type ConvolutionParameters, convolutionSpecs } from '../../src/nn/convolution.js';
import { embedding } from '../../src/nn/layers.js';
import { type Specified, uniforms, zeros } from '../../src/nn/specs.js';
import { noisyImageFeeds } from '../../src/training/batches/index.js';
import { mixtureLogProb, mixtureWidth } from './discretised-logistic.js';
import { checkNoise, classesOf, evaluated, type PeerSampling } from './peer.js';

const pixelCnnSchema = z.strictObject({
  kind: z.literal('pixelcnn'),
  /** Grey or RGB. */
  image: imageSchema,
  /** Channels of both stacks. */
  channels: count,
  /** Gated residual layers of each stack. */
  layers: count,
  /** Logistics of a pixel's mixture. */
  components: count,
  classes: countOrNone,
});

/** The shape of a PixelCNN. */
export interface PixelCnnConfig extends z.infer<typeof pixelCnnSchema> {}

/** Weights (height, width, inputs, outputs) of convolutions. */
export type PixelCnnParameters = Specified<ReturnType<typeof parameterSpecs>>;

/** An autoregressive model of pixels, with an exact probability of each image. */
export type PixelCnn = Model<PixelCnnConfig, PixelCnnParameters>;

/**
 * The family of PixelCNNs: two stacks of gated residual convolutions, of which one sees the rows above a pixel
 * and the other what is left of it, too, and the first (van den Oord et al. 2016, arXiv 1606.05328), with the
 * shifts and the mixtures of PixelCNN++ (Salimans et al. 2017, arXiv 1701.05517). All layers have the
 * resolution of the image; labels are biases of the gates.
 */
export const pixelCnn: Family<PixelCnnConfig, PixelCnnParameters> = {
  kind: 'pixelcnn',
  schema: pixelCnnSchema,
  check(config) {
    checkedConfig(pixelCnnSchema, config);
    const { channels } = config.image;
    if (channels !== 1 && channels !== 3) {
      throw new UserError(
        `A PixelCNN came for images of ${channels} channels`,
        'It has mixtures for grey levels (1) and for RGB (3)',
      );
    }
    return config;
  },
  title: ({ channels, layers, components }) => [channels, layers, components].join('-'),
  specs: (config, key) => ({ parameters: parameterSpecs(config, key), buffers: {} }),
  operations,
  objectives: () => [pixelLikelihood],
};

/** What the kernels see, the pixel's own place at the bottom: in the middle, and at the right. */
const aboveKernel = { rows: 2, columns: 3 } as const;
const leftKernel = { rows: 2, columns: 2 } as const;
type Kernel = typeof aboveKernel | typeof leftKernel;

function parameterSpecs(
  { image, channels, layers, components, classes }: PixelCnnConfig,
  key: RandomKey,
) {
  const stack = ({ rows, columns }: Kernel, own: RandomKey) => {
    const kernel = (name: string, inputs: number, outputs: number, gain: number) => {
      const bound = gain * Math.sqrt(6 / (rows * columns * inputs));
      const weight = uniforms(foldIn(own, name), [rows, columns, inputs, outputs], bound);
      return { weight, bias: zeros([outputs]) };
    };
    return {
      // A channel more says what is within the image.
      first: kernel('first', image.channels + 1, channels, 1),
      layers: Array.from({ length: layers }, (_, index) => ({
        read: kernel(`read ${index}`, channels, channels, 1),
        // Small, so that the layers begin near the identity.
        gate: kernel(`gate ${index}`, channels, 2 * channels, 0.1),
        ...(classes > 0 && { class_embed: zeros([classes, 2 * channels]) }),
      })),
    };
  };
  const links = Array.from({ length: layers + 1 }, (_, index) =>
    convolutionSpecs(foldIn(foldIn(key, 'link'), index), 1, channels, channels),
  );
  const outputs = mixtureWidth(image.channels, components);
  return {
    above: stack(aboveKernel, foldIn(key, 'above')),
    left: stack(leftKernel, foldIn(key, 'left')),
    /** From the first stack to the second, at their beginning and in each layer. */
    links,
    output: convolutionSpecs(foldIn(key, 'output'), 1, channels, outputs),
  };
}

/** All kernels, at every pixel. */
function operations({ image, channels, layers, components }: PixelCnnConfig): number {
  const places = image.height * image.width;
  const seen = 6 + 4;
  const layer = seen * 3 * channels ** 2 + channels ** 2;
  const ends = seen * (image.channels + 1) * channels + channels ** 2;
  const output = channels * mixtureWidth(image.channels, components);
  return 2 * places * (layers * layer + ends + output);
}

/**
 * A convolution of a stack's layer, which sees what is known of the layer around it.
 *
 * @param layer counted from 0, each convolution of a stack by itself
 */
export type Convolve = (
  x: tf.Tensor4D,
  parameters: ConvolutionParameters,
  layer: number,
) => tf.Tensor4D;

/** A whole image at once: zeros are above, left and right of it. */
function overImage(x: tf.Tensor4D, { weight, bias }: ConvolutionParameters): tf.Tensor4D {
  const [rows, columns] = weight.shape;
  const right = columns === aboveKernel.columns ? 1 : 0;
  const none: [number, number] = [0, 0];
  const padded = tf.pad(x, [none, [rows - 1, 0], [1, right], none]);
  return tf.add(tf.conv2d(padded, weight, 1, 'valid'), bias);
}

/**
 * The stack of what is above.
 *
 * @param x (batch, rows, width, channels + 1), at each place the pixel above it
 * @returns what leaves the first convolution and each layer (batch, rows, width, model channels)
 */
export function stackAbove(
  { above }: PixelCnnParameters,
  x: tf.Tensor4D,
  classes: tf.Tensor2D | undefined,
  convolve: Convolve = overImage,
): tf.Tensor4D[] {
  let h = convolve(x, above.first, 0);
  const all = [h];
  above.layers.forEach((layer, index) => {
    h = gated(layer, h, undefined, classes, (y, own, one) => convolve(y, own, 2 * index + one));
    all.push(h);
  });
  return all;
}

/**
 * The stack of what is left.
 *
 * @param x (batch, rows, columns, channels + 1), at each place the pixel left of it
 * @param above as {@link stackAbove} gives it, of the same places
 * @returns the mixtures of pixels (batch, rows, columns, numbers)
 */
export function stackLeft(
  { left, links, output }: PixelCnnParameters,
  x: tf.Tensor4D,
  above: readonly tf.Tensor4D[],
  classes: tf.Tensor2D | undefined,
  convolve: Convolve = overImage,
): tf.Tensor4D {
  const linked = above.map((h, index) => pointwise(tf.elu(h), links[index]!));
  let h = tf.add(convolve(x, left.first, 0), linked[0]!);
  left.layers.forEach((layer, index) => {
    const read = linked[index + 1];
    h = gated(layer, h, read, classes, (y, own, one) => convolve(y, own, 2 * index + one));
  });
  return pointwise(tf.elu(h), output);
}

function pointwise(x: tf.Tensor4D, { weight, bias }: ConvolutionParameters): tf.Tensor4D {
  return tf.add(tf.conv2d(x, weight, 1, 'valid'), bias);
}

/** h + a·σ(b): a and b are of two convolutions of h and of what another stack says. */
function gated(
  { read, gate, class_embed }: PixelCnnParameters['left']['layers'][number],
  h: tf.Tensor4D,
  other: tf.Tensor4D | undefined,
  classes: tf.Tensor2D | undefined,
  convolve: Convolve,
): tf.Tensor4D {
  return tidy(() => {
    const own = convolve(tf.elu(h), read, 1);
    const both = convolve(tf.elu(other ? tf.add(own, other) : own), gate, 2);
    const term = class_embed && embedding(class_embed, classes);
    const biased = term ? tf.add(both, tf.reshape(term, [term.shape[0], 1, 1, -1])) : both;
    const [a, b] = tf.split(biased, 2, 3);
    return tf.add(h, tf.mul(a, tf.sigmoid(b)));
  });
}

/** Pixels with a channel of ones, so that a layer can tell where the image ends. */
export function marked(pixels: tf.Tensor4D): tf.Tensor4D {
  const [batch, rows, columns] = pixels.shape;
  return tf.concat([pixels, tf.ones([batch, rows, columns, 1])], 3);
}

/**
 * The mixture of every pixel, given all before it in raster order. Pure.
 *
 * @param images (batch, channels, height, width) of grey levels in [−1, 1]
 * @returns (batch, height, width, numbers)
 */
export function mixturesOf(
  { parameters }: PixelCnn,
  images: tf.Tensor4D,
  classes: tf.Tensor2D | undefined,
): tf.Tensor4D {
  const pixels = marked(tf.transpose(images, [0, 2, 3, 1]));
  const [, height, width] = pixels.shape;
  const none: [number, number] = [0, 0];
  const first: [number, number] = [1, 0];
  const above = tf.slice(
    tf.pad(pixels, [none, first, none, none]),
    [0, 0, 0, 0],
    [-1, height, -1, -1],
  );
  const left = tf.slice(
    tf.pad(pixels, [none, none, first, none]),
    [0, 0, 0, 0],
    [-1, -1, width, -1],
  );
  return stackLeft(parameters, left, stackAbove(parameters, above, classes), classes);
}

/** log P of images (batch), in nats: exact. Pure. */
export function logProbOfPixels(
  model: PixelCnn,
  images: tf.Tensor4D,
  classes: tf.Tensor2D | undefined,
): tf.Tensor1D {
  const mixtures = mixturesOf(model, images, classes);
  const [batch, height, width, numbers] = mixtures.shape;
  const pixels = tf.transpose(images, [0, 2, 3, 1]);
  const rows = batch * height * width;
  const each = mixtureLogProb(
    tf.reshape(pixels, [rows, model.config.image.channels]),
    tf.reshape(mixtures, [rows, numbers]),
  );
  return tf.sum(tf.reshape(each, [batch, height * width]), 1);
}

/** Minus the mean log P, nats per dimension; its term `bits` is that in bits. */
const pixelLikelihood: Objective<PixelCnnConfig, PixelCnnParameters> = {
  name: 'pixels',
  inputs: ({ image, classes }, batch) => ({
    images: tensorSpec([batch, image.channels, image.height, image.width]),
    ...(classes > 0 && { classes: tensorSpec([batch, classes]) }),
  }),
  feeds(config, raw, keys, settings) {
    checkNoise(settings.noise, 'none', 'A PixelCNN reads grey levels as they are');
    return noisyImageFeeds(config, raw, keys, settings);
  },
  trains: () => true,
  loss(model, batch) {
    const classes = batch.classes && leaf(batch, 'classes', 2);
    const logProb = logProbOfPixels(model, leaf(batch, 'images', 4), classes);
    const loss = tf.div(tf.mean(logProb), -dimensions(model.config));
    return { loss, terms: { bits: tf.div(loss, Math.LN2) } };
  },
};

/**
 * Bits per dimension of 8-bit images, exact.
 *
 * @param images (batch, channels, height, width) of grey levels k/127.5 − 1
 * @returns (batch), which the caller frees
 * @throws UserError for images or labels that do not fit the model
 */
export function pixelBits(
  model: PixelCnn,
  images: tf.Tensor4D,
  label?: PeerSampling['label'],
): tf.Tensor1D {
  checkImages(model, images);
  return tidy(() => {
    const inputs = { images, ...classesOf(model, label, images.shape[0]) };
    const { nats } = evaluated('pixelLogProb', model, inputs, (traced, given) => {
      const classes = given.classes && leaf(given, 'classes', 2);
      return { nats: logProbOfPixels(traced, leaf(given, 'images', 4), classes) };
    });
    return tf.div(nats, -dimensions(model.config) * Math.LN2);
  });
}
