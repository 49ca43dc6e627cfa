import type { Command } from 'commander';
import { type EngineReport, startEngine } from '../core/engine.js';
import { disposeModel } from '../flow/state-dict.js';
import { type LoadedModel, type LoadOptions, loadCheckpoint } from '../models/load-checkpoint.js';
import { startProgress } from '../show/progress.js';
import { checkInputsKept } from './inputs-kept.js';

/** What `tarflow` returns to the shell. */
export const exitCodes = {
  done: 0,
  checkFailed: 1,
  userMistake: 2,
  /** A bug: its stack trace is shown. */
  unexpected: 3,
  /** Stopped by Control-C, as shells count it. */
  interrupted: 130,
} as const;

/** How a command tells its exit code, where that is not 0. */
export type SetExitCode = (code: number) => void;

/** A command, which adds itself to a program. */
export type CliCommand = (program: Command, setExitCode: SetExitCode) => void;

/** What a command ends with. */
export interface Outcome {
  /** Printed with `--json`. */
  json: unknown;
  /** Printed otherwise, where it is not empty. */
  text: string;
  /** Default: {@link exitCodes.done}. */
  exitCode?: number;
}

/** What the file of a command says: what it is called, what it takes, and what it does. */
export interface CommandParts<A extends unknown[]> {
  name: string;
  description: string;
  /** Adds arguments and options; `--json` comes after them. */
  options(command: Command): Command;
  /** What `--help` shows below the options: remarks and examples. */
  help: string | (() => string);
  /** Does the work, given the arguments and then the options. */
  run(...values: A): Promise<Outcome>;
}

/** A command that prints its outcome as text, or as JSON where `--json` came. */
export function defineCommand<A extends unknown[]>(parts: CommandParts<A>): CliCommand {
  const { name, description, help } = parts;
  return (program, setExitCode) => {
    const command = parts.options(program.command(name).description(description));
    command
      .option('--json', 'print JSON', false)
      .addHelpText('after', () => `\n${typeof help === 'string' ? help : help()}`)
      .action(async (...values: A) => {
        await checkInputsKept(command);
        const { json, text, exitCode = exitCodes.done } = await parts.run(...values);
        const printed = command.opts().json ? JSON.stringify(json, null, 2) : text;
        if (printed) console.log(printed);
        setExitCode(exitCode);
      });
  };
}

/** Takes charge of something, which is freed when the work with it ends, and returns it. */
export type Own = <T extends { dispose(): void } | undefined>(thing: T) => T;

/** Runs work, and frees what it took charge of, whether it succeeds or fails. */
export async function withOwned<R>(work: (own: Own) => Promise<R>): Promise<R> {
  const owned: { dispose(): void }[] = [];
  try {
    return await work((thing) => {
      if (thing) owned.push(thing);
      return thing;
    });
  } finally {
    for (const thing of owned.reverse()) thing.dispose();
  }
}

/** What {@link withModel} gives to the work. */
export interface ModelAtWork {
  model: LoadedModel;
  engine: EngineReport;
  own: Own;
}

/**
 * Runs work with the model of a checkpoint, and frees the model and what the work took charge of.
 * @throws UserError as `loadCheckpoint` and the work do
 */
export function withModel<R>(
  checkpoint: string,
  work: (loaded: ModelAtWork) => Promise<R>,
  options: LoadOptions = {},
): Promise<R> {
  return withOwned(async (own) => {
    const engine = await startEngine();
    const model = await loadModel(checkpoint, own, options);
    return work({ model, engine, own });
  });
}

/** The model of a checkpoint, in the charge of `own`. */
export async function loadModel(
  checkpoint: string,
  own: Own,
  options: LoadOptions = {},
): Promise<LoadedModel> {
  const model = await loadCheckpoint(checkpoint, options);
  own({ dispose: () => disposeModel(model) });
  return model;
}

/** Runs work that tells which share of it is done, with a progress display. */
export async function withProgress<R>(
  title: string,
  total: number,
  work: (onProgress: (share: number) => void) => Promise<R>,
  unit = 'images',
): Promise<R> {
  const progress = startProgress({ title, total, unit });
  try {
    return await work((share) => progress.update(Math.floor(share * total)));
  } finally {
    progress.finish();
  }
}

/** Starts to measure time. The result tells the seconds since then. */
export function stopwatch(): () => number {
  const begun = performance.now();
  return () => (performance.now() - begun) / 1000;
}
