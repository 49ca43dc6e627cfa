import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { Argument, InvalidArgumentError, Option } from 'commander';
import { UserError } from '../core/errors.js';
import { FileUnwritable } from '../core/files.js';
import type { ImageSize } from '../data/source.js';
import { checkpointFile } from '../training/checkpoint.js';

function numberReader(what: string, fits: (value: number) => boolean): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && fits(value)) return value;
    throw new InvalidArgumentError(`Expected ${what}.`);
  };
}

/** For commander: reads a number. */
export const number = numberReader('a number', Number.isFinite);

/** For commander: reads a number above 0. */
export const positive = numberReader('a number above 0', (value) => value > 0 && value < Infinity);

/** For commander: reads a number of at least 0. */
export const atLeast0 = numberReader(
  'a number of at least 0',
  (value) => value >= 0 && value < Infinity,
);

/** For commander: reads a whole number. */
export const wholeNumber = numberReader('a whole number', Number.isSafeInteger);

/** For commander: reads a whole number above 0. */
export const count = numberReader(
  'a whole number above 0',
  (value) => Number.isSafeInteger(value) && value > 0,
);

/** For commander: reads whole numbers with commas between them. */
export function wholeNumbers(text: string): number[] {
  return text.split(',').map(wholeNumber);
}

/** For commander: reads names with commas between them. */
export function names(text: string): string[] {
  const all = text.split(',').map((name) => name.trim());
  if (all.every((name, i) => name !== '' && all.indexOf(name) === i)) return all;
  throw new InvalidArgumentError('Expected names with commas between them, each of them once.');
}

/** For commander: reads a height and a width, as in `16x32`. */
export function imageSize(text: string): { height: number; width: number } {
  const [, height, width] = /^(\d+)x(\d+)$/.exec(text) ?? [];
  if (height !== undefined && width !== undefined) {
    return { height: Number(height), width: Number(width) };
  }
  throw new InvalidArgumentError('Expected a height and a width, e.g. 16x32.');
}

/** The argument that names a model. */
export function checkpointArgument(what = ''): Argument {
  const forms = 'the folder of a run, or a safetensors file, of ours or published';
  return new Argument('<checkpoint>', `${what}${forms}`).argParser(checkpointFile);
}

/** The option `--mode`, how computations run; see `ExecutionOptions`. */
export function modeOption(): Option {
  return new Option(
    '--mode <mode>',
    'how computations run (default: graph, long loops xla, on the native engine; else eager)',
  ).choices(['graph', 'xla', 'eager']);
}

/** The option `--precision`, of matrix products; see `ExecutionOptions`. */
export function precisionOption(): Option {
  return new Option(
    '--precision <precision>',
    'of matrix products: bfloat16 is faster where the processor can (default: float32)',
  ).choices(['float32', 'bfloat16']);
}

/**
 * Checks that a file can be written, before the work that would be lost; leaves nothing behind.
 * @throws FileUnwritable where the path is a folder, or leads through a file or a folder that is
 *   not ours to write to
 */
export async function checkWritable(file: string): Promise<void> {
  const unwritable = (reason: string): FileUnwritable =>
    new FileUnwritable(
      `The file ${file} cannot be written (${reason})`,
      'Choose a path in a folder that can be written to',
    );
  const isFolder = async (place: string): Promise<boolean | undefined> =>
    (await fs.stat(place).catch(() => undefined))?.isDirectory();
  if (await isFolder(file)) throw unwritable('it is a folder');
  let folder = path.dirname(path.resolve(file));
  while ((await isFolder(folder)) === undefined) folder = path.dirname(folder);
  if (!(await isFolder(folder))) throw unwritable(`${folder} is a file, not a folder`);
  await fs.access(folder, constants.W_OK).catch(() => {
    throw unwritable(`no permission to write in ${folder}`);
  });
}

/**
 * Checks the name of a file of tensors, which other commands know by its ending, and that it can be
 * written.
 *
 * @throws UserError for a name that does not end in .safetensors; as {@link checkWritable}
 */
export async function checkTensorFile(file: string): Promise<void> {
  if (path.extname(file) !== '.safetensors') {
    throw new UserError(
      `The file to write is ${file}`,
      'Expected a name that ends in .safetensors, the form that it will have',
    );
  }
  await checkWritable(file);
}

/**
 * Checks that images fit in the memory of this machine: their parts, and the whole that is joined of them.
 * @throws UserError that says what they would take
 */
export function checkMemory(images: number, { channels, height, width }: ImageSize): void {
  const [takes, there] = [8 * images * channels * height * width, os.totalmem()];
  if (takes <= there) return;
  const inGb = (bytes: number) => `${Math.ceil(bytes / 1e9).toLocaleString('en-US')} GB`;
  throw new UserError(
    `${images.toLocaleString('en-US')} images of ${channels}×${height}×${width} take ${inGb(takes)} of ` +
      `memory, and this machine has ${inGb(there)}`,
    'Ask for fewer at once; samples are drawn in parts by `tarflow sample --part`',
  );
}

/** An option as it is typed, by its name among the values of a command. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/**
 * Checks that no option came that would do nothing.
 *
 * @param unused why they would, e.g. `without --denoise`; false where they are used
 * @throws UserError that names the first one that came
 */
export function checkUsed(options: object, unused: string | false): void {
  const came = Object.entries(options).find(([, value]) => value !== undefined && value !== false);
  if (unused === false || !came) return;
  const flag = flagOf(came[0]);
  const add = unused.startsWith('without') ? 'Add it, or leave' : 'Leave';
  throw new UserError(`${flag} came ${unused}`, `${add} ${flag} out`);
}

/** Words as a shell takes them: quoted where they hold more than plain characters. */
export function shellWords(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ');
}
