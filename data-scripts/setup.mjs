import { pathToFileURL } from 'node:url';
import { createFolder } from './lib/files.mjs';
import { cacheFolder, projectRoot } from './lib/places.mjs';
import { formatSeconds, Progress } from './lib/progress.mjs';
import { runMain } from './lib/setup-error.mjs';
import { runSteps } from './lib/steps.mjs';
import { build } from './steps/build.mjs';
import { fashionMnist } from './steps/fashion-mnist.mjs';
import { jupyterLab, tslabKernel } from './steps/jupyter.mjs';
import { npmPackages } from './steps/packages.mjs';
import { pythonEnvironment } from './steps/python.mjs';
import { chosenBuild, nativeTensorFlow, reasonAgainstNative } from './steps/tensorflow.mjs';

/**
 * Everything that a fresh clone needs, in order; what is there already costs milliseconds.
 *
 * @returns {Promise<import('./lib/steps.mjs').Context>}
 * @throws {import('./lib/setup-error.mjs').SetupError} the one sentence for what is missing
 */
export async function setUp() {
  const started = performance.now();
  const context = {
    root: projectRoot,
    cache: cacheFolder(),
    env: process.env,
    progress: new Progress(),
  };
  createFolder(context.cache);

  const withoutNative = reasonAgainstNative(context.env);
  const steps = [
    npmPackages,
    pythonEnvironment,
    ...(withoutNative ? [] : nativeTensorFlow(chosenBuild())),
    jupyterLab,
    tslabKernel,
    fashionMnist,
    build,
  ];
  if (withoutNative) {
    context.progress.note(`No native TensorFlow, the wasm engine computes: ${withoutNative}.`);
  }
  await runSteps(steps, context);
  context.progress.note(
    `Set-up is complete (${formatSeconds((performance.now() - started) / 1000)}).`,
  );
  return context;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await runMain(async () => {
    await setUp();
    return 0;
  });
}
