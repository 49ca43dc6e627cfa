import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { UserError } from '../core/errors.js';
import { packageRoot } from '../core/package-root.js';
import { checkedJson } from '../core/schema.js';
import type { Experiment } from '../training/experiment.js';
import type { SetExitCode } from './exit-codes.js';

/** What a package adds to the command line. */
export interface Extension {
  /** Experiments that `tarflow train` knows by name. */
  experiments?: readonly Experiment[];
  /** Adds commands of its own. */
  commands?(program: Command, setExitCode: SetExitCode): void;
}

const manifest = z.looseObject({
  tarflow: z.strictObject({ extensions: z.array(z.string()).default([]) }).optional(),
});

/**
 * The extensions that package.json files name under `tarflow.extensions`, as paths of modules that export
 * `extension`: those of this package, where its workbook is there, then those of the package in whose
 * folder the command line is called.
 *
 * @throws UserError for a module that is missing or exports no extension
 */
export function installedExtensions(folder = process.cwd()): Extension[] {
  const own = packageRoot();
  const found = modulesOf(own).filter((file) => fs.existsSync(file));
  const caller = packageAbove(folder);
  if (caller && fs.realpathSync(caller) !== fs.realpathSync(own)) found.push(...modulesOf(caller));
  return found.map((file) => {
    if (!fs.existsSync(file)) {
      throw new UserError(`The extension ${file} does not exist`, 'Correct it in package.json');
    }
    const { extension } = require(file) as { extension?: Extension };
    if (extension) return extension;
    throw new UserError(`${file} is no extension`, 'Expected a module that exports `extension`');
  });
}

function modulesOf(folder: string): string[] {
  const file = path.join(folder, 'package.json');
  const { tarflow } = checkedJson(
    manifest,
    fs.readFileSync(file, 'utf8'),
    file,
    'Correct the file',
  );
  return (tarflow?.extensions ?? []).map((name) => path.resolve(folder, name));
}

function packageAbove(folder: string): string | undefined {
  if (fs.existsSync(path.join(folder, 'package.json'))) return folder;
  const above = path.dirname(folder);
  return above === folder ? undefined : packageAbove(above);
}
