import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { SetupError } from './setup-error.mjs';

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env] the whole environment of the program
 * @property {boolean} [shown] the program writes to the terminal itself; nothing is collected
 * @property {(line: string) => void} [onLine] told of each line of stdout as it comes
 */

/**
 * Runs a program to its end.
 *
 * @param {string} program
 * @param {readonly string[]} programArguments
 * @param {RunOptions} [options]
 * @returns {Promise<{ status: number, output: string }>} status 127 when there is no such program;
 *   output is stdout and stderr as they came
 */
export function run(program, programArguments, { cwd, env, shown = false, onLine } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, programArguments, {
      cwd,
      env,
      stdio: shown ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const collect = (/** @type {Buffer} */ chunk) => {
      output += chunk.toString();
    };
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    if (onLine && child.stdout) createInterface({ input: child.stdout }).on('line', onLine);
    child.on('error', (error) => resolve({ status: 127, output: `${output}${error.message}` }));
    child.on('close', (status, signal) => {
      resolve({ status: status ?? 1, output: signal ? `${output}\nended by ${signal}` : output });
    });
  });
}

/**
 * Runs a program that must succeed.
 *
 * @param {string} purpose what fails when it fails, the subject of the sentence
 * @param {string} program
 * @param {readonly string[]} programArguments
 * @param {RunOptions & { remedy?: string }} [options] remedy: for a failure that is neither the
 *   network nor the disk
 * @returns {Promise<string>} its output
 * @throws {SetupError}
 */
export async function runOrThrow(purpose, program, programArguments, options = {}) {
  const { status, output } = await run(program, programArguments, options);
  if (status === 0) return output;
  throw explainFailure(purpose, output, options.remedy);
}

const networkFailure =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError|Temporary failure (in name resolution|resolving)|Could not (resolve|connect)|Connection (refused|timed out)|Network is unreachable|fetch failed|ENOTCACHED/i;
const diskFailure = /ENOSPC|No space left on device/i;

/**
 * The one sentence for a failed tool: no network, no disk space, or its own last lines.
 *
 * @param {string} purpose
 * @param {string} output
 * @param {string} [remedy]
 */
export function explainFailure(purpose, output, remedy) {
  if (diskFailure.test(output)) {
    return new SetupError(
      `${purpose} failed: the disk is full`,
      'Free some space, then run the same command again',
    );
  }
  if (networkFailure.test(output)) {
    return new SetupError(
      `${purpose} failed: the network, or the package registry, cannot be reached`,
      'Check the connection and the proxy settings, then run the same command again: what was ' +
        'finished is kept',
    );
  }
  const lastLines = output.trim().split('\n').slice(-20).join('\n');
  return new SetupError(
    `${purpose} failed`,
    remedy ?? 'The tool says why below; run the same command again when that is repaired',
    lastLines,
  );
}
