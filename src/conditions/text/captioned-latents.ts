import * as path from 'node:path';
import { UserError } from '../../core/errors.js';
import {
  type HostData,
  type SafetensorsFile,
  type TensorSource,
  withSafetensors,
  writeSafetensors,
} from '../../formats/safetensors.js';
import type { CaptionEncoder } from '../../pretrained/caption-encoder.js';

export interface CaptionedLatents {
  /** A file of latents, as `openLatents` reads it. */
  from: string;
  /** The new file. */
  to: string;
  /** One caption for each of the latents. */
  captions: readonly string[];
  encoder: CaptionEncoder;
  /** Entries of a caption, as many as the model reads. */
  entries: number;
  /** How the states are stored; default F16. Those of the empty caption are F32. */
  dtype?: 'F32' | 'F16' | 'BF16';
  signal?: AbortSignal;
}

/**
 * Writes a file of latents with the states of their captions, on which a model that reads captions is
 * trained. Latents are copied, and captions encoded, some at a time.
 *
 * @throws UserError where the captions are not as many as the latents, or both files are one; as the
 *   encoder does; the signal's reason where it stops the work, which leaves no file
 */
export async function writeCaptionStates({
  from,
  to,
  captions,
  encoder,
  entries,
  dtype = 'F16',
  signal,
}: CaptionedLatents): Promise<void> {
  if (path.resolve(from) === path.resolve(to)) {
    throw new UserError(`${from} cannot be read and written at once`, 'Choose another new file');
  }
  await withSafetensors(from, async (file) => {
    const length = file.tensors.latents?.shape[0];
    if (length !== captions.length) {
      throw new UserError(
        `${captions.length} captions came for ${length ?? 'no'} latents in ${from}`,
        'Give one for each',
      );
    }
    const { name, weights, width } = encoder;
    async function* statesOf(some: readonly string[]): AsyncGenerator<Float32Array> {
      for (let first = 0; first < some.length; first += rowsAtATime) {
        await new Promise(setImmediate);
        signal?.throwIfAborted();
        const states = await encoder.encode(some.slice(first, first + rowsAtATime), { entries });
        yield await states.data<'float32'>().finally(() => states.dispose());
      }
    }
    const tensors: Record<string, TensorSource> = {
      ...copied(file),
      text: { dtype, shape: [captions.length, entries, width], data: () => statesOf(captions) },
      empty_text: { dtype: 'F32', shape: [entries, width], data: () => statesOf(['']) },
    };
    const textEncoder = JSON.stringify({ name, weights });
    await writeSafetensors(to, tensors, { ...file.metadata, textEncoder });
  });
}

/** Captions that are encoded, and rows of tensors that are copied, at a time. */
const rowsAtATime = 256;

/** The tensors of a file, which are read when they are written. */
function copied(file: SafetensorsFile): Record<string, TensorSource> {
  const copies = Object.entries(file.tensors).map(([name, { shape, dtype }]) => [
    name,
    { shape, dtype, data: () => rowsOf(file, name, shape) },
  ]);
  return Object.fromEntries(copies);
}

async function* rowsOf(
  file: SafetensorsFile,
  name: string,
  [rows = 1, ...row]: readonly number[],
): AsyncGenerator<HostData> {
  if (row.length === 0) return yield (await file.read(name)).data;
  for (let first = 0; first < rows; first += rowsAtATime) {
    const count = Math.min(rowsAtATime, rows - first);
    yield (await file.read(name, { first, count })).data;
  }
}
