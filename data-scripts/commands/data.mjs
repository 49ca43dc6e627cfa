// npx tarflow data NAME…: fetches data sets, and networks that compare images or read captions, into
// the cache.
import { createFolder } from '../lib/files.mjs';
import { didYouMean } from '../lib/nearest-name.mjs';
import { isClone, projectRoot } from '../lib/places.mjs';
import { ArgumentError } from '../lib/setup-error.mjs';
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

/**
 * A data set or a network.
 *
 * @typedef {object} Data
 * @property {number} megabytes to download
 * @property {import('../lib/steps.mjs').Step[]} steps that bring it
 * @property {boolean} [byPython] where they need the project's Python
 */

/** @type {Record<string, Data>} */
const ofTheLibrary = {
  'fashion-mnist': { megabytes: 31, steps: [fashionMnist] },
  'mnist-10k-subset': { megabytes: 5, steps: [mnistSubset] },
  cifar10: { megabytes: 139, steps: [cifar10] },
  'efficientnet-lite0': { megabytes: 17, steps: [efficientNetLite0], byPython: true },
  minilm: { megabytes: 84, steps: [miniLm], byPython: true },
};

/**
 * What only the workbook knows, which clones have.
 *
 * @type {Record<string, Data>}
 */
const ofTheWorkbook = {
  // All the data sets whose names begin with emoji, but for emoji-fluent.
  emoji: { megabytes: 136, steps: [emoji] },
  'emoji-fluent': { megabytes: 152, steps: [emoji, emojiFluent] },
};

/** What there is, by name. */
export const data = isClone(projectRoot) ? { ...ofTheLibrary, ...ofTheWorkbook } : ofTheLibrary;

/**
 * Fetches data sets and networks into the cache; what is there already costs milliseconds.
 *
 * @param {readonly string[]} names
 * @param {import('../lib/steps.mjs').Context} [context]
 * @throws {import('../lib/setup-error.mjs').SetupError} for a name that is not known, and for what is missing
 */
export async function fetchData(names, context = newContext()) {
  const unknown = names.find((name) => !Object.hasOwn(data, name));
  if (unknown !== undefined) {
    const meant = await didYouMean(unknown, Object.keys(data));
    throw new ArgumentError(
      `There is no data set '${unknown}'`,
      `${meant}Name one or more of ${known()}`,
    );
  }
  createFolder(context.cache);
  for (const name of names) {
    const { steps = [], byPython = false } = data[name] ?? {};
    // JupyterLab may run from there: nothing is touched for what is here already.
    const isMissing = steps.some((step) => !step.isDone(context));
    if (isMissing && byPython) await runSteps([pythonEnvironment], context);
    await runSteps(steps, context);
  }
  context.progress.note(`Ready: ${names.join(', ')}.`);
}

/**
 * @param {readonly string[]} names
 * @returns {Promise<number>} the exit status
 */
export async function dataCommand(names) {
  if (names.length === 0) {
    throw new ArgumentError('No data set is named', `Name one or more of ${known()}`);
  }
  if (names.some((name) => /^(-h|--help)$/.test(name))) {
    console.log(`Usage: tarflow data NAME…\n\nFetches data sets and networks: ${known()}.`);
    return 0;
  }
  const context = newContext();
  if (isClone(context.root)) await runSteps([npmPackages, ownName], context);
  await fetchData(names, context);
  return 0;
}

function known() {
  const named = Object.entries(data).map(([name, { megabytes }]) => `${name} (${megabytes} MB)`);
  return named.join(', ');
}
