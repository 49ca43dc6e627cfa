// npx tarflow setup native: TensorFlow's C library and the addons that join it to Node.js.
import { createFolder } from '../lib/files.mjs';
import { ArgumentError, SetupError } from '../lib/setup-error.mjs';
import { newContext, runSteps } from '../lib/steps.mjs';
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
    console.log('Usage: tarflow setup native\n\nFetches and compiles the native engine.');
    return 0;
  }
  if (names.join() !== 'native') {
    throw new ArgumentError(
      `Got '${names.join(' ')}', expected native`,
      'Run `npx tarflow setup native`, which fetches and compiles the native engine',
    );
  }
  const context = newContext();
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
  return 0;
}
