import { z } from 'zod';
import { checkedConfig } from '../../core/schema.js';
import { backgroundSchema } from '../../flow/background.js';
import { count, countOrNone, depth, imageSchema } from '../../flow/model.js';
import { checkPatches } from '../../flow/patches.js';

export const tarflowSchema = z.strictObject({
  kind: z.literal('tarflow'),
  image: imageSchema,
  /** Side of a square patch, in pixels; divides height and width. */
  patchSize: count,
  /** Width of the transformer's residual stream. */
  channels: count,
  /** Number of autoregressive flow blocks. */
  blocks: depth,
  /** Transformer layers in each block. */
  layersPerBlock: depth,
  /** Width of an attention head; divides channels. The published models use 64. */
  headWidth: count,
  /** Number of classes; 0 makes the model unconditional. */
  classes: countOrNone.default(0),
  /**
   * Standard deviation of the first numbers of the class table; absent for 0.01, as in the published code.
   * In a short training a wider table makes a flow heed its labels: they are one bit of thousands of numbers.
   */
  classDeviation: z.number().positive().optional(),
  /** Additive coupling (VP) instead of the default affine one (NVP). */
  volumePreserving: z.boolean().default(false),
  /**
   * `same` lets every block read the tokens in raster order, where the papers' alternate: an ablation,
   * which fails. Absent, they alternate.
   */
  directions: z.enum(['alternating', 'same']).optional(),
  /**
   * The grey level that most pixels have, black or white: their noise is made normal and wide before
   * the first block, and narrow again after sampling (`spreadBackground`). For likelihood, with
   * uniform noise. Not in the papers; absent, blocks read pixels on [−1, 1] as there.
   */
  background: backgroundSchema.optional(),
});

/**
 * The shape of a TarFlow. The paper names a model `P-Ch-K-L`: patch size, channels, blocks, layers
 * per block (Zhai et al. 2024, arXiv 2412.06329, section 3).
 */
export interface TarFlowConfig extends z.infer<typeof tarflowSchema> {}

/** The name the paper would give the model, e.g. `4-128-4-4`. */
export function configName(config: TarFlowConfig): string {
  return [config.patchSize, config.channels, config.blocks, config.layersPerBlock].join('-');
}

/**
 * Checks a configuration.
 * @throws UserError that names the value that does not fit, and what would
 */
export function checkConfig(config: TarFlowConfig): TarFlowConfig {
  checkPatches(checkedConfig(tarflowSchema, config));
  return config;
}
