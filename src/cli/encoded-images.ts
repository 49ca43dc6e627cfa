import { UserError } from '../core/errors.js';
import type { DataSource } from '../data/index.js';
import type { EncodedImage } from '../sampling/encode-dataset.js';
import { checkUsed } from './arguments.js';

/** Images that are read together for their captions. */
const batchSize = 256;

/** Which images of a data set are encoded. */
export interface Choice {
  /** The first ones; default all. */
  count?: number;
  /** Leaves out those of whose class and caption this is true. */
  except?: RegExp;
  /** Takes each once more, mirrored. */
  mirror: boolean;
  /** But not those of whose class and caption this is true. */
  mirrorExcept?: RegExp;
}

/**
 * A pattern of the command line, in which capitals do not matter.
 * @throws UserError where it is no regular expression
 */
export function pattern(text: string): RegExp {
  try {
    return new RegExp(text, 'iu');
  } catch (error) {
    throw new UserError(
      `${text} is no regular expression: ${error instanceof Error ? error.message : error}`,
      'Expected one of JavaScript, e.g. "^Flags:|left|right"',
    );
  }
}

/** What of a {@link Choice} is not as usual, in words. */
export function choiceText({
  count,
  except,
  mirror,
  mirrorExcept,
}: Choice): Record<string, string> {
  return {
    ...(count !== undefined && { count: String(count) }),
    ...(except && { except: except.source }),
    ...(mirror && { mirror: mirrorExcept ? `all except ${mirrorExcept.source}` : 'all' }),
  };
}

/**
 * The images of a data set that are asked for: as they are, and after them the mirrored ones. Patterns
 * look at the class and the caption, as in `Food & Drink: red apple`, or at the one that there is.
 *
 * @throws UserError where a pattern came for images that have neither, or leaves none, and where
 *   `mirrorExcept` came without `mirror`
 */
export async function imagesToEncode(
  data: DataSource,
  { count = data.length, except, mirror, mirrorExcept }: Choice,
): Promise<EncodedImage[]> {
  checkUsed({ mirrorExcept }, !mirror && 'without --mirror');
  const length = Math.min(count, data.length);
  const all = Array.from({ length }, (_, index) => index);
  const words = except || mirrorExcept ? await wordsOf(data, all) : [];
  const without = (indices: readonly number[], by: RegExp | undefined): number[] =>
    indices.filter((index) => !by?.test(words[index] ?? ''));
  const kept = without(all, except);
  if (kept.length === 0) {
    throw new UserError(`--except leaves none of ${length} images`, 'Expected a narrower pattern');
  }
  const turned = mirror ? without(kept, mirrorExcept) : [];
  return [
    ...kept.map((index) => ({ index, mirrored: false })),
    ...turned.map((index) => ({ index, mirrored: true })),
  ];
}

/** The class and the caption of each image. */
async function wordsOf(data: DataSource, indices: readonly number[]): Promise<string[]> {
  const words: string[] = [];
  for (let first = 0; first < indices.length; first += batchSize) {
    const { labels, captions, count } = await data.read(indices.slice(first, first + batchSize));
    for (let i = 0; i < count; i++) {
      const name = data.classes[labels[i] ?? -1];
      words.push([name, captions?.[i]].filter((part) => part !== undefined).join(': '));
    }
  }
  if (words.some((text) => text !== '')) return words;
  throw new UserError(
    `${data.name} has neither classes nor captions`,
    'Leave --except and --mirror-except out',
  );
}
