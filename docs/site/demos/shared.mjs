// What the demos share: engines and models that are loaded once for a page, and parts of their forms.
import { loadCheckpoint, startEngine } from './tarflow-web/index.js';

/** @type {Map<string, Promise<any>>} */
const models = new Map();

/** The drawing that runs; the next one waits, since a page has one engine at a time. */
let turn = Promise.resolve();

/**
 * Runs `use` with a model of an engine, after what runs already. Both are loaded when they are first needed.
 *
 * @param {'wasm' | 'webgpu'} engine
 * @param {string} file beside this module
 * @param {(model: any) => Promise<void>} use
 */
export function withModel(engine, file, use) {
  turn = turn
    .catch(() => {})
    .then(async () => {
      await startEngine({ engine });
      const key = `${engine} ${file}`;
      if (!models.has(key)) models.set(key, loadCheckpoint(new URL(file, import.meta.url)));
      const model = models.get(key);
      // What did not come may come the next time.
      model?.catch(() => models.delete(key));
      await use(await model);
    });
  return turn;
}

/**
 * An element with its properties and what is in it.
 *
 * @param {string} name
 * @param {Record<string, any>} [properties]
 * @param {(Node | string)[]} children
 * @returns {any}
 */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made && key !== 'list') /** @type {any} */ (made)[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/**
 * A field with its label in front of it.
 *
 * @param {string} text
 * @param {Node} field
 */
export function labelled(text, field) {
  return element('label', { className: 'demo-field' }, `${text} `, field);
}

/** Which engine computes; WebGPU only where the browser has it. */
export function engineField() {
  const field = element(
    'select',
    {},
    element('option', { value: 'wasm' }, 'WebAssembly'),
    element('option', { value: 'webgpu', disabled: !('gpu' in navigator) }, 'WebGPU'),
  );
  return { field, label: labelled('Engine', field) };
}

/** Time for the page to paint, some thirty times a second at most. */
export function painter() {
  let last = 0;
  return async () => {
    if (performance.now() - last < 33) return;
    await new Promise((resolve) => setTimeout(resolve));
    last = performance.now();
  };
}

/**
 * An error in words: what is meant for users says what to do.
 *
 * @param {unknown} error
 */
export function told(error) {
  return error instanceof Error ? error.message : String(error);
}
