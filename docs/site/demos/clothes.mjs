// Clothes by class, guidance and seed: token by token, or by Jacobi iteration with its front.
import { element, engineField, labelled, painter, told, withModel } from './shared.mjs';
import { draw } from './tarflow-web/index.js';

const file = 'fashion-mnist-conditional-8x2.safetensors';
const classes = [
  ...['T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat'],
  ...['Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'],
];
const side = 28;
const patch = 4;
const zoom = 10;
const blocks = 8;
const solvers = {
  sequential: { kind: 'sequential' },
  jacobi: { kind: 'jacobi', tolerance: 1e-3 },
};

/**
 * @param {{ el: HTMLElement, way: keyof typeof solvers }} options
 * @returns {() => void} takes the demo away
 */
export function renderClothes({ el, way }) {
  const form = formOf();
  const view = viewOf(way);
  let wanted = 0;
  const run = async () => {
    const mine = ++wanted;
    const { engine, ...options } = form.values();
    view.say(`Loading the flow and ${engine === 'wasm' ? 'WebAssembly' : 'WebGPU'} …`);
    try {
      await withModel(engine, file, async (flow) => {
        // Another drawing was asked for while this one waited.
        if (mine !== wanted) return;
        await drawInto(view, flow, {
          ...options,
          solver: solvers[way],
          isWanted: () => mine === wanted,
        });
      });
    } catch (error) {
      if (error !== stopped) view.say(`That failed. ${told(error)}`);
    }
  };
  form.element.addEventListener('submit', (event) => {
    event.preventDefault();
    run();
  });
  el.replaceChildren(form.element, view.element);
  return () => {
    wanted++;
    el.replaceChildren();
  };
}

const stopped = new Error('Another drawing was asked for.');

/**
 * @param {ReturnType<typeof viewOf>} view
 * @param {any} flow
 * @param {any} options
 */
async function drawInto(view, flow, { clean, isWanted, ...options }) {
  const paint = painter();
  let evaluations = 0;
  view.start();
  view.say(`Drawing: ${classes[options.label]}, seed ${options.seed}`);
  const begun = performance.now();
  const images = await draw(flow, {
    ...options,
    denoise: clean ? { sigma: 0.1 } : undefined,
    async onStep(step) {
      if (!isWanted()) throw stopped;
      evaluations++;
      view.show(step);
      await paint();
    },
  });
  const seconds = (performance.now() - begun) / 1000;
  view.finish(await images.data());
  images.dispose();
  view.say(
    `Drawn: ${classes[options.label]}, seed ${options.seed}, in ${seconds.toFixed(1)} s ` +
      `by ${evaluations} evaluations of a block.`,
  );
}

/** The questions, and their answers. */
function formOf() {
  const label = element(
    'select',
    {},
    ...classes.map((name, i) => element('option', { value: i }, name)),
  );
  label.value = '3';
  const number = (/** @type {Record<string, any>} */ properties) =>
    element('input', { type: 'number', required: true, ...properties });
  const weight = number({ min: 0, max: 5, step: 0.5, value: 1.5 });
  const seed = number({ min: 1, max: 99999, step: 1, value: 7 });
  const clean = element('input', { type: 'checkbox', checked: true });
  const engine = engineField();
  const form = element(
    'form',
    { className: 'demo-form' },
    labelled('Class', label),
    labelled('Guidance', weight),
    labelled('Seed', seed),
    engine.label,
    element('label', { className: 'demo-field' }, clean, ' denoise at the end'),
    element('button', { type: 'submit' }, 'Draw'),
  );
  return {
    element: form,
    values: () => ({
      engine: engine.field.value,
      label: Number(label.value),
      guidance: Number(weight.value) > 0 ? { weight: Number(weight.value) } : undefined,
      seed: Number(seed.value),
      clean: clean.checked,
    }),
  };
}

/**
 * The picture, the front and what came of each block.
 *
 * @param {keyof typeof solvers} way
 */
function viewOf(way) {
  const picture = element('canvas', {
    width: side * zoom,
    height: side * zoom,
    className: 'demo-picture',
  });
  picture.setAttribute('role', 'img');
  picture.setAttribute('aria-label', 'The drawing; nothing is drawn yet');
  // No token is known yet.
  paintPixels(picture, new Float32Array(side * side), zoom);
  paintFront(picture, new Array((side / patch) ** 2).fill(0), 0);
  const status = element(
    'p',
    { role: 'status', className: 'demo-status' },
    'Nothing is drawn yet: choose a class, and press Draw.',
  );
  const place = element('p', { className: 'demo-place' }, '\u00a0');
  // Their places from the beginning, so that nothing moves later.
  const entries = Array.from({ length: blocks }, (_, block) => entryOf(block));
  const items = entries.map(({ item }) => item).reverse();
  const strip = element('ol', { className: 'demo-strip' }, ...items);
  /** @type {number[]} */
  let counts = [];
  return {
    element: element(
      'div',
      { className: 'demo-view' },
      element('div', { className: 'demo-drawing' }, picture, place, status),
      strip,
    ),
    say: (/** @type {string} */ text) => {
      status.textContent = text;
    },
    start() {
      counts = [];
      for (const { clear } of entries) clear();
    },
    show(/** @type {any} */ { block, steps, solved, tokens, order, pixels }) {
      paintPixels(picture, pixels, zoom);
      paintFront(picture, order, solved);
      const count =
        way === 'jacobi' ? `sweep ${steps}, front at token ${solved}` : `token ${solved}`;
      place.textContent = `Block ${block + 1} of ${blocks}: ${count} of ${tokens}`;
      const what = way === 'jacobi' ? `sweep${steps > 1 ? 's' : ''}` : 'tokens';
      entries[block]?.show(pixels, `${steps} ${what}`);
      counts[blocks - 1 - block] = steps;
    },
    finish(/** @type {Float32Array} */ pixels) {
      paintPixels(picture, pixels, zoom);
      picture.setAttribute('aria-label', 'The drawing, finished');
      const sum = counts.reduce((all, one) => all + one, 0);
      const what = way === 'jacobi' ? 'sweeps' : 'tokens';
      place.textContent = `${sum} ${what} in ${blocks} blocks: ${counts.join(' + ')}`;
    },
  };
}

/**
 * The small picture of what a block leaves.
 *
 * @param {number} block
 */
function entryOf(block) {
  const thumbnail = element('canvas', { width: side * 2, height: side * 2 });
  thumbnail.setAttribute('role', 'img');
  const text = element('span');
  const clear = () => {
    thumbnail.getContext('2d').clearRect(0, 0, side * 2, side * 2);
    thumbnail.setAttribute('aria-label', `Block ${block + 1} is not inverted yet`);
    text.textContent = '\u00a0';
  };
  clear();
  return {
    item: element('li', {}, thumbnail, element('span', {}, `block ${block + 1}`), text),
    clear,
    show(/** @type {ArrayLike<number>} */ pixels, /** @type {string} */ count) {
      paintPixels(thumbnail, pixels, 2);
      thumbnail.setAttribute('aria-label', `After block ${block + 1}`);
      text.textContent = count;
    },
  };
}

/**
 * Pixels about [−1, 1] as squares of grey.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {ArrayLike<number>} pixels
 * @param {number} size of a pixel
 */
function paintPixels(canvas, pixels, size) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  for (let i = 0; i < side * side; i++) {
    const grey = Math.round(255 * Math.min(1, Math.max(0, (Number(pixels[i]) + 1) / 2)));
    context.fillStyle = `rgb(${grey} ${grey} ${grey})`;
    context.fillRect((i % side) * size, Math.floor(i / side) * size, size, size);
  }
}

/**
 * Tokens that are not final are crossed out.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {readonly number[]} order the rank of each token, row by row
 * @param {number} solved
 */
function paintFront(canvas, order, solved) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const [across, length] = [side / patch, patch * zoom];
  context.strokeStyle = '#e8590c';
  context.lineWidth = 1.5;
  context.beginPath();
  order.forEach((rank, token) => {
    if (rank < solved) return;
    const [x, y] = [(token % across) * length, Math.floor(token / across) * length];
    context.moveTo(x, y + length);
    context.lineTo(x + length, y);
  });
  context.stroke();
}
