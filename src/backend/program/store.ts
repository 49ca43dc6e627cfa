import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { cacheFolder } from '../cache.js';

/** A graph on disk: a folder that TensorFlow loads, and the names of each function's outputs. */
export interface Stored {
  folder: string;
  outputs: Record<string, string[]>;
}

const [graphFile, detailsFile] = ['saved_model.pb', 'program.json'];

/**
 * The graph kept under a description (anything that JSON can write), or undefined where there is
 * none or what is there is damaged.
 */
export function findGraph(description: unknown): Stored | undefined {
  const folder = folderOf(description);
  try {
    const details = JSON.parse(fs.readFileSync(path.join(folder, detailsFile), 'utf8'));
    const graph = fs.readFileSync(path.join(folder, graphFile));
    if (digest(graph) !== details.sha256) return undefined;
    const now = new Date();
    fs.utimesSync(folder, now, now);
    return { folder, outputs: details.outputs };
  } catch {
    return undefined;
  }
}

/** Keeps a graph under a description: whole or not at all, whoever else does the same. */
export function keepGraph(
  description: unknown,
  graph: Uint8Array,
  outputs: Record<string, string[]>,
): Stored {
  const folder = folderOf(description);
  fs.mkdirSync(path.dirname(folder), { recursive: true });
  const temporary = fs.mkdtempSync(`${folder}.`);
  try {
    write(temporary, graph, outputs);
    fs.rmSync(folder, { recursive: true, force: true });
    fs.renameSync(temporary, folder);
    forgetOld(path.dirname(folder));
  } catch (error) {
    fs.rmSync(temporary, { recursive: true, force: true });
    // Another process may have put the same graph there between the two steps.
    const other = findGraph(description);
    if (!other) throw error;
    return other;
  }
  return { folder, outputs };
}

/** How many graphs stay on disk, those used last; one takes 0.1 to 3 MB. */
const capacity = 400;

function forgetOld(root: string): void {
  const folders = fs.readdirSync(root).map((name) => path.join(root, name));
  if (folders.length <= capacity) return;
  const used = new Map(
    folders.map((folder) => [folder, fs.statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? 0]),
  );
  folders.sort((a, b) => (used.get(b) as number) - (used.get(a) as number));
  for (const folder of folders.slice(capacity)) {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** Calls `f` with a folder that holds the graph meanwhile. */
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
 * A digest of this library's code, all of which a captured function may call: a change to any of it
 * makes kept graphs stale.
 */
export function libraryDigest(): string {
  if (library === undefined) {
    const root = path.join(__dirname, '..', '..');
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
