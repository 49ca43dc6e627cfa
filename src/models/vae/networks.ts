import { at } from '../../core/errors.js';
import { attention, groupNorm, linear, silu } from '../../core/ops.js';
import { tf, tidy } from '../../core/tf.js';
import { convolution, doubled, halvingConvolution } from '../../nn/convolution.js';
import type { LinearParameters, NormParameters } from '../../nn/layers.js';
import type { VaeConfig } from './config.js';
import type {
  AttentionParameters,
  KernelParameters,
  MidParameters,
  ResnetParameters,
  VaeParameters,
} from './parameters.js';

/** Log-variances are cut to this range before anything is computed of them, as in diffusers. */
const logVarianceRange = [-30, 20] as const;

/** What a network reads of the configuration. */
type Groups = Pick<VaeConfig, 'groups'>;

/**
 * The posterior of images: mean and log-variance of each number of their latents. Pure, for use
 * inside a gradient.
 *
 * @param images (batch, channels, height, width) in [−1, 1]
 * @returns both (batch, latent channels, height/2ⁿ, width/2ⁿ), n levels less one
 */
export function encoded(
  config: Groups,
  { encoder, quant_conv }: Pick<VaeParameters, 'encoder' | 'quant_conv'>,
  images: tf.Tensor4D,
): { mean: tf.Tensor4D; logVariance: tf.Tensor4D } {
  let x = convolved(tf.transpose(images, [0, 2, 3, 1]), encoder.conv_in);
  for (const { resnets, downsamplers = [] } of encoder.down_blocks) {
    for (const resnet of resnets) x = residual(config, resnet, x);
    for (const { conv } of downsamplers) x = halvingConvolution(x, channelsLast(conv));
  }
  x = inTheMiddle(config, encoder.mid_block, x);
  x = convolved(silu(normed(config, encoder.conv_norm_out, x)), encoder.conv_out);
  const moments = tf.transpose(convolved(x, quant_conv), [0, 3, 1, 2]);
  const [mean, raw] = tf.split(moments, 2, 1) as [tf.Tensor4D, tf.Tensor4D];
  return { mean, logVariance: tf.clipByValue(raw, ...logVarianceRange) };
}

/**
 * Images of latents, about [−1, 1]. Pure, for use inside a gradient.
 *
 * @param latents (batch, latent channels, height, width)
 * @returns (batch, channels, height·2ⁿ, width·2ⁿ), n levels less one
 */
export function decoded(
  config: Groups,
  { decoder, post_quant_conv }: Pick<VaeParameters, 'decoder' | 'post_quant_conv'>,
  latents: tf.Tensor4D,
): tf.Tensor4D {
  let x = convolved(tf.transpose(latents, [0, 2, 3, 1]), post_quant_conv);
  x = inTheMiddle(config, decoder.mid_block, convolved(x, decoder.conv_in));
  for (const { resnets, upsamplers = [] } of decoder.up_blocks) {
    for (const resnet of resnets) x = residual(config, resnet, x);
    for (const { conv } of upsamplers) x = convolved(doubled(x), conv);
  }
  x = convolved(silu(normed(config, decoder.conv_norm_out, x)), decoder.conv_out);
  return tf.transpose(x, [0, 3, 1, 2]);
}

/** @param x (batch, height, width, channels) */
function residual(config: Groups, parameters: ResnetParameters, x: tf.Tensor4D): tf.Tensor4D {
  const { norm1, conv1, norm2, conv2, conv_shortcut } = parameters;
  // A scope for each block: in eager mode its activations are freed before the next one runs.
  return tidy(() => {
    const first = convolved(silu(normed(config, norm1, x)), conv1);
    const second = convolved(silu(normed(config, norm2, first)), conv2);
    return tf.add(conv_shortcut ? convolved(x, conv_shortcut) : x, second);
  });
}

function inTheMiddle(
  config: Groups,
  { attentions = [], resnets }: MidParameters,
  h: tf.Tensor4D,
): tf.Tensor4D {
  let x = h;
  resnets.forEach((resnet, index) => {
    x = residual(config, resnet, x);
    const after = attentions[index];
    if (after) x = attended(config, after, x);
  });
  return x;
}

/** Every place attends to all others, with one head. */
function attended(
  config: Groups,
  { group_norm, to_q, to_k, to_v, to_out: outputs }: AttentionParameters,
  x: tf.Tensor4D,
): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  return tidy(() => {
    const rows = tf.reshape(normed(config, group_norm, x), [-1, channels]);
    const project = ({ weight, bias }: LinearParameters) =>
      tf.reshape(linear(rows, weight, bias), [batch, 1, height * width, channels]);
    const scale = 1 / Math.sqrt(channels);
    const mixed = attention(project(to_q), project(to_k), project(to_v), { scale });
    const { weight, bias } = at(outputs, 0);
    const out = linear(tf.reshape(mixed, [-1, channels]), weight, bias);
    return tf.add(x, tf.reshape(out, x.shape));
  });
}

function normed({ groups }: Groups, { weight, bias }: NormParameters, x: tf.Tensor4D): tf.Tensor4D {
  return groupNorm(x, weight, bias, groups);
}

function convolved(x: tf.Tensor4D, kernel: KernelParameters): tf.Tensor4D {
  return convolution(x, channelsLast(kernel));
}

/** The kernel as TensorFlow has it, (height, width, inputs, outputs). */
function channelsLast({ weight, bias }: KernelParameters): KernelParameters {
  return { weight: tf.transpose(weight, [2, 3, 1, 0]), bias };
}
