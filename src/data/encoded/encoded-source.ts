import {
  type ArchiveDescription,
  batchOf,
  checkIndices,
  type DataSource,
  type FolderDescription,
  factsOf,
  type ImageSize,
  sizeOf,
} from '../source.js';
import { DamagedImage, decodedImage } from './image-file.js';

/** Where encoded images come from, by their index. */
export interface EncodedImages {
  /** What to call one in an error. */
  name(index: number): string;
  bytes(index: number): Promise<Uint8Array>;
}

/** Files that are read and decoded side by side: twice the threads that Node has for them. */
const atOnce = 8;

const heldBytes = 64e6;

/** Images of a size that are held ahead of need where nothing else was asked for. */
export function usuallyHeld(image: ImageSize): number {
  return Math.ceil(heldBytes / sizeOf(image));
}

/** So many other images are tried in place of one that is damaged; more of them are no accident. */
const mostTried = 10;

/**
 * A source of encoded images, decoded when they are read, ahead of need where that is known. For one
 * that is damaged the next of its class stands in, so that a long run does not end on it; it is named
 * and counted in a warning and in `damaged`. With the rule `refused` reading fails instead.
 */
export function encodedSource(
  description: FolderDescription | ArchiveDescription,
  images: EncodedImages,
): DataSource {
  const { name, split, image, labels, fit, held } = description;
  const size = sizeOf(image);
  const damaged = new Set<string>();
  const decoded = new Prefetcher(
    async (index) => {
      const encoded = { name: images.name(index), bytes: await images.bytes(index) };
      return decodedImage(encoded, image, fit);
    },
    { held, atOnce },
  );
  const report = ({ problem }: DamagedImage, index: number): void => {
    if (damaged.has(images.name(index))) return;
    damaged.add(images.name(index));
    process.emitWarning(
      `${problem}; another of its class stands in for it. Damaged images of ${name} (${split}) so far: ${damaged.size}.`,
      { type: 'TarflowWarning' },
    );
  };
  const readable = async (index: number): Promise<Uint8Array> => {
    let first: DamagedImage | undefined;
    for (const tried of withSubstitutes(labels, index)) {
      try {
        return await decoded.take(tried);
      } catch (error) {
        if (!(error instanceof DamagedImage) || description.damaged === 'refused') throw error;
        report(error, tried);
        first ??= error;
      }
    }
    throw first;
  };
  return {
    ...factsOf(description),
    damaged,
    async read(indices) {
      checkIndices(this, indices);
      const values = new Uint8Array(indices.length * size);
      await Promise.all(
        Array.from(indices, async (index, place) => {
          values.set(await readable(index), place * size);
        }),
      );
      return batchOf(description, indices, values);
    },
    prefetch(indices) {
      checkIndices(this, indices);
      decoded.prefetch(indices);
    },
  };
}

/** An index, and those of the next samples of its class, from the end on to the beginning. */
function* withSubstitutes(labels: Int32Array, index: number): Generator<number> {
  yield index;
  let tried = 0;
  for (let step = 1; step < labels.length && tried < mostTried; step++) {
    const other = (index + step) % labels.length;
    if (labels[other] !== labels[index]) continue;
    tried++;
    yield other;
  }
}

/**
 * Makes things by index, some of them before they are asked for. Of those made ahead at most `held`
 * are kept, and at most `atOnce` of all are being made, so that memory stays bounded whatever the
 * number of indices.
 */
export class Prefetcher<T> {
  private readonly ready = new Map<number, Promise<T>>();
  private readonly waiting: (() => void)[] = [];
  private running = 0;

  constructor(
    private readonly make: (index: number) => Promise<T>,
    private readonly limits: { held: number; atOnce: number },
  ) {}

  /** The thing of an index, which is no longer kept here. */
  take(index: number): Promise<T> {
    const found = this.ready.get(index) ?? this.made(index);
    this.ready.delete(index);
    return found;
  }

  /** Begins with the things of these indices, as many as may be held, and forgets all others. */
  prefetch(indices: ArrayLike<number>): void {
    const wanted = new Set(Array.from(indices).slice(0, this.limits.held));
    for (const index of this.ready.keys()) {
      if (!wanted.has(index)) this.ready.delete(index);
    }
    for (const index of wanted) {
      if (this.ready.has(index)) continue;
      const made = this.made(index);
      // Whoever takes it gets the error; perhaps nobody does.
      made.catch(() => {});
      this.ready.set(index, made);
    }
  }

  private async made(index: number): Promise<T> {
    if (this.running >= this.limits.atOnce) {
      await new Promise<void>((resolve) => {
        this.waiting.push(resolve);
      });
    } else {
      this.running++;
    }
    try {
      return await this.make(index);
    } finally {
      // The place goes to the one that has waited longest.
      const next = this.waiting.shift();
      if (next) next();
      else this.running--;
    }
  }
}
