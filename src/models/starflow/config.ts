import { z } from 'zod';
import { UserError } from '../../core/errors.js';
import { checkedConfig } from '../../core/schema.js';
import { count, countOrNone, depth, imageSchema } from '../../flow/model.js';
import { checkPatches } from '../../flow/patches.js';

export const starflowSchema = z.strictObject({
  kind: z.literal('starflow'),
  image: imageSchema,
  classes: countOrNone,
  /** A dropped label is a class of its own. */
  nullClass: z.literal(true),
  /** The states of a caption that the model reads; absent where it reads none. */
  text: z.strictObject({ entries: count, width: count }).optional(),
  /** Side of a square patch; divides height and width. */
  patchSize: count,
  /** Width of the transformers' residual stream. */
  channels: count,
  /** Transformer layers of each block, nearest the data first. */
  layersPerBlock: z.array(depth).min(1).max(512),
  /** Width of an attention head; divides channels. */
  headWidth: count,
  /**
   * True for a learned token before the first one, so that this one is predicted, too; false lets it
   * pass through, as TarFlow does.
   */
  startToken: z.boolean(),
  /** Normalisation in the layers. */
  norm: z.enum(['layer', 'rms']),
  /** True for a normalisation by the root mean square after the layers. */
  finalNorm: z.boolean(),
  /** Outputs stay within ± this, by tanh; 0 for no bound. */
  softClip: z.number().min(0),
  /** How an output becomes a scale: e^a, or softplus of a, moved to be 1 at a = 0. */
  scale: z.enum(['exp', 'softplus']),
  /** The order in which the block nearest the data reads tokens; then it alternates. */
  firstDirection: z.enum(['forward', 'reverse']),
  /**
   * Tokens along the side of a training image: positions of grids of other sizes and shapes are scaled
   * to those of this one. It stays that of the first training where a run goes on with larger images.
   */
  gridSide: z.number().positive(),
});

/**
 * The shape of a STARFlow (Gu et al. 2025, arXiv 2506.06276): a stack of autoregressive blocks over
 * latents, of which the last one, nearest the noise, is deep and alone reads a class or a caption.
 */
export interface StarFlowConfig extends z.infer<typeof starflowSchema> {}

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
  checkedConfig(starflowSchema, config);
  checkPatches(config);
  const { headWidth, classes, text, startToken } = config;
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
