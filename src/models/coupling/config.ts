import { z } from 'zod';
import { UserError } from '../../core/errors.js';
import { checkedConfig } from '../../core/schema.js';
import { backgroundSchema } from '../../flow/background.js';
import type { Factors } from '../../flow/coupling.js';
import { count, countOrNone, depth, imageSchema } from '../../flow/model.js';

export const couplingSchema = z.strictObject({
  kind: z.literal('coupling'),
  image: imageSchema,
  classes: countOrNone,
  /**
   * Scales. Each begins with a squeeze: sides longer than a pixel are halved. After each but the last,
   * half of the channels leave.
   */
  levels: depth,
  /** Couplings of a level. */
  stepsPerLevel: depth,
  /** Channels inside the networks that predict. */
  hiddenChannels: count,
  /** As in a TarFlow. */
  background: backgroundSchema.optional(),
});

/** The shape of a coupling flow. */
export interface CouplingConfig extends z.infer<typeof couplingSchema> {}

/** A level after its squeeze. */
export interface LevelShape {
  factors: Factors;
  height: number;
  width: number;
  channels: number;
}

/** The shapes of the levels, from the data. */
export function levelShapes({ image, levels }: CouplingConfig): LevelShape[] {
  const shapes: LevelShape[] = [];
  let { height, width, channels } = image;
  for (let level = 0; level < levels; level++) {
    const factors = [Math.min(height, 2), Math.min(width, 2)] as const;
    [height, width, channels] = [
      height / factors[0],
      width / factors[1],
      channels * factors[0] * factors[1],
    ];
    shapes.push({ factors, height, width, channels });
    channels = Math.ceil(channels / 2);
  }
  return shapes;
}

/**
 * Checks a configuration.
 * @throws UserError that names the value that does not fit, or the level where sides cannot be halved
 *   or channels not split
 */
export function checkCoupling(config: CouplingConfig): CouplingConfig {
  checkedConfig(couplingSchema, config);
  const { height, width } = config.image;
  levelShapes(config).forEach((shape, level) => {
    if (!Number.isInteger(shape.height) || !Number.isInteger(shape.width)) {
      throw new UserError(
        `Sides of ${height}×${width} cannot be halved ${level + 1} times (levels is ${config.levels})`,
        `Choose at most ${level} levels, or an image of other sides`,
      );
    }
    if (shape.channels < 2) {
      throw new UserError(
        `Level ${level} has one channel, which cannot be split into halves`,
        'Choose fewer levels, or an image of more channels',
      );
    }
  });
  return config;
}

/** A coupling flow's name in tables: levels, steps per level, hidden channels. */
export function couplingTitle({ levels, stepsPerLevel, hiddenChannels }: CouplingConfig): string {
  return [levels, stepsPerLevel, hiddenChannels].join('-');
}
