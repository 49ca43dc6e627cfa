import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { cacheFolder } from '../../cache-folder.js';
import { makeFolderSync } from '../../files.js';

/** A graph on disk: a folder that TensorFlow loads, and the names of each function's outputs. */
export interface Stored {
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
    makeFolderSync(path.dirname(folder));
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
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-graph-'));
  try {
    fs.writeFileSync(path.join(folder, graphFile), graph);
    return f(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

let library: string | undefined;

/**
 * A digest of all code of this library. A captured function may call any of it, so a change to any
 * file makes kept graphs stale.
 */
export function libraryDigest(): string {
  if (library === undefined) {
    const root = path.join(__dirname, '..', '..', '..');
    const files = fs
      .readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.[jt]s$/.test(file) && !file.endsWith('.d.ts'))
      .sort();
    const hash = createHash('sha256');
    for (const file of files) hash.update(file).update(fs.readFileSync(path.join(root, file)));
    library = hash.digest('hex');
  }
  return library;
}

function write(folder: string, graph: Uint8Array, outputs: Record<string, string[]>): void {
  fs.writeFileSync(path.join(folder, graphFile), graph);
  const details = { outputs, sha256: digest(graph) };
  fs.writeFileSync(path.join(folder, detailsFile), JSON.stringify(details));
}

function folderOf(description: unknown): string {
  return path.join(cacheFolder(), 'graphs', digest(JSON.stringify(description)).slice(0, 32));
}

function digest(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
