import type { Dirent } from 'node:fs';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { imageExtensions } from './image-file.js';

/** An image file, and the class that its folder says. */
export interface FoundImage {
  /** Path within the folder that was looked into. */
  file: string;
  /** −1 where it has none. */
  label: number;
}

/** Whether there is a file or a folder. */
export async function exists(file: string): Promise<boolean> {
  return (await fs.stat(file).catch(() => undefined)) !== undefined;
}

/** Whether a folder is there and has anything in it. */
export async function holdsSomething(folder: string): Promise<boolean> {
  return (await entriesOf(folder)).length > 0;
}

/** The names of the folders in a folder that may not be there, sorted. */
export async function subFolders(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await entriesOf(folder)) {
    if (!entry.name.startsWith('.') && (await isFolder(folder, entry))) names.push(entry.name);
  }
  return names.sort(byCodeUnits);
}

/** The images in `root/within/CLASS/…`, class by class, sorted by their paths. */
export async function imagesOfClasses(
  root: string,
  within: string,
  classes: readonly string[],
): Promise<FoundImage[]> {
  const perClass = await Promise.all(
    classes.map(async (name, label) => {
      const files = await imagesIn(path.join(root, within, name), true);
      return files.map((file) => ({ file: path.join(within, name, file), label }));
    }),
  );
  return perClass.flat();
}

/** The images in a folder that may not be there, as paths within it, sorted; none that is hidden. */
export async function imagesIn(folder: string, recursive: boolean): Promise<string[]> {
  return (await entriesOf(folder, recursive))
    .filter((entry) => !entry.isDirectory() && isImageName(entry.name))
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .filter((file) => !file.split(path.sep).some((part) => part.startsWith('.')))
    .sort(byCodeUnits);
}

/** Whether a file's name ends as those that are read as images. */
export function isImageName(name: string): boolean {
  return imageExtensions.includes(path.extname(name).slice(1).toLowerCase());
}

/** The same on every machine, whatever its language. */
export function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function entriesOf(folder: string, recursive = false): Promise<Dirent[]> {
  return fs.readdir(folder, { withFileTypes: true, recursive }).catch(() => []);
}

async function isFolder(parent: string, entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  const target = await fs.stat(path.join(parent, entry.name)).catch(() => undefined);
  return target?.isDirectory() ?? false;
}
