import { createFolder } from '../lib/files.mjs';
import { formatSeconds } from '../lib/progress.mjs';
import { runSteps } from '../lib/steps.mjs';
import { efficientNetLite0 } from './efficientnet-lite0.mjs';
import { emoji } from './emoji.mjs';
import { fashionMnist } from './fashion-mnist.mjs';
import { jupyterLab, kernels } from './jupyter.mjs';
import { miniLm } from './minilm.mjs';
import { mnistSubset } from './mnist-subset.mjs';
import { openMpi, reasonAgainstOpenMpi } from './openmpi.mjs';
import { npmPackages, ownName } from './packages.mjs';
import { pythonEnvironment } from './python.mjs';
import { chosenBuild, nativeTensorFlow, reasonAgainstNative } from './tensorflow.mjs';

/**
 * Everything that a fresh clone needs before it is built, in order; what is there already costs
 * milliseconds.
 *
 * @param {import('../lib/steps.mjs').Context} context
 * @param {object} [options]
 * @param {boolean} [options.optional] with the data and networks that only the workbook and tests need
 * @throws {import('../lib/setup-error.mjs').SetupError} the one sentence for what is missing
 */
export async function setUp(context, { optional = false } = {}) {
  const started = performance.now();
  createFolder(context.cache);
  const withoutNative = reasonAgainstNative(context.env);
  if (withoutNative) {
    context.progress.note(`Without native TensorFlow: ${withoutNative}.`);
  }
  await runSteps(
    [
      npmPackages,
      ownName,
      pythonEnvironment,
      ...(withoutNative ? [] : nativeTensorFlow(chosenBuild())),
      jupyterLab,
      kernels,
      fashionMnist,
      ...(optional ? [mnistSubset, emoji, efficientNetLite0, miniLm] : []),
      ...(optional && !reasonAgainstOpenMpi() ? [openMpi] : []),
    ],
    context,
  );
  const seconds = (performance.now() - started) / 1000;
  context.progress.note(`All that the project needs is here (${formatSeconds(seconds)}).`);
}
