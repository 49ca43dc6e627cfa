import { at } from '../../core/errors.js';
import { foldIn, type RandomKey } from '../../core/random.js';
import type { PublishedAbility, Shapes } from '../../flow/model.js';
import { countOf, shapeOf } from '../../flow/state-dict.js';
import { linearSpecs, normSpecs } from '../../nn/layers.js';
import { type Specified, uniforms } from '../../nn/specs.js';
import type { VaeConfig } from './config.js';

export type KernelParameters = Specified<ReturnType<typeof kernelSpecs>>;
export type ResnetParameters = Specified<ReturnType<typeof resnetsSpecs>>[number];
export type AttentionParameters = Specified<ReturnType<typeof attentionSpecs>>;
export type MidParameters = Specified<ReturnType<typeof midSpecs>>;

/** All parameters of an autoencoder, under the names of diffusers' state dicts. */
export type VaeParameters = Specified<ReturnType<typeof vaeSpecs>['parameters']>;

/** Fresh parameters: all weights uniform within ±1/√inputs, as PyTorch's are; norms do nothing. */
export function vaeSpecs(config: VaeConfig, key: RandomKey) {
  const { latentChannels: latent } = config;
  const parameters = {
    encoder: encoderSpecs(config, foldIn(key, 'encoder')),
    /** 1×1, on mean above log-variance. */
    quant_conv: kernelSpecs(foldIn(key, 'quant_conv'), 1, 2 * latent, 2 * latent),
    /** 1×1, on latents. */
    post_quant_conv: kernelSpecs(foldIn(key, 'post_quant_conv'), 1, latent, latent),
    decoder: decoderSpecs(config, foldIn(key, 'decoder')),
  };
  return { parameters, buffers: {} };
}

function encoderSpecs(
  { image, channels, resnetsPerLevel, latentChannels, midAttention }: VaeConfig,
  key: RandomKey,
) {
  const [first, last] = [at(channels, 0), at(channels, -1)];
  return {
    conv_in: kernelSpecs(foldIn(key, 'conv_in'), 3, image.channels, first),
    down_blocks: levelsSpecs(key, channels, resnetsPerLevel, 'down'),
    mid_block: midSpecs(foldIn(key, 'mid'), last, midAttention),
    conv_norm_out: normSpecs(last),
    conv_out: kernelSpecs(foldIn(key, 'conv_out'), 3, last, 2 * latentChannels),
  };
}

function decoderSpecs(
  { image, channels, resnetsPerLevel, latentChannels, midAttention }: VaeConfig,
  key: RandomKey,
) {
  const [first, last] = [at(channels, 0), at(channels, -1)];
  return {
    conv_in: kernelSpecs(foldIn(key, 'conv_in'), 3, latentChannels, last),
    mid_block: midSpecs(foldIn(key, 'mid'), last, midAttention),
    /** The lowest one first. */
    up_blocks: levelsSpecs(key, [...channels].reverse(), resnetsPerLevel + 1, 'up'),
    conv_norm_out: normSpecs(first),
    conv_out: kernelSpecs(foldIn(key, 'conv_out'), 3, first, image.channels),
  };
}

/**
 * Levels, and what halves sides in the encoder or doubles them in the decoder after each but the last.
 *
 * @param widths of the levels, in their order
 */
function levelsSpecs(
  key: RandomKey,
  widths: readonly number[],
  count: number,
  samples: 'down' | 'up',
) {
  return widths.map((width, level) => {
    const own = foldIn(foldIn(key, 'level'), level);
    const sampler = (name: string) => [{ conv: kernelSpecs(foldIn(own, name), 3, width, width) }];
    const between = level < widths.length - 1;
    return {
      resnets: resnetsSpecs(own, count, widths[level - 1] ?? width, width),
      ...(between && samples === 'down' && { downsamplers: sampler('half') }),
      ...(between && samples === 'up' && { upsamplers: sampler('double') }),
    };
  });
}

/** Two residual blocks, and the attention between them. */
function midSpecs(key: RandomKey, channels: number, attends: boolean) {
  return {
    ...(attends && { attentions: [attentionSpecs(key, channels)] }),
    resnets: resnetsSpecs(key, 2, channels, channels),
  };
}

/** Attention with one head. */
function attentionSpecs(key: RandomKey, channels: number) {
  const linear = (name: string) => linearSpecs(foldIn(key, name), channels, channels);
  return {
    group_norm: normSpecs(channels),
    to_q: linear('q'),
    to_k: linear('k'),
    to_v: linear('v'),
    to_out: [linear('out')],
  };
}

/**
 * Residual blocks, the first of which may change the channels: two convolutions and what is added to them.
 * The keys are those of diffusers.
 */
function resnetsSpecs(key: RandomKey, count: number, inputs: number, outputs: number) {
  return Array.from({ length: count }, (_, index) => {
    const own = foldIn(foldIn(key, 'resnet'), index);
    const seen = index === 0 ? inputs : outputs;
    return {
      norm1: normSpecs(seen),
      conv1: kernelSpecs(foldIn(own, 'conv1'), 3, seen, outputs),
      norm2: normSpecs(outputs),
      conv2: kernelSpecs(foldIn(own, 'conv2'), 3, outputs, outputs),
      /** 1×1, where the channels change. */
      ...(seen !== outputs && {
        conv_shortcut: kernelSpecs(foldIn(own, 'shortcut'), 1, seen, outputs),
      }),
    };
  });
}

/** Weight (outputs, inputs, height, width), as PyTorch has it, and bias (outputs). */
function kernelSpecs(key: RandomKey, side: number, inputs: number, outputs: number) {
  const bound = 1 / Math.sqrt(side * side * inputs);
  return {
    weight: uniforms(foldIn(key, 'weight'), [outputs, inputs, side, side], bound),
    bias: uniforms(foldIn(key, 'bias'), [outputs], bound),
  };
}

/** Attention of before diffusers 0.17, with today's names. */
const olderNames: Readonly<Record<string, string>> = {
  query: 'to_q',
  key: 'to_k',
  value: 'to_v',
  proj_attn: 'to_out.0',
};
const olderAttention = /^((?:en|de)coder\.mid_block\.attentions\.0)\.(query|key|value|proj_attn)\./;

/**
 * The configuration that the shapes of a state dict tell. They do not tell the groups of the
 * normalisations, which are 32 in all published models, nor the size of the images, which decides
 * nothing. All tensors are checked.
 *
 * @throws UserError with the names of tensors that are missing, unexpected or of another shape
 */
function configOf(
  state: Shapes,
  _source: string,
  { imageChannels, imageSide = 256 }: { imageChannels?: number; imageSide?: number },
): VaeConfig {
  const levels = Math.max(1, countOf(state, /^encoder\.down_blocks\.(\d+)\./));
  return {
    kind: 'vae',
    image: {
      channels: imageChannels ?? shapeOf(state, 'encoder.conv_in.weight')[1] ?? 3,
      height: imageSide,
      width: imageSide,
    },
    classes: 0,
    channels: Array.from(
      { length: levels },
      (_, l) => shapeOf(state, `encoder.down_blocks.${l}.resnets.0.conv1.weight`)[0] ?? 32,
    ),
    resnetsPerLevel: Math.max(1, countOf(state, /^encoder\.down_blocks\.0\.resnets\.(\d+)\./)),
    groups: 32,
    latentChannels: shapeOf(state, 'post_quant_conv.weight')[0] ?? 4,
    midAttention: countOf(state, /^encoder\.mid_block\.attentions\.(\d+)\./) > 0,
    scalingFactor: 0.18215,
    loss: { trained: 'all', kl: 1e-6, squares: 0, features: 0 },
  };
}

/**
 * `AutoencoderKL` of diffusers, as Stable Diffusion has it. Its factor of scale is that of Stable
 * Diffusion, 0.18215.
 */
export const published: PublishedAbility<VaeConfig> = {
  network: "a variational autoencoder (diffusers' AutoencoderKL)",
  address: 'https://huggingface.co/stabilityai/sd-vae-ft-ema (diffusion_pytorch_model.safetensors)',
  mark: 'encoder.conv_in.weight',
  // Every tensor is one of the model's.
  ignored: /^$/,
  renamed: (name) =>
    name.replace(olderAttention, (_, place, old: string) => `${place}.${olderNames[old]}.`),
  configOf,
};
