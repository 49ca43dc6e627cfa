import * as path from 'node:path';
import { inspect } from 'node:util';
import type { MimeData, Shown } from '../pipes.js';

/**
 * The method by which a value says how it is shown: it returns data by MIME type, or a promise of it.
 * Deno's kernel asks for the same one.
 */
const displayMethod = Symbol.for('Jupyter.display');

/** How the library shows what is not its own, such as tensors: `lastValueView` of the workbook. */
type LibraryView = (value: object) => Promise<Shown | undefined>;

/** Longer text of a last value is cut; `console.log` prints all of it. */
const mostText = 100_000;

/**
 * The last value of a cell in all forms that it has. Text is always among them; a form that cannot be
 * made is left out, and why is said in the text.
 */
export async function shownValue(value: unknown): Promise<Shown> {
  const plain: MimeData = { 'text/plain': textOf(value) };
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) {
    return { data: plain, metadata: {} };
  }
  try {
    const shown = await richValue(value);
    return { data: { ...plain, ...shown?.data }, metadata: shown?.metadata ?? {} };
  } catch (error) {
    const reason = error instanceof Error ? error.message : inspect(error);
    const text = `${plain['text/plain']}\n(Its picture cannot be made: ${reason})`;
    return { data: { 'text/plain': text }, metadata: {} };
  }
}

async function richValue(value: object): Promise<Shown | undefined> {
  const own = (value as Record<symbol, unknown>)[displayMethod];
  if (typeof own !== 'function') return await libraryView()?.(value);
  const data = (await own.call(value)) as MimeData | null | undefined;
  return isData(data) ? { data, metadata: {} } : undefined;
}

function isData(data: unknown): data is MimeData {
  return (
    typeof data === 'object' &&
    data !== null &&
    Object.keys(data).every((type) => /^[\w.+-]+\/[\w.+-]+$/.test(type))
  );
}

function textOf(value: unknown): string {
  const text = inspect(value);
  if (text.length <= mostText) return text;
  return `${text.slice(0, mostText)}\n… ${text.length - mostText} more characters`;
}

/** The view of the copy of the library that the notebook has loaded. */
function libraryView(): LibraryView | undefined {
  const mark = path.join(path.sep, 'dist', 'backend', 'tf.js');
  const file = Object.keys(require.cache).find((name) => name.endsWith(mark));
  if (file === undefined) return undefined;
  const view = path.join(file, '..', '..', 'workbook', 'last-value.js');
  return (require(view) as { lastValueView: LibraryView }).lastValueView;
}
