import { z } from 'zod';
import { UserError } from '../../core/errors.js';
import { checkedValue } from '../../core/schema.js';
import type { Background } from '../../flow/background.js';
import type { ModelConfig } from '../../flow/model.js';

/** The shape of a masked autoregressive flow. Its tokens are the numbers of an image, one by one. */
export interface MafConfig extends ModelConfig {
  kind: 'maf';
  /** Masked networks, each in the reverse order of the one before. */
  blocks: number;
  /** Hidden layers of a network. */
  hiddenLayers: number;
  /** Units of a hidden layer. */
  hiddenUnits: number;
  /**
   * As in a TarFlow: the grey level whose noise is made normal before the first block
   * (`spreadBackground`). The paper takes the logit of pixels instead. Absent, blocks read pixels.
   */
  background?: Background | undefined;
}

const count = z.int().min(1);

/** The fields of a {@link MafConfig}. */
export const mafSchema: z.ZodType<MafConfig> = z.strictObject({
  kind: z.literal('maf'),
  image: z.strictObject({ channels: count, height: count, width: count }),
  classes: z.int().min(0),
  blocks: count,
  hiddenLayers: count,
  hiddenUnits: count,
  background: z.union([z.literal(0), z.literal(255)]).optional(),
});

/**
 * Checks a configuration.
 * @throws UserError that names the value that does not fit, or an image of a single number
 */
export function checkMaf(config: MafConfig): MafConfig {
  checkedValue(mafSchema, config, 'The configuration', 'Choose a value that fits');
  const { channels, height, width } = config.image;
  if (channels * height * width < 2) {
    throw new UserError(
      `An image of ${channels}×${height}×${width} is a single number`,
      'An autoregressive flow needs at least two; choose a larger image',
    );
  }
  return config;
}

/** A MAF's name in tables: blocks, hidden layers, units. */
export function mafTitle({ blocks, hiddenLayers, hiddenUnits }: MafConfig): string {
  return [blocks, hiddenLayers, hiddenUnits].join('-');
}
