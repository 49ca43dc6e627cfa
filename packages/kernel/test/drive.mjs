import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
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
 * Runs a script of this folder with the Python that has Jupyter.
 *
 * @param {string} script
 * @param {readonly string[]} args
 * @param {{ folder: string, env: Record<string, string>, input?: string }} options
 * @returns {Promise<{ status: number | null, output: string, log: string }>} what it wrote to stdout and
 *   stderr
 */
export function runPython(script, args, { folder, env, input = '' }) {
  const windows = process.platform === 'win32';
  const python = windows ? ['Scripts', 'python.exe'] : ['bin', 'python'];
  const file = path.join(import.meta.dirname, script);
  return new Promise((resolve, reject) => {
    const child = spawn(path.join(workspace, '.venv', ...python), [file, ...args], {
      cwd: folder,
      env: { ...process.env, ...env },
    });
    let [output, log] = ['', ''];
    child.stdout.on('data', (piece) => {
      output += piece;
    });
    child.stderr.on('data', (piece) => {
      log += piece;
    });
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, output, log }));
    child.stdin.end(input);
  });
}

/**
 * @typedef {[type: string, content: any]} Output
 * @typedef {{ reply: any, outputs: Output[], late: Output[] }} Result
 */

/**
 * Sends steps to a new kernel, one after the other; drive.py describes them.
 *
 * @param {object[]} steps
 * @param {{ folder: string, env: Record<string, string>, kernel?: string }} options
 * @returns {Promise<{ results: Result[], left: number[] }>}
 */
export async function drive(steps, { folder, env, kernel = kernelName }) {
  const input = JSON.stringify(steps);
  const { status, output, log } = await runPython('drive.py', [kernel, folder], {
    folder,
    env,
    input,
  });
  if (status !== 0) throw new Error(log);
  const results = JSON.parse(output);
  const { left } = results.pop();
  return { results, left };
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
