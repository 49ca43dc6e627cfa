import { z } from 'zod';
import { UserError } from '../../core/errors.js';
import { tf } from '../../core/tf.js';
import { jsonOf } from '../../formats/metadata.js';
import { floatShape, type SafetensorsFile, withSafetensors } from '../../formats/safetensors.js';
import {
  askedEntries,
  type CaptionEncoder,
  type EncodeOptions,
  shownCaption,
  UnknownCaption,
} from '../../pretrained/caption-encoder.js';

/**
 * States that were computed elsewhere as an encoder, which knows the captions of its file alone: a
 * safetensors file with `states` (captions, entries, width) of 32 or 16 bits, zero after the end of
 * each caption, and in its metadata `captions`, a JSON list of them, the empty one among them
 * (`data-scripts/flan-t5-states.py` writes such files).
 *
 * @param name as `openTextEncoder` takes it
 * @throws UserError where the file cannot be read or is not of that form
 */
export async function openStates(file: string, name: string): Promise<CaptionEncoder> {
  return withSafetensors(file, async (opened) => {
    const [count, entries, width] = floatShape(opened, 'states', ['captions', 'entries', 'width']);
    const rows = rowsOf(opened, count);
    const weights = await opened.sha256();
    const encode = async (captions: readonly string[], options: EncodeOptions = {}) => {
      askedEntries({ name, entries }, captions, options, entries);
      return statesOf(file, rows, captions, [entries, width]);
    };
    return { name, entries, width, weights, encode, dispose: () => {} };
  });
}

async function statesOf(
  file: string,
  rows: ReadonlyMap<string, number>,
  captions: readonly string[],
  [entries, width]: readonly [number, number],
): Promise<tf.Tensor3D> {
  const wanted = captions.map((caption) => {
    const row = rows.get(caption);
    if (row !== undefined) return row;
    throw new UnknownCaption(
      `${file} has no states of the caption ${shownCaption(caption)}`,
      `It has those of ${rows.size} captions; compute these, too`,
    );
  });
  const size = entries * width;
  const values = new Float32Array(captions.length * size);
  await withSafetensors(file, async (opened) => {
    for (const [place, first] of wanted.entries()) {
      values.set((await opened.read('states', { first, count: 1 })).data, place * size);
    }
  });
  return tf.tensor3d(values, [captions.length, entries, width]);
}

/** The row of each caption. */
function rowsOf({ path: file, metadata }: SafetensorsFile, count: number): Map<string, number> {
  const captions = jsonOf(z.array(z.string()), metadata.captions);
  if (captions?.length === count && captions.includes('')) {
    return new Map(captions.map((caption, row) => [caption, row]));
  }
  const came = captions ? `${captions.length} captions` : 'no list of captions';
  throw new UserError(
    `The metadata of ${file} have ${came} for ${count} states`,
    'Expected captions, a JSON list with one for each, the empty one among them',
  );
}
