import { z } from 'zod';
import { UserError } from '../../core/errors.js';
import { checkedValue } from '../../core/schema.js';
import type { ModelConfig } from '../../flow/model.js';

/**
 * The shape of a STARFlow (Gu et al. 2025, arXiv 2506.06276): a stack of autoregressive blocks over
 * latents, of which the last one, nearest the noise, is deep and alone reads a class or a caption.
 */
export interface StarFlowConfig extends ModelConfig {
  kind: 'starflow';
  /** Side of a square patch; divides height and width. */
  patchSize: number;
  /** Width of the transformers' residual stream. */
  channels: number;
  /** Transformer layers of each block, nearest the data first. */
  layersPerBlock: number[];
  /** Width of an attention head; divides channels. */
  headWidth: number;
  /** A dropped label is a class of its own. */
  nullClass: true;
  /** The states of a caption that the model reads; absent where it reads none. */
  text?: { entries: number; width: number } | undefined;
  /**
   * True for a learned token before the first one, so that this one is predicted, too; false lets it
   * pass through, as TarFlow does.
   */
  startToken: boolean;
  /** Normalisation in the layers. */
  norm: 'layer' | 'rms';
  /** True for a normalisation by the root mean square after the layers. */
  finalNorm: boolean;
  /** Outputs stay within ± this, by tanh; 0 for no bound. */
  softClip: number;
  /** How an output becomes a scale: e^a, or softplus of a, moved to be 1 at a = 0. */
  scale: 'exp' | 'softplus';
  /** The order in which the block nearest the data reads tokens; then it alternates. */
  firstDirection: 'forward' | 'reverse';
  /**
   * Tokens along the side of a training image: positions of grids of other sizes and shapes are scaled
   * to those of this one. It stays that of the first training where a run goes on with larger images.
   */
  gridSide: number;
}

const count = z.int().min(1);

/** The fields of a {@link StarFlowConfig}. */
export const starflowSchema: z.ZodType<StarFlowConfig> = z.strictObject({
  kind: z.literal('starflow'),
  image: z.strictObject({ channels: count, height: count, width: count }),
  classes: z.int().min(0),
  nullClass: z.literal(true),
  text: z.strictObject({ entries: count, width: count }).optional(),
  patchSize: count,
  channels: count,
  layersPerBlock: z.array(count).min(1),
  headWidth: count,
  startToken: z.boolean(),
  norm: z.enum(['layer', 'rms']),
  finalNorm: z.boolean(),
  softClip: z.number().min(0),
  scale: z.enum(['exp', 'softplus']),
  firstDirection: z.enum(['forward', 'reverse']),
  gridSide: z.number().positive(),
});

/** Rows and columns of the grid of tokens. */
export function gridOf({
  image,
  patchSize,
}: Pick<StarFlowConfig, 'image' | 'patchSize'>): [rows: number, columns: number] {
  return [image.height / patchSize, image.width / patchSize];
}

/** Number of tokens T. */
export function starflowTokens(config: Pick<StarFlowConfig, 'image' | 'patchSize'>): number {
  const [rows, columns] = gridOf(config);
  return rows * columns;
}

/** Numbers in a token, D. */
export function starflowWidth({
  image,
  patchSize,
}: Pick<StarFlowConfig, 'image' | 'patchSize'>): number {
  return image.channels * patchSize ** 2;
}

/** Entries before the start token in the deep block: one for a class, those of a caption, or none. */
export function prefixEntries({ classes, text }: StarFlowConfig): number {
  if (text) return text.entries;
  return classes > 0 ? 1 : 0;
}

/** Numbers of such an entry: a mixture of classes with the null class, or a caption's states. */
export function prefixWidth({ classes, text }: StarFlowConfig): number {
  if (text) return text.width;
  return classes > 0 ? classes + 1 : 0;
}

/** Numbers of a head that turn by the position in a caption; the others turn by row and column. */
export const captionNumbers = 16;

/**
 * Checks a configuration.
 * @throws UserError that names the value that does not fit, and what would
 */
export function checkStarFlow(config: StarFlowConfig): StarFlowConfig {
  checkedValue(starflowSchema, config, 'The configuration', 'Choose a value that fits');
  const { image, patchSize, channels, headWidth, classes, text, startToken } = config;
  if (image.height % patchSize !== 0 || image.width % patchSize !== 0) {
    throw new UserError(
      `A patch of ${patchSize}×${patchSize} does not tile an image of ${image.height}×${image.width}`,
      'Choose a patchSize that divides both sides',
    );
  }
  if (starflowTokens(config) < 2) {
    throw new UserError(
      `An image of ${image.height}×${image.width} in patches of ${patchSize} is a single token`,
      'An autoregressive flow needs at least two; choose a smaller patchSize',
    );
  }
  if (channels % headWidth !== 0) {
    throw new UserError(
      `headWidth ${headWidth} does not divide channels ${channels}`,
      'Choose channels as a multiple of headWidth',
    );
  }
  if (classes > 0 && text) {
    throw new UserError(
      `The model has ${classes} classes and reads captions`,
      'Choose one: classes=0, or no text',
    );
  }
  const conditioned = prefixEntries(config) > 0;
  if (conditioned && !startToken) {
    throw new UserError(
      'A model without a start token came with classes or captions',
      'What these say comes before the start token: set startToken=true',
    );
  }
  const turned = headWidth - (conditioned ? captionNumbers : 0);
  if (turned < 4 || turned % 4 !== 0) {
    throw new UserError(
      `headWidth is ${headWidth}`,
      `Expected a multiple of 4${conditioned ? ` of at least ${captionNumbers + 4}` : ''}: ` +
        'its numbers turn in pairs, by row and by column',
    );
  }
  return config;
}

/** A STARFlow's name in tables: patch size, channels, layers of each block, the deep one last. */
export function starflowTitle({ patchSize, channels, layersPerBlock }: StarFlowConfig): string {
  return [patchSize, channels, ...layersPerBlock].join('-');
}
