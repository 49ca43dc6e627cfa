import { randomBytes } from 'node:crypto';
import * as path from 'node:path';

/**
 * One thing to show, in several forms, of which the front end picks the richest that it can draw.
 * Text is always among them, for a terminal and for readers of raw notebooks. A picture is base64.
 */
export interface MimeBundle {
  'text/plain': string;
  'text/html'?: string;
  'text/markdown'?: string;
  'image/png'?: string;
  /** A JSON object, not its text. */
  'application/vnd.vegalite.v5+json'?: Record<string, unknown>;
}

/** The size of a picture on the page in CSS pixels, and what it shows, for who cannot see it. */
export interface PageSize {
  width: number;
  height: number;
  alt?: string;
}

/** A place in a notebook's output that can be overwritten. */
export interface UpdatableDisplay {
  /** Replaces what the place shows. In plain Node.js it prints the text. */
  show(bundle: MimeBundle, size?: PageSize): void;
}

/** True in a cell of a notebook whose kernel is tslab. */
export function inNotebook(): boolean {
  return notebookWriter() !== undefined;
}

/** Shows a bundle below the cell; in plain Node.js it prints the text. */
export function display(bundle: MimeBundle, size?: PageSize): void {
  write(bundle, size, undefined, false);
}

/** A place below the cell. The first call of `show` creates it, and each later one overwrites it. */
export function newDisplay(): UpdatableDisplay {
  const id = randomBytes(8).toString('hex');
  let shown = false;
  return {
    show(bundle, size) {
      write(bundle, size, id, shown);
      shown = true;
    },
  };
}

/** Shows Markdown, formulas included; in plain Node.js it prints the source. */
export function displayMarkdown(markdown: string): void {
  display({ 'text/markdown': markdown, 'text/plain': markdown });
}

/** Shows a PNG picture, or `text` where pictures cannot be shown. */
export function displayPng(png: Uint8Array, text: string, size?: PageSize): void {
  display({ 'image/png': Buffer.from(png).toString('base64'), 'text/plain': text }, size);
}

/**
 * Removes what the cell has shown so far. With `wait` it does so only when the cell shows something next, so
 * that nothing flickers. Only this project's kernel can do it: under plain tslab, and in plain Node.js,
 * nothing happens.
 */
export function clearOutput(wait = false): void {
  const hook: { clearOutput(wait: boolean): void } | undefined = Reflect.get(
    globalThis,
    kernelHook,
  );
  hook?.clearOutput(wait);
}

/** Where this project's kernel offers what tslab does not (`packages/kernel/README.md`). */
const kernelHook = Symbol.for('tarflow.kernel');

/** How tslab's kernel sends an output to the front end. */
type Writer = (
  output: { data: MimeBundle; metadata: object; transient: { display_id?: string } },
  update: boolean,
) => void;

function write(
  bundle: MimeBundle,
  size: PageSize | undefined,
  id: string | undefined,
  update: boolean,
): void {
  const writer = notebookWriter();
  if (!writer) {
    console.log(bundle['text/plain']);
    return;
  }
  const metadata = size ? { 'image/png': size } : {};
  writer({ data: bundle, metadata, transient: id ? { display_id: id } : {} }, update);
}

/**
 * tslab's public functions send one MIME type per call, so a bundle goes through an internal function
 * of tslab 1.0.22. The kernel has loaded that module, whichever copy of tslab it is; if it is not
 * loaded, this is no notebook. The function changes with every cell and must not be kept.
 */
function notebookWriter(): Writer | undefined {
  const file = Object.keys(require.cache).find((name) => name.endsWith(kernelModule));
  const kernel = file === undefined ? undefined : require.cache[file];
  const exported: { lastWriteDisplayData?: Writer | null } | undefined = kernel?.exports;
  return exported?.lastWriteDisplayData ?? undefined;
}

const kernelModule = path.join(path.sep, 'tslab', 'dist', 'jupyter.js');
