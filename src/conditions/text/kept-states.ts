import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { cacheFolder } from '../../core/cache-folder.js';
import { UserError } from '../../core/errors.js';
import { FileUnwritable } from '../../core/files.js';
import { tf, tidy } from '../../core/tf.js';
import { openSafetensors, writeSafetensors } from '../../formats/safetensors.js';
import type { CaptionEncoder } from './caption-encoder.js';

/** Grows where an encoder comes to read captions in another way, so that what was kept is not taken. */
const version = 1;

/** So many different captions at once, or more, are kept on disk: those of a data set. */
export const manyCaptions = 64;

/**
 * An encoder that computes the states of each caption once, however often it comes in a call, and
 * those of a call with {@link manyCaptions} or more once for good: they are kept in the cache folder
 * (`text/states/`) under its weights, the captions and the number of entries. Where states come from
 * there, no caption is warned of again.
 */
export function keepingStates(encoder: CaptionEncoder): CaptionEncoder {
  return {
    ...encoder,
    async encode(captions, { entries = encoder.entries } = {}) {
      const different = [...new Set(captions)];
      const states = await statesOf(encoder, different, entries);
      if (different.length === captions.length) return states;
      const rows = new Map(different.map((caption, row) => [caption, row]));
      const places = captions.map((caption) => rows.get(caption) as number);
      try {
        return tidy(() => tf.gather(states, tf.tensor1d(places, 'int32')));
      } finally {
        states.dispose();
      }
    },
  };
}

async function statesOf(
  encoder: CaptionEncoder,
  captions: readonly string[],
  entries: number,
): Promise<tf.Tensor3D> {
  if (captions.length < manyCaptions) return encoder.encode(captions, { entries });
  const { name, weights, width } = encoder;
  const key = createHash('sha256').update(JSON.stringify([version, weights, entries, captions]));
  const file = path.join(
    ...[cacheFolder(), 'text', 'states', `${key.digest('hex').slice(0, 32)}.safetensors`],
  );
  const shape: [number, number, number] = [captions.length, entries, width];
  const kept = await readKept(file, shape);
  if (kept) return kept;
  const states = await encoder.encode(captions, { entries });
  const data = (await states.data()) as Float32Array;
  const metadata = { encoder: name, weights };
  await writeSafetensors(file, { states: { dtype: 'F32', shape, data } }, metadata).catch(
    (error: unknown) => {
      // A cache folder may be read-only, or its disk full.
      if (!(error instanceof FileUnwritable)) throw error;
    },
  );
  return states;
}

/** What is kept in a file; undefined where there is none, or it is damaged. */
async function readKept(
  file: string,
  shape: [number, number, number],
): Promise<tf.Tensor3D | undefined> {
  if (!existsSync(file)) return undefined;
  try {
    const opened = await openSafetensors(file);
    try {
      if (opened.tensors.states?.shape.join() !== shape.join()) return undefined;
      const { data } = await opened.read('states');
      return tf.tensor3d(Float32Array.from(data), shape);
    } finally {
      await opened.close();
    }
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return undefined;
  }
}
