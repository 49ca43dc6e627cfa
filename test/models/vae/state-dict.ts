import { randomKey } from '../../../src/core/random.js';
import type { TensorSource } from '../../../src/formats/safetensors.js';
import type { VaeConfig } from '../../../src/models/vae/config.js';
import { vaeSpecs } from '../../../src/models/vae/parameters.js';
import { shapesOf } from '../../../src/nn/specs.js';
import { filled } from '../../pretrained/counted-weights.js';

/** Autoencoders whose results reference.py stores: Stable Diffusion's, and a small twin. */
export const storedConfigs = {
  small: stored([32, 64], 1),
  'stable-diffusion': stored([128, 256, 512, 512], 2),
} as const satisfies Record<string, VaeConfig>;

function stored(channels: number[], resnetsPerLevel: number): VaeConfig {
  return {
    kind: 'vae',
    image: { channels: 3, height: 256, width: 256 },
    classes: 0,
    channels,
    resnetsPerLevel,
    groups: 32,
    latentChannels: 4,
    midAttention: true,
    scalingFactor: 0.18215,
    loss: { trained: 'all', kl: 1e-6, squares: 0, features: 0 },
  };
}

/** A state dict by the names of diffusers, filled by name and counter, as reference.py fills it. */
export function filledStateDict(config: VaeConfig): Record<string, TensorSource> {
  const { parameters } = vaeSpecs(config, randomKey(0));
  return Object.fromEntries(
    Object.entries(shapesOf(parameters)).map(([name, shape]) => [
      name,
      { dtype: 'F32', shape: [...shape], data: () => filled(name, shape).data },
    ]),
  );
}

/** The same with the names that attention had before. */
export function withOlderNames(state: Record<string, TensorSource>): Record<string, TensorSource> {
  const older: Record<string, string> = {
    to_q: 'query',
    to_k: 'key',
    to_v: 'value',
    'to_out.0': 'proj_attn',
  };
  return Object.fromEntries(
    Object.entries(state).map(([name, tensor]) => [
      name.replace(/to_q|to_k|to_v|to_out\.0/, (found) => older[found] as string),
      tensor,
    ]),
  );
}
