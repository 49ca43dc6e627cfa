import { UserError } from '../core/errors.js';
import { shared } from './shared-memory.js';
import {
  type CaptionedDescription,
  type CaptionFacts,
  type DataSource,
  factsOf,
  type RawBatch,
} from './source.js';

/** Captions that are read, and encoded, at a time. */
const rowsAtATime = 256;

export interface CaptionStates extends Omit<CaptionFacts, 'empty'> {
  /** States of captions (captions, entries, width), row by row. */
  encode(captions: readonly string[]): Promise<Float32Array>;
  /** Called with the share done, 0 to 1. */
  onProgress?: (share: number) => void;
}

/**
 * The same source with the states of its captions, for models that read them. Each caption is encoded
 * once, and its states stay in memory.
 *
 * @throws UserError where samples have no captions, or have states already; as `encode` does
 */
export async function withCaptionStates(
  source: DataSource,
  { encode, entries, width, encoder, onProgress }: CaptionStates,
): Promise<DataSource> {
  if (source.text) {
    throw new UserError(
      `${source.name} has the states of its captions already`,
      'Leave the text encoder out',
    );
  }
  const { captions, which } = await captionsOf(source);
  const states = new Float32Array(captions.length * entries * width);
  for (let first = 0; first < captions.length; first += rowsAtATime) {
    const some = captions.slice(first, first + rowsAtATime);
    states.set(await encode(some), first * entries * width);
    onProgress?.((first + some.length) / captions.length);
  }
  const { name, split, image, classes, labels, licence, latents } = source;
  return captionedSource(
    {
      kind: 'captioned',
      of: source.description,
      states: shared(states),
      which,
      name,
      split,
      image,
      classes,
      labels,
      licence,
      text: { entries, width, empty: await encode(['']), encoder },
      latents,
    },
    source,
  );
}

/** The source that a description is of, about the source that it is made of. */
export function captionedSource(description: CaptionedDescription, of: DataSource): DataSource {
  const { states, text, which } = description;
  const size = text.entries * text.width;
  return {
    ...factsOf(description),
    ...(of.damaged && { damaged: of.damaged }),
    ...(of.prefetch && { prefetch: (indices) => of.prefetch?.(indices) }),
    async read(indices): Promise<RawBatch> {
      const batch = await of.read(indices);
      const own = new Float32Array(batch.count * size);
      for (let i = 0; i < batch.count; i++) {
        const first = which[indices[i]!]! * size;
        own.set(states.subarray(first, first + size), i * size);
      }
      return { ...batch, text: { states: own, empty: text.empty } };
    },
  };
}

/** The different captions of a source, and which of them each sample has. */
async function captionsOf(source: DataSource): Promise<{ captions: string[]; which: Int32Array }> {
  const places = new Map<string, number>();
  const which = new Int32Array(source.length);
  for (let first = 0; first < source.length; first += rowsAtATime) {
    const count = Math.min(rowsAtATime, source.length - first);
    const { captions } = await source.read(Array.from({ length: count }, (_, i) => first + i));
    if (!captions) {
      throw new UserError(
        `${source.name} has no captions`,
        'Leave the text encoder out, or choose other data',
      );
    }
    for (const [i, caption] of captions.entries()) {
      const place = places.get(caption) ?? places.size;
      places.set(caption, place);
      which[first + i] = place;
    }
  }
  return { captions: [...places.keys()], which: shared(which) };
}
