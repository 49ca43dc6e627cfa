import { z } from 'zod';
import { UserError } from '../../core/errors.js';
import { checkedConfig } from '../../core/schema.js';
import { backgroundSchema } from '../../flow/background.js';
import { count, countOrNone, imageSchema } from '../../flow/model.js';

export const mafSchema = z.strictObject({
  kind: z.literal('maf'),
  image: imageSchema,
  classes: countOrNone,
  /** Masked networks, each in the reverse order of the one before. */
  blocks: count,
  /** Hidden layers of a network. */
  hiddenLayers: count,
  /** Units of a hidden layer. */
  hiddenUnits: count,
  /**
   * As in a TarFlow: the grey level whose noise is made normal before the first block
   * (`spreadBackground`). The paper takes the logit of pixels instead. Absent, blocks read pixels.
   */
  background: backgroundSchema.optional(),
});

/** The shape of a masked autoregressive flow. Its tokens are the numbers of an image, one by one. */
export interface MafConfig extends z.infer<typeof mafSchema> {}

/**
 * Checks a configuration.
 * @throws UserError that names the value that does not fit, or an image of a single number
 */
export function checkMaf(config: MafConfig): MafConfig {
  checkedConfig(mafSchema, config);
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
