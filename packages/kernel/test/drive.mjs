import { spawn } from 'node:child_process';
import path from 'node:path';
import { projectRoot, venvProgram } from '../../../data-scripts/lib/places.mjs';

/**
 * @typedef {[type: string, content: any]} Output
 * @typedef {{ reply: any, outputs: Output[], late: Output[] }} Result
 */

/**
 * Sends steps to a new kernel, one after the other; drive.py describes them.
 *
 * @param {object[]} steps
 * @param {{ kernel?: string, folder?: string, env?: Record<string, string> }} [options]
 * @returns {Promise<{ results: Result[], left: number[] }>}
 */
export function drive(steps, { kernel = 'tarflow', folder = projectRoot, env = {} } = {}) {
  const script = path.join(import.meta.dirname, 'drive.py');
  return new Promise((resolve, reject) => {
    const child = spawn(venvProgram(projectRoot, 'python'), [script, kernel, folder], {
      env: { ...process.env, ...env },
    });
    let [text, log] = ['', ''];
    child.stdout.on('data', (piece) => {
      text += piece;
    });
    child.stderr.on('data', (piece) => {
      log += piece;
    });
    child.on('close', (status) => {
      if (status !== 0) return reject(new Error(log));
      const results = JSON.parse(text);
      const { left } = results.pop();
      resolve({ results, left });
    });
    child.stdin.end(JSON.stringify(steps));
  });
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
