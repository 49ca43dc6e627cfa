// node run-cells.mjs NOTEBOOK…: runs the cells of notebooks in this process, one notebook after the
// other, without a kernel. Each is one module, as the strict check takes it, so that its names are its own
// while packages, engine and compiled programs are shared. For each a line of JSON follows on stdout:
// the notebook, its seconds, and the error that stopped it, if one did.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { compileFunction } from 'node:vm';
import ts from 'typescript';
import { projectRoot } from '../../data-scripts/lib/places.mjs';

/** What a line of the report begins with. */
const mark = '##notebook\t';

/**
 * @param {string} source of a cell
 * @returns {string} with the expression that it ends with handed to `lastValue`
 */
function withLastValue(source) {
  const file = ts.createSourceFile('cell.ts', source, ts.ScriptTarget.ES2022);
  const last = file.statements.at(-1);
  if (!last || !ts.isExpressionStatement(last)) return source;
  const [start, end] = [last.expression.getStart(file), last.expression.end];
  return `${source.slice(0, start)}await lastValue(${source.slice(start, end)})${source.slice(end)}`;
}

/**
 * @param {string} file of a notebook
 * @returns {string} its cells as the body of an asynchronous function
 */
function bodyOf(file) {
  /** @type {{ cells: { id: string, cell_type: string, source: string | string[] }[] }} */
  const { cells } = JSON.parse(readFileSync(file, 'utf8'));
  const text = cells
    .filter(({ cell_type }) => cell_type === 'code')
    .map(({ id, source }) => {
      return `beginCell(${JSON.stringify(id)});\n${withLastValue([source].flat().join(''))}\n`;
    });
  const compilerOptions = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 };
  return ts.transpileModule(text.join(''), {
    compilerOptions: { ...compilerOptions, esModuleInterop: true },
  }).outputText;
}

/** @param {{ data: Record<string, unknown> }} output */
function checkOutput({ data }) {
  if (typeof data['text/plain'] !== 'string') throw new Error('An output came without its text.');
  const png = data['image/png'];
  if (png !== undefined && !`${png}`.startsWith('iVBORw0KGgo')) {
    throw new Error('A picture came that is no PNG.');
  }
}

const require = createRequire(path.join(projectRoot, 'package.json'));
// The library takes itself to be in a notebook where it finds the module of tslab's kernel.
const kernelModule = path.join(path.sep, 'tslab', 'dist', 'jupyter.js');
require.cache[kernelModule] = /** @type {any} */ ({
  exports: { lastWriteDisplayData: checkOutput },
});
// A few samples take less than XLA takes to compile their loops, so by day these run as graphs, but where
// a cell asks for XLA: `npm run nightly` sets TARFLOW_NIGHTLY.
if (!process.env.TARFLOW_NIGHTLY) {
  require('./packages/graph/dist/native/binding.js').xlaIsAtHand = () => false;
}
const { lastValueView } = require(path.join(projectRoot, 'dist', 'workbook', 'last-value.js'));

/** @param {unknown} value that a cell ends with */
async function lastValue(value) {
  const found = await value;
  if (typeof found !== 'object' || found === null) return;
  const own = /** @type {any} */ (found)[Symbol.for('Jupyter.display')];
  const view = typeof own === 'function' ? { data: await own.call(found) } : undefined;
  const shown = view ?? (await lastValueView(found));
  if (shown) checkOutput({ data: { 'text/plain': '', ...shown.data } });
}

for (const notebook of process.argv.slice(2)) {
  const started = performance.now();
  process.chdir(path.dirname(notebook));
  let cell = '';
  /** @type {string | undefined} */
  let error;
  try {
    const names = ['require', 'exports', 'lastValue', 'beginCell'];
    const run = compileFunction(`return (async () => {\n${bodyOf(notebook)}\n})();`, names, {
      filename: notebook,
    });
    const beginCell = (/** @type {string} */ id) => {
      cell = id;
    };
    await run(createRequire(notebook), {}, lastValue, beginCell);
  } catch (thrown) {
    error = `cell ${cell}: ${thrown instanceof Error ? thrown.stack : thrown}`;
  }
  const seconds = (performance.now() - started) / 1000;
  console.log(`\n${mark}${JSON.stringify({ notebook, seconds, error })}`);
}
process.exit(0);
