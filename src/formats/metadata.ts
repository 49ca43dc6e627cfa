import type { z } from 'zod';
import { UserError } from '../core/errors.js';

/** A kind of file of ours: what `format` and `version` of its metadata are. */
export interface FileKind {
  /** The name in the metadata. */
  format: string;
  /** The newest version that is read here; a file without one is of version 1. */
  version: number;
  /** Names that it had before. */
  earlier?: readonly string[];
  /** What it is, for errors, e.g. `a checkpoint`. */
  what: string;
}

/** What the metadata of a new file of a kind say of it. */
export function kindMetadata({ format, version }: FileKind): { format: string; version: string } {
  return { format, version: String(version) };
}

/**
 * Checks that a file is of a kind and of a version that are read here.
 *
 * @param hint where another kind of file belongs, or what else may help
 * @throws UserError that says what came
 */
export function checkKind(
  path: string,
  { format = '', version = '1' }: Readonly<Record<string, string>>,
  kind: FileKind,
  hint: string,
): void {
  if (format !== kind.format && !kind.earlier?.includes(format)) {
    throw new UserError(
      `${path} is ${format === '' ? 'of no kind that it names' : `a '${format}' file`}`,
      `Expected ${kind.what}, whose format is '${kind.format}'. ${hint}`,
    );
  }
  if (!/^[1-9]\d*$/.test(version) || Number(version) > kind.version) {
    throw new UserError(
      `${path} is ${kind.what} of version ${version}`,
      `Versions up to ${kind.version} are read here: take a newer release of tarflow, ` +
        'or write the file again with this one',
    );
  }
}

/** What a JSON text of metadata holds; undefined where it is absent, no JSON, or does not fit the schema. */
export function jsonOf<T>(schema: z.ZodType<T>, text: string | undefined): T | undefined {
  if (text === undefined) return undefined;
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
