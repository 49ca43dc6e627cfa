import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { installKernel } from '../kernelspec.mjs';

/** The workspace, whose `.venv` has Jupyter (`npm run setup`). */
const workspace = path.resolve(import.meta.dirname, '..', '..', '..');

/** The name under which the tests register the kernel. */
export const kernelName = 'typescript-tested';

/**
 * A new folder below the workspace, ignored by git, in which the kernel is registered and finds the
 * workspace's packages; and the environment that says so.
 *
 * @param {string} purpose the start of its name
 */
export function prepare(purpose) {
  const parent = path.join(workspace, '.nbcheck');
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(path.join(parent, `${purpose}-`));
  installKernel({ prefix: folder, name: kernelName, displayName: 'TypeScript (tested)' });
  /** @type {Record<string, string>} */
  const env = {
    JUPYTER_PATH: path.join(folder, 'share', 'jupyter'),
    TARFLOW_KERNEL_DATA: path.join(folder, 'data'),
  };
  return { folder, env, remove: () => rmSync(folder, { recursive: true }) };
}

/**
 * Starts a script of this folder with the Python that has Jupyter.
 *
 * @param {string} script
 * @param {readonly string[]} args
 * @param {{ folder: string, env: Record<string, string> }} options
 * @returns {{ child: import('node:child_process').ChildProcessWithoutNullStreams,
 *   ended: Promise<{ status: number | null, log: string }> }} how it ends, and what it wrote to stderr
 */
function startPython(script, args, { folder, env }) {
  const windows = process.platform === 'win32';
  const python = windows ? ['Scripts', 'python.exe'] : ['bin', 'python'];
  const file = path.join(import.meta.dirname, script);
  const child = spawn(path.join(workspace, '.venv', ...python), [file, ...args], {
    cwd: folder,
    env: { ...process.env, ...env },
  });
  let log = '';
  child.stderr.on('data', (piece) => {
    log += piece;
  });
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, log }));
  });
  return { child, ended };
}

/**
 * Runs a script of this folder with the Python that has Jupyter.
 *
 * @param {string} script
 * @param {readonly string[]} args
 * @param {{ folder: string, env: Record<string, string> }} options
 */
export async function runPython(script, args, options) {
  const { child, ended } = startPython(script, args, options);
  let output = '';
  child.stdout.on('data', (piece) => {
    output += piece;
  });
  child.stdin.end();
  return { ...(await ended), output };
}

/**
 * @typedef {[type: string, content: any]} Output
 * @typedef {{ reply: any, outputs: Output[], late: Output[] }} Result
 */

/**
 * A new kernel, to which steps are sent, one after the other; drive.py describes them.
 *
 * @param {{ folder: string, env: Record<string, string>, kernel?: string }} options
 */
export function openKernel({ folder, env, kernel = kernelName }) {
  const { child, ended } = startPython('drive.py', [kernel, folder], { folder, env });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error((await ended).log);
    return JSON.parse(value);
  };
  // Of a kernel that was killed.
  child.stdin.on('error', () => {});
  return {
    /** @type {(steps: readonly object[]) => Promise<Result[]>} */
    run(steps) {
      child.stdin.write(`${JSON.stringify(steps)}\n`);
      return answer();
    },
    /** @type {() => Promise<number[]>} shuts it down; its processes that are still there */
    close() {
      child.stdin.end();
      return answer();
    },
  };
}

/**
 * Sends steps to a kernel of their own.
 *
 * @param {readonly object[]} steps
 * @param {Parameters<typeof openKernel>[0]} options
 */
export async function drive(steps, options) {
  const kernel = openKernel(options);
  const results = await kernel.run(steps);
  return { results, left: await kernel.close() };
}

/**
 * What a cell has shown: text of its streams, put together, and the other outputs.
 *
 * @param {Output[]} outputs
 */
export function shown(outputs) {
  const texts = { stdout: '', stderr: '' };
  for (const [type, content] of outputs) {
    if (type === 'stream') texts[/** @type {'stdout'} */ (content.name)] += content.text;
  }
  const of = (/** @type {string} */ wanted) =>
    outputs.filter(([type]) => type === wanted).map(([, content]) => content);
  return { ...texts, of, result: of('execute_result')[0]?.data, error: of('error')[0] };
}
