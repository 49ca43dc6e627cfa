import { z } from 'zod';
import { UserError } from '../../core/errors.js';
import type { ImageSize } from '../../data/source.js';
import { type Background, checkBackground } from '../../flow/background.js';

/**
 * The shape of a TarFlow. The paper names a model `P-Ch-K-L`: patch size, channels, blocks, layers
 * per block (Zhai et al. 2024, arXiv 2412.06329, section 3).
 */
export interface TarFlowConfig {
  kind: 'tarflow';
  image: ImageSize;
  /** Side of a square patch, in pixels; divides height and width. */
  patchSize: number;
  /** Width of the transformer's residual stream. */
  channels: number;
  /** Number of autoregressive flow blocks. */
  blocks: number;
  /** Transformer layers in each block. */
  layersPerBlock: number;
  /** Width of an attention head; divides channels. The published models use 64. */
  headWidth: number;
  /** Number of classes; 0 makes the model unconditional. */
  classes: number;
  /** Additive coupling (VP) instead of the default affine one (NVP). */
  volumePreserving: boolean;
  /**
   * `same` lets every block read the tokens in raster order, where the papers' alternate: an ablation,
   * which fails. Absent, they alternate.
   */
  directions?: 'alternating' | 'same' | undefined;
  /**
   * The grey level that most pixels have, black or white: their noise is made normal and wide before
   * the first block, and narrow again after sampling (`spreadBackground`). For likelihood, with
   * uniform noise. Not in the papers; absent, blocks read pixels on [−1, 1] as there.
   */
  background?: Background | undefined;
}

/** The fields of a {@link TarFlowConfig}. */
export const tarflowSchema: z.ZodType<TarFlowConfig> = z.strictObject({
  kind: z.literal('tarflow'),
  image: z.strictObject({ channels: z.number(), height: z.number(), width: z.number() }),
  patchSize: z.number(),
  channels: z.number(),
  blocks: z.number(),
  layersPerBlock: z.number(),
  headWidth: z.number(),
  classes: z.number(),
  volumePreserving: z.boolean(),
  directions: z.enum(['alternating', 'same']).optional(),
  background: z.union([z.literal(0), z.literal(255)]).optional(),
});

/** Number of tokens T = (height/P)·(width/P). */
export function tokenCount({
  image,
  patchSize,
}: Pick<TarFlowConfig, 'image' | 'patchSize'>): number {
  return (image.height / patchSize) * (image.width / patchSize);
}

/** Numbers in a token, D = image channels · P². */
export function tokenWidth({
  image,
  patchSize,
}: Pick<TarFlowConfig, 'image' | 'patchSize'>): number {
  return image.channels * patchSize ** 2;
}

/** The name the paper would give the model, e.g. `4-128-4-4`. */
export function configName(config: TarFlowConfig): string {
  return [config.patchSize, config.channels, config.blocks, config.layersPerBlock].join('-');
}

/**
 * Checks a configuration.
 * @throws UserError that names the value that does not fit, and what would
 */
export function checkConfig(config: TarFlowConfig): TarFlowConfig {
  const { image, patchSize, channels, headWidth } = config;
  const counts: [string, number, number][] = [
    ['image.channels', image.channels, 1],
    ['image.height', image.height, 1],
    ['image.width', image.width, 1],
    ['patchSize', patchSize, 1],
    ['channels', channels, 1],
    ['blocks', config.blocks, 1],
    ['layersPerBlock', config.layersPerBlock, 1],
    ['headWidth', headWidth, 1],
    ['classes', config.classes, 0],
  ];
  for (const [name, value, least] of counts) {
    if (!Number.isInteger(value) || value < least) {
      throw new UserError(`${name} is ${value}`, `Expected a whole number of at least ${least}`);
    }
  }
  if (image.height % patchSize !== 0 || image.width % patchSize !== 0) {
    throw new UserError(
      `A patch of ${patchSize}×${patchSize} does not tile an image of ${image.height}×${image.width}`,
      'Choose a patchSize that divides both sides',
    );
  }
  if (channels % headWidth !== 0) {
    throw new UserError(
      `headWidth ${headWidth} does not divide channels ${channels}`,
      'Choose channels as a multiple of headWidth',
    );
  }
  if (tokenCount(config) < 2) {
    throw new UserError(
      `An image of ${image.height}×${image.width} in patches of ${patchSize} is a single token`,
      'An autoregressive flow needs at least two; choose a smaller patchSize',
    );
  }
  if (config.background !== undefined) checkBackground(config.background);
  return config;
}
