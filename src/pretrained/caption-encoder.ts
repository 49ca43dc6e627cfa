import { UserError } from '../core/errors.js';
import type { tf } from '../core/tf.js';

/** What brings captions into the form that models read: states, a row of numbers for each token. */
export interface CaptionEncoder {
  /** As `openTextEncoder` takes it. */
  readonly name: string;
  /** The most entries of a caption's states. */
  readonly entries: number;
  /** Numbers of an entry. */
  readonly width: number;
  /** The SHA-256 of the weights, or of the file of states, in hexadecimal. */
  readonly weights: string;
  /**
   * The states of captions. A caption that is too long is cut, with a warning that names its length;
   * the empty one is a caption, too.
   *
   * @returns (captions, entries, width), zero after the end of a caption; the caller frees it
   * @throws UnknownCaption where nothing of a caption is known; UserError for no captions, and for
   *   a number of entries that the encoder does not have
   */
  encode(captions: readonly string[], options?: EncodeOptions): Promise<tf.Tensor3D>;
  dispose(): void;
}

/** How captions are encoded. */
export interface EncodeOptions {
  /** Entries of the states. Default: the most that the encoder has. */
  entries?: number;
}

/** A caption of which an encoder knows nothing. */
export class UnknownCaption extends UserError {}

/**
 * Checks what an encoder is asked for.
 *
 * @param least the fewest entries that hold a caption
 * @returns the number of entries
 * @throws UserError that says what came and what was expected
 */
export function askedEntries(
  { name, entries: most }: Pick<CaptionEncoder, 'name' | 'entries'>,
  captions: readonly string[],
  { entries = most }: EncodeOptions,
  least: number,
): number {
  if (captions.length === 0) {
    throw new UserError('No captions came', "Give at least one; '' is the empty caption");
  }
  if (!Number.isInteger(entries) || entries < least || entries > most) {
    throw new UserError(
      `${entries} entries of a caption are asked of ${name}`,
      least === most ? `Expected ${most}` : `Expected a whole number from ${least} to ${most}`,
    );
  }
  return entries;
}

/** A caption as errors and warnings show it. */
export function shownCaption(caption: string): string {
  return `'${caption.length > 60 ? `${caption.slice(0, 60)}…` : caption}'`;
}

/** Warns of something that a caption loses. */
export function warnOfCaption(text: string): void {
  process.emitWarning(text, { type: 'TarflowWarning' });
}
