// npx tarflow data NAME…: fetches data sets, and networks that compare images or read captions, into
// the cache.
import { createFolder } from '../lib/files.mjs';
import { isClone, projectRoot } from '../lib/places.mjs';
import { SetupError } from '../lib/setup-error.mjs';
import { newContext, runSteps } from '../lib/steps.mjs';
import { cifar10 } from '../steps/cifar10.mjs';
import { efficientNetLite0 } from '../steps/efficientnet-lite0.mjs';
import { emoji } from '../steps/emoji.mjs';
import { emojiFluent } from '../steps/emoji-fluent.mjs';
import { fashionMnist } from '../steps/fashion-mnist.mjs';
import { miniLm } from '../steps/minilm.mjs';
import { mnistSubset } from '../steps/mnist-subset.mjs';
import { npmPackages, ownName } from '../steps/packages.mjs';
import { pythonEnvironment } from '../steps/python.mjs';

/** @typedef {Record<string, import('../lib/steps.mjs').Step[]>} Sets what brings each data set or network */

/** @type {Sets} */
const ofTheLibrary = {
  'fashion-mnist': [fashionMnist],
  'mnist-10k-subset': [mnistSubset],
  cifar10: [cifar10],
  'efficientnet-lite0': [pythonEnvironment, efficientNetLite0],
  minilm: [pythonEnvironment, miniLm],
};

/**
 * What only the workbook knows, which clones have.
 *
 * @type {Sets}
 */
const ofTheWorkbook = {
  // All the data sets whose names begin with emoji, but for emoji-fluent.
  emoji: [emoji],
  'emoji-fluent': [emoji, emojiFluent],
};

/**
 * @param {readonly string[]} names
 * @returns {Promise<number>} the exit status
 * @throws {SetupError} for a name that is not known, and for what is missing
 */
export async function fetchData(names) {
  const datasets = isClone(projectRoot) ? { ...ofTheLibrary, ...ofTheWorkbook } : ofTheLibrary;
  const known = Object.keys(datasets).join(', ');
  if (names.length === 0) {
    throw new SetupError('No data set is named', `Name one or more of ${known}`);
  }
  if (names.some((name) => /^(-h|--help)$/.test(name))) {
    console.log(`Usage: tarflow data NAME…\n\nFetches data sets and networks: ${known}.`);
    return 0;
  }
  const unknown = names.find((name) => !Object.hasOwn(datasets, name));
  if (unknown !== undefined) {
    throw new SetupError(`There is no data set '${unknown}'`, `Name one or more of ${known}`);
  }
  const context = newContext();
  createFolder(context.cache);
  if (isClone(context.root)) await runSteps([npmPackages, ownName], context);
  for (const name of names) {
    await runSteps(datasets[name] ?? [], context);
    context.progress.note(`${name} is ready.`);
  }
  return 0;
}
