import * as path from 'node:path';
import { Command, CommanderError } from 'commander';
import { Interruption, UserError } from '../core/errors.js';
import { packageRoot } from '../core/package-root.js';
import { registerExperiments } from '../training/experiment.js';
import { addAutoencoder } from './autoencoder-command.js';
import { addBpd } from './bpd-command.js';
import { addConvert } from './convert-command.js';
import { addDecode } from './decode-command.js';
import { addDenoise } from './denoise-command.js';
import { addDistance } from './distance-command.js';
import { addDoctor } from './doctor-command.js';
import { addEncode } from './encode-command.js';
import { exitCodes, type SetExitCode } from './exit-codes.js';
import { type Extension, installedExtensions } from './extension.js';
import { addPlan } from './plan-command.js';
import { addSample } from './sample-command.js';
import { addSnapshot } from './snapshot-command.js';
import { addTrain } from './train-command.js';
import { addStepTime } from './training-threads.js';

/**
 * Runs the command line.
 *
 * @param argv as `process.argv`: the program, the script, then the arguments
 * @param extensions what other packages add; default: those that package.json files name
 * @returns the exit code, one of {@link exitCodes}
 */
export async function main(
  argv: readonly string[],
  extensions?: readonly Extension[],
): Promise<number> {
  let exitCode: number = exitCodes.done;
  const setExitCode: SetExitCode = (code) => {
    exitCode = code;
  };
  const { version } = require(path.join(packageRoot(), 'package.json')) as { version: string };
  // Subcommands take over the settings that stand before them.
  const program = new Command('tarflow')
    .description('Transformer autoregressive flows: train, sample and measure them.')
    .version(version)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error:/, 'tarflow:')),
    })
    .showHelpAfterError('Add --help to see the options and examples.')
    .addHelpText(
      'after',
      `
Exit codes:
  0  done
  1  a check failed
  2  a mistake in the arguments or files, told in one message
  3  a bug, with its stack trace
  130  stopped by Control-C

The engine is chosen by TARFLOW_BACKEND=tensorflow, wasm, webgpu or cpu; default: tensorflow
where it is set up, else wasm.`,
    );
  addDoctor(program, setExitCode);
  addTrain(program, setExitCode);
  addStepTime(program);
  addSnapshot(program);
  addSample(program);
  addPlan(program);
  addDenoise(program);
  addBpd(program);
  addEncode(program);
  addDecode(program);
  addAutoencoder(program);
  addDistance(program);
  addConvert(program);

  try {
    for (const { experiments = [], commands } of extensions ?? installedExtensions()) {
      registerExperiments(experiments);
      commands?.(program, setExitCode);
    }
    await program.parseAsync([...argv]);
    return exitCode;
  } catch (error) {
    // Commander has said what is wrong already; --help and --version end this way, too.
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? exitCodes.done : exitCodes.userMistake;
    }
    if (error instanceof UserError) {
      console.error(`tarflow: ${error.message}`);
      return error instanceof Interruption ? exitCodes.interrupted : exitCodes.userMistake;
    }
    console.error(error);
    console.error('tarflow: this is a bug; please report it with the lines above.');
    return exitCodes.unexpected;
  }
}
