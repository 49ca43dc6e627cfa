import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import type { Command } from 'commander';
import { UserError } from '../core/errors.js';
import { isFileOfRun } from '../training/run-folder.js';

/** Options and arguments that say where a command writes. */
const outputs = ['out', 'maps', 'to.safetensors'];

/**
 * Checks that a command does not write over what it reads, nor over the files of a run, whatever names
 * lead there.
 *
 * @throws UserError that names both
 */
export async function checkInputsKept(command: Command): Promise<void> {
  const { registeredArguments, processedArgs } = command;
  const named = registeredArguments.map((one, i) => [one.name(), processedArgs[i]] as const);
  const texts = [...Object.entries<unknown>(command.opts()), ...named].flatMap(([name, given]) =>
    [given].flat().flatMap((text) => (typeof text === 'string' ? [{ name, text }] : [])),
  );
  const places = await Promise.all(
    texts.map(async ({ name, text }) => {
      const real = await fs.realpath(text).catch(() => undefined);
      const stat = real === undefined ? undefined : await fs.stat(real).catch(() => undefined);
      if (!real || !stat) return [];
      return [{ real, isFolder: stat.isDirectory(), text, isOutput: outputs.includes(name) }];
    }),
  );
  const there = places.flat();
  for (const out of there.filter(({ isOutput }) => isOutput)) {
    if (!out.isFolder && isFileOfRun(out.real)) {
      throw new UserError(`${out.text} is a file of a run`, 'Choose another name to write to');
    }
    const lost = there.find((input) => !input.isOutput && isLost(input, out));
    if (!lost) continue;
    const problem = out.isFolder
      ? `Pictures would be written into ${out.text}, which holds ${lost.text}`
      : `${out.text} would be written over, and is read${lost.text === out.text ? '' : ` (${lost.text})`}`;
    throw new UserError(problem, `Choose another ${out.isFolder ? 'folder' : 'name'} to write to`);
  }
}

/** What a path leads to. */
interface Place {
  real: string;
  isFolder: boolean;
}

/** Whether what is written may take the place of an input: a file, or one of the pictures in a folder. */
function isLost(input: Place, out: Place): boolean {
  const isPicture = ({ real }: Place) => path.extname(real) === '.png';
  if (input.isFolder) return isPicture(out) && out.real.startsWith(input.real + path.sep);
  return out.isFolder
    ? isPicture(input) && path.dirname(input.real) === out.real
    : input.real === out.real;
}
