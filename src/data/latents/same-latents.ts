import { UserError } from '../../core/errors.js';
import type { LatentFacts } from '../source.js';

/** Some latents, as an error calls them in the plural, and what is known of their autoencoder. */
export interface KnownLatents {
  /** For example 'The latents to train on'. */
  which: string;
  latents: LatentFacts | undefined;
}

/**
 * Scales that differ by less are one: a scale that was measured on another processor has another
 * rounding.
 */
const tolerance = 1e-4;

/**
 * Checks that two sets of latents may be used together: that they were multiplied by one number, and
 * made by one autoencoder. What one of them does not say is not compared.
 *
 * @param remedy for another scale, and for another autoencoder; without the latter it is a warning,
 *   since an autoencoder whose decoder was trained further makes the same latents
 * @throws UserError with both scales, or with the beginnings of both SHA-256
 */
export function checkSameLatents(
  one: KnownLatents,
  other: KnownLatents,
  remedy: { scale: string; autoencoder?: string },
): void {
  const [{ scale: ours, autoencoder: mine }, { scale: theirs, autoencoder: yours }] = [
    one.latents ?? {},
    other.latents ?? {},
  ];
  const gap = Math.abs((ours ?? 0) - (theirs ?? 0));
  if (ours !== undefined && theirs !== undefined && gap > tolerance * Math.max(ours, theirs)) {
    throw new UserError(
      `${one.which} were multiplied by ${shown(ours, theirs)}, ${lowered(other.which)} by ` +
        `${shown(theirs, ours)}`,
      remedy.scale,
    );
  }
  if (mine === undefined || yours === undefined || mine === yours) return;
  const problem =
    `${one.which} were made by the autoencoder of SHA-256 ${beginning(mine)}, ` +
    `${lowered(other.which)} by that of ${beginning(yours)}`;
  if (remedy.autoencoder !== undefined) throw new UserError(problem, remedy.autoencoder);
  process.emitWarning(
    `${problem}: they are the same latents only where one is the other with its decoder trained further`,
    { type: 'TarflowWarning' },
  );
}

/** A scale with so many digits that it can be told from another one. */
function shown(scale: number, other: number): string {
  const [short, theirs] = [scale, other].map((value) => Number(value.toPrecision(4)));
  return String(short === theirs ? scale : short);
}

function lowered(words: string): string {
  return words.replace(/^The /, 'the ');
}

/** Enough of a digest to tell files apart. */
function beginning(digest: string): string {
  return digest.length > 12 ? `${digest.slice(0, 12)}…` : digest;
}
