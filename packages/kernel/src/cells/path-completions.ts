import { type Dirent, existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import * as path from 'node:path';
import type { Completions } from './tslab.js';

/** The text of a module's name that is being written. */
const open = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)(['"])([^'"\n]*)$/;

/**
 * What the name of a module may be, where the cursor is in one: a file of the folder, a package, one of
 * its entry points, or a module of Node.js.
 *
 * @returns undefined where the cursor is elsewhere
 */
export function pathCompletions(
  code: string,
  cursor: number,
  folder = process.cwd(),
): Completions | undefined {
  const written = open.exec(code.slice(0, cursor))?.[2];
  if (written === undefined) return undefined;
  const names = written.startsWith('.') ? filesLike(written, folder) : modulesLike(written, folder);
  const candidates = names.filter((name) => name.startsWith(written)).sort();
  return { start: cursor - written.length, end: cursor, candidates };
}

function filesLike(written: string, folder: string): string[] {
  const parent = written.slice(0, written.lastIndexOf('/') + 1);
  if (parent === '') return ['./', '../'];
  const names = entriesOf(path.resolve(folder, parent)).flatMap((entry) => {
    if (entry.name.startsWith('.') || entry.name === 'node_modules') return [];
    if (entry.isDirectory()) return [`${entry.name}/`];
    const stem = /^(.*?)(?<!\.d)\.(tsx?|jsx?)$/.exec(entry.name)?.[1];
    return stem ?? (entry.name.endsWith('.json') ? entry.name : []);
  });
  return [...new Set(names)].map((name) => parent + name);
}

function modulesLike(written: string, folder: string): string[] {
  const parts = written.split('/');
  const [first = '', second = ''] = parts;
  const scoped = first.startsWith('@');
  const modules = modulesFolders(folder);
  if (parts.length > (scoped ? 2 : 1)) {
    const name = scoped ? `${first}/${second}` : first;
    const doors = modules.flatMap((place) => entryPoints(path.join(place, name), name));
    return [...new Set([...doors, ...builtIn])];
  }
  const scope = scoped && parts.length > 1 ? `${first}/` : '';
  const packages = modules.flatMap((place) =>
    entriesOf(path.join(place, scope))
      .filter(({ name }) => !name.startsWith('.'))
      .map(({ name }) => scope + name),
  );
  return [...new Set([...packages, ...builtIn])];
}

/** The modules of Node.js, under both of their names. */
const builtIn = builtinModules
  .filter((name) => !name.startsWith('_'))
  .flatMap((name) => [name, name.startsWith('node:') ? name : `node:${name}`]);

/** The subpaths of a package's `exports`. */
function entryPoints(place: string, name: string): string[] {
  const file = path.join(place, 'package.json');
  if (!existsSync(file)) return [];
  const { exports: doors } = JSON.parse(readFileSync(file, 'utf8'));
  return Object.keys(typeof doors === 'object' ? doors : {})
    .filter((door) => door.startsWith('./') && !door.includes('*'))
    .map((door) => name + door.slice(1));
}

function modulesFolders(folder: string): string[] {
  const parent = path.dirname(folder);
  const own = path.join(folder, 'node_modules');
  return [...(existsSync(own) ? [own] : []), ...(parent === folder ? [] : modulesFolders(parent))];
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}
