import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Command, CommanderError } from 'commander';
import { didYouMean, Interruption, UserError } from '../core/errors.js';
import { packageRoot } from '../core/package-root.js';
import { registerDatasets } from '../data/index.js';
import { registerExperiments } from '../training/experiment.js';
import { autoencoder } from './autoencoder-command.js';
import { bpd } from './bpd-command.js';
import { type CliCommand, exitCodes, type SetExitCode } from './command.js';
import { compress } from './compress-command.js';
import { convert } from './convert-command.js';
import { decode } from './decode-command.js';
import { decompress } from './decompress-command.js';
import { denoise } from './denoise-command.js';
import { distance } from './distance-command.js';
import { encode } from './encode-command.js';
import { type Extension, installedExtensions } from './extension.js';
import { inpaint } from './inpaint-command.js';
import { interpolate } from './interpolate-command.js';
import { plan } from './plan-command.js';
import { sample } from './sample-command.js';
import { score } from './score-command.js';
import { snapshot } from './snapshot-command.js';
import { train } from './train-command.js';
import { stepTime } from './training-threads.js';

/**
 * A command that needs nothing built or installed: a script does it all, and bin.js runs it without
 * coming here. It stands here for the list of commands.
 */
function script(name: string, description: string, example: string): CliCommand {
  return (program, setExitCode) => {
    program
      .command(name)
      .argument('[arguments...]')
      .description(description)
      .allowUnknownOption()
      .addHelpText('after', `\nExamples:\n  $ tarflow ${example}`)
      .action(async (programArguments: string[]) => {
        const file = path.join(packageRoot(), 'data-scripts', 'commands.mjs');
        const { commands }: { commands: Record<string, (given: string[]) => Promise<number>> } =
          await import(pathToFileURL(file).href);
        setExitCode((await commands[name]?.(programArguments)) ?? exitCodes.unexpected);
      });
  };
}

const scripts: readonly CliCommand[] = [
  script(
    'doctor',
    'show what this machine has and lacks, with a remedy for each thing missing',
    'doctor --json',
  ),
  script('data', 'fetch data sets and networks', 'data fashion-mnist'),
  script('setup', 'fetch and compile the native engine, or fetch Open MPI', 'setup native'),
];

/** The commands of the library, in the order in which help lists them. */
const commands: readonly CliCommand[] = [
  ...scripts,
  train,
  stepTime,
  snapshot,
  sample,
  plan,
  denoise,
  inpaint,
  interpolate,
  bpd,
  score,
  encode,
  decode,
  autoencoder,
  distance,
  compress,
  decompress,
  convert,
];

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
  const { version }: { version: string } = require(path.join(packageRoot(), 'package.json'));
  // Subcommands take over the settings that stand before them.
  const program = new Command('tarflow')
    .description('Transformer autoregressive flows: train, sample and measure them.')
    .version(version)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(withNearest(text).replace(/^error:/, 'tarflow:')),
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
  try {
    const installed = extensions ?? installedExtensions();
    for (const { datasets = {}, experiments = [] } of installed) {
      registerDatasets(datasets);
      registerExperiments(experiments);
    }
    // Help names what is registered by now.
    for (const add of commands) add(program, setExitCode);
    for (const { commands: more = [] } of installed) {
      for (const add of more) addNew(add, program, setExitCode);
    }
    await program.parseAsync([...argv]);
    return exitCode;
  } catch (error) {
    // Commander has said what is wrong already; --help and --version end this way, too.
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? exitCodes.done : exitCodes.userMistake;
    }
    if (error instanceof UserError) {
      // Names in files may hold what a terminal would obey, and be endless.
      const message = error.message.replaceAll(/[^\P{Cc}\n\t]/gu, '�').slice(0, 5000);
      console.error(`tarflow: ${message}`);
      return error instanceof Interruption ? exitCodes.interrupted : exitCodes.userMistake;
    }
    console.error(error);
    console.error('tarflow: this is a bug; please report it with the lines above.');
    return exitCodes.unexpected;
  }
}

/** Commander's message of a choice that is none, with the nearest one. */
function withNearest(text: string): string {
  const [, name, choices] = /'([^']*)' is invalid\. Allowed choices are (.*)\./.exec(text) ?? [];
  if (name === undefined || choices === undefined) return text;
  return text.replace('Allowed', () => `${didYouMean(name, choices.split(', '))}Allowed`);
}

/**
 * Adds a command of an extension.
 * @throws UserError where there is one of its name
 */
function addNew(add: CliCommand, program: Command, setExitCode: SetExitCode): void {
  try {
    add(program, setExitCode);
  } catch (error) {
    const [, name] = /cannot add command '([^']+)'/.exec(`${error}`) ?? [];
    if (name === undefined) throw error;
    throw new UserError(
      `An extension adds the command '${name}', which is there already`,
      'Rename it',
    );
  }
}
