import { z } from 'zod';
import { UserError } from '../../core/errors.js';
import { checkedValue } from '../../core/schema.js';
import type { Background } from '../../flow/background.js';
import type { ModelConfig } from '../../flow/model.js';
import type { Factors } from '../../flow/squeeze.js';

/** The shape of a coupling flow. */
export interface CouplingConfig extends ModelConfig {
  kind: 'coupling';
  /**
   * Scales. Each begins with a squeeze: sides longer than a pixel are halved. After each but the last,
   * half of the channels leave.
   */
  levels: number;
  /** Couplings of a level. */
  stepsPerLevel: number;
  /** Channels inside the networks that predict. */
  hiddenChannels: number;
  /** As in a TarFlow. */
  background?: Background;
}

const count = z.int().min(1);

export const couplingSchema: z.ZodType<CouplingConfig> = z.strictObject({
  kind: z.literal('coupling'),
  image: z.strictObject({ channels: count, height: count, width: count }),
  classes: z.int().min(0),
  levels: count,
  stepsPerLevel: count,
  hiddenChannels: count,
  background: z.union([z.literal(0), z.literal(255)]).optional(),
});

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
  checkedValue(couplingSchema, config, 'The configuration', 'Choose a value that fits');
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
