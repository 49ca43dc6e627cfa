import * as fs from 'node:fs';
import { isBuiltin } from 'node:module';
import * as path from 'node:path';
import ts from 'typescript';
import { root } from '../api/report.js';

/** Source files by their path below the project's folder, with `/` on every system. */
export type Sources = ReadonlyMap<string, string>;

/** An import of one source file by another. */
export interface Import {
  from: string;
  to: string;
}

/** The TypeScript files in folders of the project, for example in `src`. */
export function readSources(...folders: string[]): Sources {
  const files = folders.flatMap((folder) =>
    fs
      .readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => path.posix.join(folder, name.split(path.sep).join('/')))
      .sort(),
  );
  return new Map(files.map((file) => [file, fs.readFileSync(path.join(root, file), 'utf8')]));
}

/** All imports and re-exports between source files, those of types included. */
export function importsBetween(sources: Sources): Import[] {
  return [...sources].flatMap(([from, text]) =>
    ts
      .preProcessFile(text)
      .importedFiles.filter(({ fileName }) => fileName.startsWith('.'))
      .map(({ fileName }) => {
        const to = path.posix.join(path.posix.dirname(from), fileName).replace(/\.js$/, '.ts');
        if (!sources.has(to)) throw new Error(`${from} imports ${fileName}, which does not exist.`);
        return { from, to };
      }),
  );
}

/** The packages that source files import by name at run time, Node.js's own left out. */
export function packagesImported(sources: Sources): Set<string> {
  const names = [...sources.values()]
    .map((text) => text.replace(/^import type [^;]*;/gm, ''))
    .flatMap((text) => ts.preProcessFile(text).importedFiles.map(({ fileName }) => fileName))
    .filter((name) => !name.startsWith('.') && !isBuiltin(name));
  return new Set(names.map((name) => /^(?:@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? name));
}

/** Files that import each other in a circle, each circle once, as 'a → b → a'. */
export function circles(imports: readonly Import[]): string[] {
  const targets = new Map<string, string[]>();
  for (const { from, to } of imports) targets.set(from, [...(targets.get(from) ?? []), to]);
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, trail: string[]): void => {
    const start = trail.indexOf(file);
    if (start >= 0) found.push([...trail.slice(start), file].join(' → '));
    if (start >= 0 || done.has(file)) return;
    for (const next of targets.get(file) ?? []) visit(next, [...trail, file]);
    done.add(file);
  };
  for (const file of targets.keys()) visit(file, []);
  return found;
}

/**
 * The rooms that stand directly before each room. A room may import itself, these, and whatever stands
 * before these in turn.
 */
export type Order = Readonly<Record<string, readonly string[]>>;

/** The room of a file: the longest folder above it that has a place in the order. */
export function roomOf(file: string, order: Order): string | undefined {
  const folders = file.split('/').slice(0, -1);
  while (folders.length > 0 && !(folders.join('/') in order)) folders.pop();
  return folders.length > 0 ? folders.join('/') : undefined;
}

/**
 * Imports against the order, and files without a room, in words. An index may import everything in
 * its folder, the rooms within included.
 */
export function wrongImports(imports: readonly Import[], order: Order): string[] {
  const mayImport = (room: string): Set<string> => {
    const before = (order[room] ?? []).flatMap((other) => [...mayImport(other)]);
    return new Set([room, ...before]);
  };
  return imports.flatMap(({ from, to }) => {
    const folder = from.slice(0, -'index.ts'.length);
    if (from.endsWith('index.ts') && to.startsWith(folder)) return [];
    const [room, other] = [roomOf(from, order), roomOf(to, order)];
    if (room === undefined) return [`${from} is in no room of the order`];
    if (other === undefined) return [`${to} is in no room of the order`];
    return mayImport(room).has(other) ? [] : [`${from} (${room}) imports ${to} (${other})`];
  });
}

/** Base names that several files have, index.ts apart: 'trace.ts: sampling, backend'. */
export function sharedNames(files: Iterable<string>): string[] {
  const folders = new Map<string, string[]>();
  for (const file of files) {
    const name = path.posix.basename(file);
    folders.set(name, [...(folders.get(name) ?? []), path.posix.dirname(file)]);
  }
  return [...folders]
    .filter(([name, found]) => name !== 'index.ts' && found.length > 1)
    .map(([name, found]) => `${name}: ${found.sort().join(', ')}`)
    .sort();
}
