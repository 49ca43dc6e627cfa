import { foldIn, type RandomKey } from '../../core/random.js';
import type { tf } from '../../core/tf.js';
import { type LinearParameters, linearSpecs, normSpecs } from '../../nn/layers.js';
import { type LeafSpec, type Specs, uniforms } from '../../nn/specs.js';
import type { VaeConfig } from './config.js';

/** Weight (outputs, inputs, height, width), as PyTorch has it, and bias (outputs). */
export type KernelParameters = { weight: tf.Tensor4D; bias: tf.Tensor1D };

/** Scale and offset (channels) of a normalisation. */
export type GroupNormParameters = { weight: tf.Tensor1D; bias: tf.Tensor1D };

/** Two convolutions and what is added to them. The keys are those of diffusers. */
export type ResnetParameters = {
  norm1: GroupNormParameters;
  conv1: KernelParameters;
  norm2: GroupNormParameters;
  conv2: KernelParameters;
  /** 1×1, where the channels change. */
  conv_shortcut?: KernelParameters;
};

/** Attention with one head. */
export type AttentionParameters = {
  group_norm: GroupNormParameters;
  to_q: LinearParameters;
  to_k: LinearParameters;
  to_v: LinearParameters;
  /** One of them. */
  to_out: LinearParameters[];
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
  conv_norm_out: GroupNormParameters;
  conv_out: KernelParameters;
};

export type DecoderParameters = {
  conv_in: KernelParameters;
  mid_block: MidParameters;
  up_blocks: UpParameters[];
  conv_norm_out: GroupNormParameters;
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
  const [first, last] = [channels[0] as number, channels.at(-1) as number];
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
    conv_norm_out: plainNorm(last),
    conv_out: kernelSpecs(foldIn(key, 'conv_out'), 3, last, 2 * latentChannels),
  };
}

function decoderSpecs(
  { image, channels, resnetsPerLevel, latentChannels, midAttention }: VaeConfig,
  key: RandomKey,
): Specs<DecoderParameters> {
  const [first, last] = [channels[0] as number, channels.at(-1) as number];
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
    conv_norm_out: plainNorm(first),
    conv_out: kernelSpecs(foldIn(key, 'conv_out'), 3, first, image.channels),
  };
}

function midSpecs(key: RandomKey, channels: number, attends: boolean): Specs<MidParameters> {
  const linear = (name: string) => linearSpecs(foldIn(key, name), channels, channels);
  const attention = {
    group_norm: plainNorm(channels),
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
      norm1: plainNorm(seen),
      conv1: kernelSpecs(foldIn(own, 'conv1'), 3, seen, outputs),
      norm2: plainNorm(outputs),
      conv2: kernelSpecs(foldIn(own, 'conv2'), 3, outputs, outputs),
      ...(seen !== outputs && {
        conv_shortcut: kernelSpecs(foldIn(own, 'shortcut'), 1, seen, outputs),
      }),
    };
  });
}

function plainNorm(channels: number): Specs<GroupNormParameters> {
  return normSpecs(channels) as Specs<GroupNormParameters>;
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
