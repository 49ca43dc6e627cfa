import { randomKey } from '../../core/random.js';
import type { PublishedAbility } from '../../flow/model.js';
import { checkWeights } from '../../formats/network-weights.js';
import { shapesOf } from '../../nn/specs.js';
import { checkVae, type VaeConfig } from './config.js';
import { vaeSpecs } from './parameters.js';

/** Attention of before diffusers 0.17, with today's names. */
const olderNames: Readonly<Record<string, string>> = {
  query: 'to_q',
  key: 'to_k',
  value: 'to_v',
  proj_attn: 'to_out.0',
};
const olderAttention = /^((?:en|de)coder\.mid_block\.attentions\.0)\.(query|key|value|proj_attn)\./;

/** What the weights are, for errors. */
const publishedVae = {
  network: "a variational autoencoder (diffusers' AutoencoderKL)",
  address: 'https://huggingface.co/stabilityai/sd-vae-ft-ema (diffusion_pytorch_model.safetensors)',
} as const;

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
  source: string,
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
  const config: VaeConfig = {
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
  const { parameters } = vaeSpecs(config, randomKey(0));
  checkWeights({ path: source, tensors: state }, publishedVae, shapesOf(parameters));
  return checkVae(config);
}

/**
 * `AutoencoderKL` of diffusers, as Stable Diffusion has it. Its factor of scale is that of Stable
 * Diffusion, 0.18215.
 */
export const published: PublishedAbility<VaeConfig> = {
  mark: 'encoder.conv_in.weight',
  // Every tensor is one of the model's.
  ignored: /^$/,
  renamed: (name) =>
    name.replace(olderAttention, (_, place, old) => `${place}.${olderNames[old as string]}.`),
  configOf,
};
