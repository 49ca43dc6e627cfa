import * as fs from 'node:fs';
import * as path from 'node:path';
import { z } from 'zod';
import { UserError } from '../core/errors.js';
import { packageRoot } from '../core/package-root.js';
import { checkedJson } from '../core/schema.js';
import type { Datasets } from '../data/index.js';
import type { Experiment } from '../training/experiment.js';
import type { CliCommand } from './command.js';

/** What a package adds to the command line. */
export interface Extension {
  /** Data sets that are then known by name. */
  datasets?: Datasets;
  /** Experiments that `tarflow train` knows by name. */
  experiments?: readonly Experiment[];
  /** Commands of its own. */
  commands?: readonly CliCommand[];
}

const manifest = z.looseObject({
  name: z.string().optional(),
  tarflow: z.strictObject({ extensions: z.array(z.string()).default([]) }).optional(),
});

/**
 * The extensions that package.json files name under `tarflow.extensions`, as paths of modules that export
 * `extension`: those of this package, then those of the package in whose folder, or below it, the command
 * line is called.
 *
 * @throws UserError for a package.json that is damaged, and for a module that is missing, cannot be
 *   loaded, or exports no extension
 */
export function installedExtensions(folder = process.cwd()): Extension[] {
  const own = modulesOf(packageRoot());
  const caller = packageAbove(folder);
  const called = caller === undefined ? undefined : modulesOf(caller);
  // Another copy of this package adds nothing to it.
  const others = called && called.name !== own.name ? called.files : [];
  return [...own.files, ...others].map(loaded);
}

function loaded(file: string): Extension {
  if (!fs.existsSync(file)) {
    throw new UserError(`The extension ${file} does not exist`, 'Correct it in package.json');
  }
  let exported: { extension?: Extension };
  try {
    exported = require(file);
  } catch (error) {
    throw new UserError(`The extension ${file} cannot be loaded (${error})`, 'Correct the module');
  }
  if (exported.extension) return exported.extension;
  throw new UserError(`${file} is no extension`, 'Expected a module that exports `extension`');
}

function modulesOf(folder: string): { name: string | undefined; files: string[] } {
  const file = path.join(folder, 'package.json');
  const text = fs.readFileSync(file, 'utf8');
  const { name, tarflow } = checkedJson(manifest, text, file, 'Correct the file');
  const files = (tarflow?.extensions ?? []).map((module) => path.resolve(folder, module));
  return { name, files };
}

function packageAbove(folder: string): string | undefined {
  if (fs.existsSync(path.join(folder, 'package.json'))) return folder;
  const above = path.dirname(folder);
  return above === folder ? undefined : packageAbove(above);
}
