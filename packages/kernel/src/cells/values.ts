import { inspect, types } from 'node:util';
import type { MimeData, Shown } from '../pipes.js';
import { fromPackages } from './es-packages.js';

/**
 * The method by which a value says how it is shown: it returns data by MIME type, or a promise of it.
 * Deno's kernel asks for the same one.
 */
const displayMethod = Symbol.for('Jupyter.display');

/**
 * How a package shows values, as the `lastValueView` of the module that its package.json names under
 * `notebook.views`: undefined for those of others.
 */
type View = (value: object) => Promise<Shown | undefined>;

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
  const own: unknown = Reflect.get(value, displayMethod);
  if (typeof own !== 'function') {
    for (const view of fromPackages<View>('views', 'lastValueView')) {
      const shown = await view(value);
      if (shown) return shown;
    }
    return undefined;
  }
  const data: unknown = await own.call(value);
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
  if (types.isPromise(value)) return 'A promise. Write `await` before it, and its value is shown.';
  const text = inspect(value);
  if (text.length <= mostText) return text;
  return `${text.slice(0, mostText)}\n… ${text.length - mostText} more characters`;
}
