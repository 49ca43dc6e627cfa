import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

/** A graph on disk: a folder that TensorFlow loads, and the names of each function's outputs. */
interface Stored {
  folder: string;
  outputs: Record<string, string[]>;
}

const [graphFile, detailsFile] = ['saved_model.pb', 'program.json'];

/**
 * The graph that is kept under a description (anything that JSON can write); undefined if there is
 * none or it is damaged.
 */
export function findGraph(description: unknown): Stored | undefined {
  const folder = folderOf(description);
  try {
    const details = JSON.parse(fs.readFileSync(path.join(folder, detailsFile), 'utf8'));
    const graph = fs.readFileSync(path.join(folder, graphFile));
    if (digest(graph) !== details.sha256) return undefined;
    markUsed(folder);
    return { folder, outputs: details.outputs };
  } catch {
    return undefined;
  }
}

/** Notes when a graph was used, if the cache can be written. */
function markUsed(folder: string): void {
  const now = new Date();
  try {
    fs.utimesSync(folder, now, now);
  } catch {
    // A shared cache may be read-only; its graphs can be used all the same.
  }
}

/**
 * Keeps a graph under a description, whole or not at all, even if other processes do the same at the
 * same time. Undefined if nothing can be kept: the cache folder is read-only, or the disk is full.
 */
export function keepGraph(
  description: unknown,
  graph: Uint8Array,
  outputs: Record<string, string[]>,
): Stored | undefined {
  const folder = folderOf(description);
  let temporary: string | undefined;
  try {
    makeFolder(path.dirname(folder));
    temporary = fs.mkdtempSync(`${folder}.`);
    write(temporary, graph, outputs);
    fs.rmSync(folder, { recursive: true, force: true });
    fs.renameSync(temporary, folder);
    forgetOld(path.dirname(folder));
  } catch {
    if (temporary !== undefined) fs.rmSync(temporary, { recursive: true, force: true });
    // Another process may have put the same graph there between removing and renaming.
    return findGraph(description);
  }
  return { folder, outputs };
}

/**
 * The result of `load` for a kept graph; undefined if it does not load, because another process has
 * removed it meanwhile or this TensorFlow cannot read it. The caller then captures the function again,
 * and any lasting error shows when that graph is loaded.
 */
export function loadGraph<R>({ folder }: Stored, load: (folder: string) => R): R | undefined {
  try {
    return load(folder);
  } catch {
    return undefined;
  }
}

/** The most graphs and bytes that stay on disk, those used last; a graph takes 10 KB to 20 MB. */
const capacity = { graphs: 400, bytes: 500e6 };

function forgetOld(root: string): void {
  const graphs = fs.readdirSync(root).map((name) => {
    const folder = path.join(root, name);
    const stat = (file: string) => fs.statSync(file, { throwIfNoEntry: false });
    const bytes = stat(path.join(folder, graphFile))?.size ?? 0;
    return { folder, bytes, used: stat(folder)?.mtimeMs ?? 0 };
  });
  let bytes = 0;
  for (const [index, graph] of graphs.sort((a, b) => b.used - a.used).entries()) {
    bytes += graph.bytes;
    if (index < capacity.graphs && (index === 0 || bytes <= capacity.bytes)) continue;
    fs.rmSync(graph.folder, { recursive: true, force: true });
  }
}

/** Calls `f` with a folder that holds the graph until `f` returns. */
export function withTemporaryGraph<R>(graph: Uint8Array, f: (folder: string) => R): R {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'graph-'));
  try {
    fs.writeFileSync(path.join(folder, graphFile), graph);
    return f(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** Where graphs are kept, and the folders of code that captured functions may call. */
const kept = {
  folder: path.join(cacheHome(), 'tarflow-graphs'),
  code: [path.join(__dirname, '..')],
};
let code: string | undefined;

/**
 * Says where graphs are kept between processes, and whose code the captured functions call. A change to
 * any JavaScript or TypeScript file in those folders makes kept graphs stale.
 *
 * @param options.folder absolute; default: `tarflow-graphs` in the user's cache folder
 * @param options.code absolute folders, added to those of earlier calls
 */
export function keepGraphs(options: { folder?: string; code?: readonly string[] }): void {
  if (options.folder !== undefined) kept.folder = options.folder;
  for (const folder of options.code ?? []) {
    if (kept.code.includes(folder)) continue;
    kept.code.push(folder);
    code = undefined;
  }
}

/** $XDG_CACHE_HOME, which the specification wants absolute, else ~/.cache. */
function cacheHome(): string {
  const { XDG_CACHE_HOME: home } = process.env;
  return home && path.isAbsolute(home) ? home : path.join(os.homedir(), '.cache');
}

/** A digest of all code that a captured function may call. */
export function codeDigest(): string {
  if (code === undefined) {
    const hash = createHash('sha256');
    for (const root of kept.code) {
      const files = fs
        .readdirSync(root, { recursive: true, encoding: 'utf8' })
        .filter((file) => /\.[jt]s$/.test(file) && !file.endsWith('.d.ts'))
        .sort();
      for (const file of files) hash.update(file).update(fs.readFileSync(path.join(root, file)));
    }
    code = hash.digest('hex');
  }
  return code;
}

/** Makes a folder and those above it; Node's own recursive `mkdir` never returns below /proc. */
function makeFolder(folder: string): void {
  if (fs.existsSync(folder)) return;
  makeFolder(path.dirname(folder));
  try {
    fs.mkdirSync(folder);
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!fs.existsSync(folder)) throw error;
  }
}

function write(folder: string, graph: Uint8Array, outputs: Record<string, string[]>): void {
  fs.writeFileSync(path.join(folder, graphFile), graph);
  const details = { outputs, sha256: digest(graph) };
  fs.writeFileSync(path.join(folder, detailsFile), JSON.stringify(details));
}

function folderOf(description: unknown): string {
  return path.join(kept.folder, digest(JSON.stringify(description)).slice(0, 32));
}

function digest(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
