// Draws with the bundle of `tarflow/web` where nothing of Node.js is to be had, and prints what came as JSON.
// Arguments: the folder of the bundle, a checkpoint, and as JSON the options of each drawing.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder = '', checkpoint = '', text = ''] = process.argv.slice(2);
const { stdout } = process;
/** @type {any} */
const page = globalThis;
// Threads are for pages that are isolated from others, as few are.
const ofNode = [
  'process',
  'Buffer',
  'global',
  'setImmediate',
  'clearImmediate',
  'SharedArrayBuffer',
];
for (const name of ofNode) delete page[name];
page.window = page;
page.document = { currentScript: null };
page.location = { href: 'http://page/' };
// A `Response` of Node.js needs what has gone.
page.WebAssembly.instantiateStreaming = undefined;
page.fetch = async (/** @type {string | URL} */ address) => {
  const { buffer, byteOffset, length } = await readFile(new URL(address).pathname);
  return { ok: true, arrayBuffer: async () => buffer.slice(byteOffset, byteOffset + length) };
};

const { disposeModel, draw, loadCheckpoint, startEngine } = await import(
  pathToFileURL(path.join(folder, 'index.js')).href
);
await startEngine({ engine: 'wasm', files: `http://page${folder}` });
const flow = await loadCheckpoint(`http://page${checkpoint}`);
const drawn = [];
for (const options of JSON.parse(text)) {
  /** @type {{ block: number, solved: number, steps: number }[]} */
  const steps = [];
  const begun = performance.now();
  const images = await draw(flow, {
    ...options,
    onStep: (/** @type {any} */ { block, solved, steps: count }) => {
      steps.push({ block, solved, steps: count });
    },
  });
  const seconds = (performance.now() - begun) / 1000;
  drawn.push({ pixels: Array.from(await images.data()), steps, seconds });
  images.dispose();
}
disposeModel(flow);
stdout.write(JSON.stringify(drawn));
