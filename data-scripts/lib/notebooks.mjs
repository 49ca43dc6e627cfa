import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { venvProgram } from './places.mjs';
import { run } from './run.mjs';

/**
 * The notebooks of a folder in their order, without those of the course, which `npm run course` executes.
 *
 * @param {string} folder
 * @returns {string[]} paths
 */
export function listNotebooks(folder) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ipynb') && !name.includes('.ipynb_checkpoints'))
    .filter((name) => name.split(path.sep)[0] !== 'course')
    .sort()
    .map((name) => path.join(folder, name));
}

/**
 * What a notebook is called: its file below `notebooks/`, for example `reports/09-design.ipynb`.
 *
 * @param {string} file
 */
export function notebookName(file) {
  const parts = path.resolve(file).split(path.sep);
  const at = parts.lastIndexOf('notebooks');
  return at < 0 ? path.basename(file) : parts.slice(at + 1).join('/');
}

/**
 * A new folder below the project, ignored by git: only from there do notebooks and checks find the
 * package `tarflow` and its dependencies.
 *
 * @param {string} root the project's folder
 * @param {string} purpose the start of its name
 */
export function temporaryFolder(root, purpose) {
  const parent = path.join(root, '.nbcheck');
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(path.join(parent, `${purpose}-`));
}

/** Seconds in which a kernel answers, on a slow machine too. */
const startSeconds = 90;

/**
 * What nbconvert says of a kernel that started and does not answer, which happens now and then: no
 * message reaches it. It is started again then; no cell has run yet.
 */
const noAnswer = "Kernel didn't respond in";

/** What a line of the executor begins with that tells of a cell. */
const cellLine = '##cell\t';

/**
 * A code cell that begins or ends.
 *
 * @typedef {object} CellEvent
 * @property {'begin' | 'end'} event
 * @property {string} cell its id
 * @property {number} number from 1, among the code cells
 * @property {number} count of code cells
 */

/**
 * Executes a notebook, from the folder that its output lies in. When a cell throws, the output stays as
 * it was.
 *
 * @param {string} root the project's folder
 * @param {string} notebook
 * @param {NodeJS.ProcessEnv} env
 * @param {object} [options]
 * @param {string} [options.output] the executed notebook's file; default: the notebook's own
 * @param {(event: CellEvent) => void} [options.onCell]
 * @param {string} [options.kernel] a name under which set-up has registered a kernel
 * @returns {Promise<{ seconds: number, error?: string }>} error: the cell and what it wrote
 */
export async function executeNotebook(
  root,
  notebook,
  env,
  { output = notebook, onCell, kernel = 'tslab' } = {},
) {
  const started = performance.now();
  const script = fileURLToPath(new URL('execute-notebook.py', import.meta.url));
  const execute = () =>
    run(venvProgram(root, 'python'), [script, notebook, output, `${startSeconds}`, kernel], {
      cwd: path.dirname(output),
      env,
      onLine: (line) => {
        if (line.startsWith(cellLine)) onCell?.(JSON.parse(line.slice(cellLine.length)));
      },
    });
  let result = await execute();
  for (let starts = 1; starts < 3 && result.output.includes(noAnswer); starts++) {
    result = await execute();
  }
  const seconds = (performance.now() - started) / 1000;
  return result.status === 0 ? { seconds } : { seconds, error: notebookError(result.output) };
}

/**
 * The part of nbconvert's output that tells a notebook's author something: plain tslab reports an error
 * only as text on the cell's stderr, with its own frames.
 *
 * @param {string} output
 */
export function notebookError(output) {
  const marker = 'CellExecutionError: ';
  const start = output.lastIndexOf(marker);
  if (start === -1) {
    const lines = output.trim().split('\n');
    return lines
      .filter((line) => !line.startsWith(cellLine))
      .slice(-20)
      .join('\n');
  }
  return output
    .slice(start + marker.length)
    .split('\n')
    .filter((line) => !/^\s+at .*(node:|node_modules\/tslab)/.test(line))
    .join('\n')
    .trim();
}

/**
 * The code cells of a notebook, one after the other.
 *
 * @param {string} notebook
 */
function codeOf(notebook) {
  /** @type {{ cells: { cell_type: string, source: string | string[] }[] }} */
  const { cells } = JSON.parse(readFileSync(notebook, 'utf8'));
  const code = cells.filter(({ cell_type }) => cell_type === 'code');
  return code.map(({ source }) => `${[source].flat().join('')}\n`).join('\n');
}

/**
 * Checks notebooks' cells with the project's own compiler and strict settings; tslab's are laxer.
 *
 * @param {string} root the project's folder
 * @param {readonly string[]} notebooks
 * @param {Record<string, boolean>} [compilerOptions] that differ
 * @returns {Promise<string | undefined>} the compiler's messages, undefined when there are none
 */
export async function checkNotebooks(root, notebooks, compilerOptions = {}) {
  const folder = temporaryFolder(root, 'strict');
  try {
    for (const notebook of notebooks) {
      try {
        // A module, for top-level await.
        const name = `${path.basename(notebook, '.ipynb')}.mts`;
        writeFileSync(path.join(folder, name), codeOf(notebook));
      } catch (error) {
        return `${notebook}: ${error}`;
      }
    }
    writeFileSync(
      path.join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: ['*.mts'] }),
    );
    const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { status, output } = await run(process.execPath, [compiler, '-p', folder], {
      cwd: folder,
    });
    return status === 0 ? undefined : output;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
