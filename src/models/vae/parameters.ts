import { at } from '../../core/errors.js';
import { foldIn, type RandomKey } from '../../core/random.js';
import type { PublishedAbility } from '../../flow/model.js';
import type { ConvolutionParameters } from '../../nn/convolution.js';
import {
  type LinearParameters,
  linearSpecs,
  type NormParameters,
  normSpecs,
} from '../../nn/layers.js';
import { type LeafSpec, type Specs, uniforms } from '../../nn/specs.js';
import type { VaeConfig } from './config.js';

/** Weight (outputs, inputs, height, width), as PyTorch has it, and bias (outputs). */
export type KernelParameters = ConvolutionParameters;

/** Two convolutions and what is added to them. The keys are those of diffusers. */
export type ResnetParameters = {
  norm1: NormParameters;
  conv1: KernelParameters;
  norm2: NormParameters;
  conv2: KernelParameters;
  /** 1×1, where the channels change. */
  conv_shortcut?: KernelParameters;
};

/** Attention with one head. */
export type AttentionParameters = {
  group_norm: NormParameters;
  to_q: LinearParameters;
  to_k: LinearParameters;
  to_v: LinearParameters;
  to_out: [LinearParameters];
};

/** Two residual blocks and the attention between them. */
export type MidParameters = { attentions?: AttentionParameters[]; resnets: ResnetParameters[] };

/** A level of the encoder; the last has nothing that halves. */
export type DownParameters = {
  resnets: ResnetParameters[];
  downsamplers?: { conv: KernelParameters }[];
};

/** A level of the decoder, the lowest first; the last has nothing that doubles. */
export type UpParameters = {
  resnets: ResnetParameters[];
  upsamplers?: { conv: KernelParameters }[];
};

export type EncoderParameters = {
  conv_in: KernelParameters;
  down_blocks: DownParameters[];
  mid_block: MidParameters;
  conv_norm_out: NormParameters;
  conv_out: KernelParameters;
};

export type DecoderParameters = {
  conv_in: KernelParameters;
  mid_block: MidParameters;
  up_blocks: UpParameters[];
  conv_norm_out: NormParameters;
  conv_out: KernelParameters;
};

/** All parameters of an autoencoder, under the names of diffusers' state dicts. */
export type VaeParameters = {
  encoder: EncoderParameters;
  /** 1×1, on mean above log-variance. */
  quant_conv: KernelParameters;
  /** 1×1, on latents. */
  post_quant_conv: KernelParameters;
  decoder: DecoderParameters;
};

/** Fresh parameters: all weights uniform within ±1/√inputs, as PyTorch's are; norms do nothing. */
export function vaeSpecs(
  config: VaeConfig,
  key: RandomKey,
): { parameters: Specs<VaeParameters>; buffers: Record<string, LeafSpec> } {
  const { latentChannels: latent } = config;
  const parameters = {
    encoder: encoderSpecs(config, foldIn(key, 'encoder')),
    quant_conv: kernelSpecs(foldIn(key, 'quant_conv'), 1, 2 * latent, 2 * latent),
    post_quant_conv: kernelSpecs(foldIn(key, 'post_quant_conv'), 1, latent, latent),
    decoder: decoderSpecs(config, foldIn(key, 'decoder')),
  };
  return { parameters, buffers: {} };
}

function encoderSpecs(
  { image, channels, resnetsPerLevel, latentChannels, midAttention }: VaeConfig,
  key: RandomKey,
): Specs<EncoderParameters> {
  const [first, last] = [at(channels, 0), at(channels, -1)];
  return {
    conv_in: kernelSpecs(foldIn(key, 'conv_in'), 3, image.channels, first),
    down_blocks: channels.map((width, level) => {
      const own = foldIn(foldIn(key, 'level'), level);
      const before = channels[level - 1] ?? first;
      const halves = { conv: kernelSpecs(foldIn(own, 'half'), 3, width, width) };
      return {
        resnets: resnetsSpecs(own, resnetsPerLevel, before, width),
        ...(level < channels.length - 1 && { downsamplers: [halves] }),
      };
    }),
    mid_block: midSpecs(foldIn(key, 'mid'), last, midAttention),
    conv_norm_out: normSpecs(last),
    conv_out: kernelSpecs(foldIn(key, 'conv_out'), 3, last, 2 * latentChannels),
  };
}

function decoderSpecs(
  { image, channels, resnetsPerLevel, latentChannels, midAttention }: VaeConfig,
  key: RandomKey,
): Specs<DecoderParameters> {
  const [first, last] = [at(channels, 0), at(channels, -1)];
  const upwards = [...channels].reverse();
  return {
    conv_in: kernelSpecs(foldIn(key, 'conv_in'), 3, latentChannels, last),
    mid_block: midSpecs(foldIn(key, 'mid'), last, midAttention),
    up_blocks: upwards.map((width, level) => {
      const own = foldIn(foldIn(key, 'level'), level);
      const doubles = { conv: kernelSpecs(foldIn(own, 'double'), 3, width, width) };
      return {
        resnets: resnetsSpecs(own, resnetsPerLevel + 1, upwards[level - 1] ?? last, width),
        ...(level < channels.length - 1 && { upsamplers: [doubles] }),
      };
    }),
    conv_norm_out: normSpecs(first),
    conv_out: kernelSpecs(foldIn(key, 'conv_out'), 3, first, image.channels),
  };
}

function midSpecs(key: RandomKey, channels: number, attends: boolean): Specs<MidParameters> {
  const linear = (name: string) => linearSpecs(foldIn(key, name), channels, channels);
  const attention = {
    group_norm: normSpecs(channels),
    ...{ to_q: linear('q'), to_k: linear('k'), to_v: linear('v'), to_out: [linear('out')] },
  };
  return {
    ...(attends && { attentions: [attention] }),
    resnets: resnetsSpecs(key, 2, channels, channels),
  };
}

/** Residual blocks, the first of which may change the channels. */
function resnetsSpecs(
  key: RandomKey,
  count: number,
  inputs: number,
  outputs: number,
): Specs<ResnetParameters>[] {
  return Array.from({ length: count }, (_, index) => {
    const own = foldIn(foldIn(key, 'resnet'), index);
    const seen = index === 0 ? inputs : outputs;
    return {
      norm1: normSpecs(seen),
      conv1: kernelSpecs(foldIn(own, 'conv1'), 3, seen, outputs),
      norm2: normSpecs(outputs),
      conv2: kernelSpecs(foldIn(own, 'conv2'), 3, outputs, outputs),
      ...(seen !== outputs && {
        conv_shortcut: kernelSpecs(foldIn(own, 'shortcut'), 1, seen, outputs),
      }),
    };
  });
}

function kernelSpecs(
  key: RandomKey,
  side: number,
  inputs: number,
  outputs: number,
): Specs<KernelParameters> {
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

type Shapes = Record<string, { shape: readonly number[] }>;

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
  const shape = (name: string): readonly number[] =>
    Object.hasOwn(state, name) ? (state[name]?.shape ?? []) : [];
  const count = (pattern: RegExp): number =>
    new Set(Object.keys(state).flatMap((name) => pattern.exec(name)?.[1] ?? [])).size;
  const levels = Math.max(1, count(/^encoder\.down_blocks\.(\d+)\./));
  const channels = Array.from(
    { length: levels },
    (_, level) => shape(`encoder.down_blocks.${level}.resnets.0.conv1.weight`)[0] ?? 32,
  );
  return {
    kind: 'vae',
    image: {
      channels: imageChannels ?? shape('encoder.conv_in.weight')[1] ?? 3,
      height: imageSide,
      width: imageSide,
    },
    classes: 0,
    channels,
    resnetsPerLevel: Math.max(1, count(/^encoder\.down_blocks\.0\.resnets\.(\d+)\./)),
    groups: 32,
    latentChannels: shape('post_quant_conv.weight')[0] ?? 4,
    midAttention: count(/^encoder\.mid_block\.attentions\.(\d+)\./) > 0,
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
