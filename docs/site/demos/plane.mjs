// A flow of the plane: a point dragged in the noise or in the data, and its way through the blocks.
import { element, labelled, told, withModel } from './shared.mjs';
import { forward, inverse, logProb, sample, tf, tidy } from './tarflow-web/index.js';

const file = 'two-moons.safetensors';
const size = 240;
const many = 600;

/** In the form of an anywidget: `render` fills an element, and returns what takes the demo away. */
export default {
  render: (/** @type {{ el: HTMLElement }} */ { el }) => renderPlane(el),
};

/** @param {HTMLElement} el */
function renderPlane(el) {
  const noise = panelOf('Noise z', 'z', 3.5);
  const way = panelOf('Block by block', 'h', 3.5);
  const data = panelOf('Data x', 'x', 2.2);
  const status = element(
    'p',
    { role: 'status', className: 'demo-status' },
    'The flow is not loaded yet.',
  );
  const begin = element('button', { type: 'button' }, 'Load the flow');
  const panels = element(
    'div',
    { className: 'demo-panels' },
    noise.element,
    way.element,
    data.element,
  );
  el.replaceChildren(begin, panels, status);

  /** @type {{ from: 'z' | 'x', point: number[] } | undefined} what was asked for last */
  let asked;
  let busy = false;
  const move = async (/** @type {'z' | 'x'} */ from, /** @type {number[]} */ point) => {
    asked = { from, point };
    if (busy) return;
    busy = true;
    try {
      while (asked) {
        const now = asked;
        asked = undefined;
        await withModel('wasm', file, async (flow) => {
          const found =
            now.from === 'z' ? await fromNoise(flow, now.point) : await fromData(flow, now.point);
          noise.mark([found.way[0]]);
          way.mark(found.way);
          data.mark([found.way.at(-1)]);
          status.textContent = `z = (${words(found.way[0])}) ⟷ x = (${words(found.way.at(-1))}), log p(x) = ${found.logP.toFixed(2)} nats`;
        });
        await new Promise((resolve) => setTimeout(resolve));
      }
    } catch (error) {
      status.textContent = `That failed. ${told(error)}`;
    } finally {
      busy = false;
    }
  };
  noise.onMove((point) => move('z', point));
  data.onMove((point) => move('x', point));
  begin.addEventListener('click', async () => {
    begin.disabled = true;
    status.textContent = 'Loading the flow and WebAssembly …';
    try {
      await withModel('wasm', file, async (flow) => {
        const images = await sample(flow, { count: many, seed: 1, batchSize: many });
        const { z } = forward(flow, images);
        data.scatter(await images.data());
        noise.scatter(await z.data());
        tf.dispose([images, z]);
      });
      begin.hidden = true;
      noise.enable();
      data.enable();
      await move('z', [-0.8, 1.2]);
    } catch (error) {
      status.textContent = `That failed. ${told(error)}`;
      begin.disabled = false;
    }
  });
  return () => el.replaceChildren();
}

/** @param {number[]} point */
const words = (point) => point.map((value) => value.toFixed(2)).join(', ');

/**
 * The places of a point from noise to data: before the first block that is inverted, and after each.
 *
 * @param {any} flow
 * @param {number[]} point
 */
async function fromNoise(flow, point) {
  const z = tf.tensor3d(point, [1, 2, 1]);
  const places = [point];
  const image = await inverse(flow, z, {
    onBlock: (/** @type {any} */ tokens) => places.push(Array.from(tokens.dataSync())),
  });
  const logP = tidy(() => logProb(flow, image).dataSync()[0] ?? Number.NaN);
  tf.dispose([z, image]);
  return { way: places, logP };
}

/**
 * The same from data.
 *
 * @param {any} flow
 * @param {number[]} point
 */
async function fromData(flow, point) {
  return tidy(() => {
    const image = tf.tensor4d(point, [1, 1, 1, 2]);
    const { outputs } = forward(flow, image);
    const places = outputs.map((output) => Array.from(output.dataSync())).reverse();
    return { way: [...places, point], logP: logProb(flow, image).dataSync()[0] ?? Number.NaN };
  });
}

/**
 * A square of the plane with its points, and two sliders for those who have no pointer.
 *
 * @param {string} title
 * @param {string} name of the coordinates
 * @param {number} half of its side; it shows more where a point is farther away
 */
function panelOf(title, name, half) {
  const canvas = element('canvas', { width: size, height: size, className: 'demo-plane' });
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', title);
  const sliders = name === 'h' ? [] : ['₁', '₂'].map(() => sliderOf(half));
  const figure = element(
    'figure',
    { className: 'demo-panel' },
    element('figcaption', {}, title),
    canvas,
    ...sliders.map((slider, i) => labelled(`${name}${'₁₂'[i]}`, slider)),
  );
  /** @type {ArrayLike<number>} */
  let cloud = [];
  /** @type {number[][]} */
  let marks = [];
  const paint = () => {
    const farthest = Math.max(half, ...marks.flat().map((value) => 1.1 * Math.abs(value)));
    paintPlane(canvas, farthest, cloud, marks);
  };
  paint();
  return {
    element: figure,
    scatter(/** @type {ArrayLike<number>} */ points) {
      cloud = points;
      paint();
    },
    mark(/** @type {number[][]} */ points) {
      marks = points;
      sliders.forEach((slider, i) => {
        slider.value = String(points[0]?.[i] ?? 0);
      });
      canvas.setAttribute(
        'aria-label',
        `${title}: ${points.map((point) => `(${words(point)})`).join(' to ')}`,
      );
      paint();
    },
    enable: () => {
      for (const slider of sliders) slider.disabled = false;
    },
    onMove(/** @type {(point: number[]) => void} */ listener) {
      listenTo(canvas, half, sliders, listener);
    },
  };
}

/** @param {number} half */
function sliderOf(half) {
  return element('input', {
    type: 'range',
    min: -half,
    max: half,
    step: 0.05,
    value: 0,
    disabled: true,
  });
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number} half
 * @param {any[]} sliders which are enabled once there is a flow
 * @param {(point: number[]) => void} listener
 */
function listenTo(canvas, half, sliders, listener) {
  const follow = (/** @type {PointerEvent} */ event) => {
    if (sliders[0]?.disabled || event.buttons === 0) return;
    canvas.setPointerCapture(event.pointerId);
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const within = (/** @type {number} */ share) => half * Math.max(-1, Math.min(1, 2 * share - 1));
    listener([within((event.clientX - left) / width), -within((event.clientY - top) / height)]);
  };
  canvas.addEventListener('pointerdown', follow);
  canvas.addEventListener('pointermove', follow);
  for (const slider of sliders) {
    slider.addEventListener('input', () => listener(sliders.map(({ value }) => Number(value))));
  }
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number} half of its side
 * @param {ArrayLike<number>} cloud two numbers for each point
 * @param {number[][]} marks the places of one point, in order
 */
function paintPlane(canvas, half, cloud, marks) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const across = (/** @type {number} */ value) => ((value + half) / (2 * half)) * size;
  const down = (/** @type {number} */ value) => size - across(value);
  context.fillStyle = '#ffffff';
  context.fillRect(0, 0, size, size);
  context.strokeStyle = '#bbbbbb';
  context.strokeRect(0, down(0), size, 0);
  context.strokeRect(across(0), 0, 0, size);
  context.fillStyle = '#4c78a8';
  for (let i = 0; i + 1 < cloud.length; i += 2) {
    context.fillRect(across(Number(cloud[i])) - 1, down(Number(cloud[i + 1])) - 1, 2, 2);
  }
  context.strokeStyle = '#b03a00';
  context.lineWidth = 2;
  context.beginPath();
  for (const [x = 0, y = 0] of marks) context.lineTo(across(x), down(y));
  context.stroke();
  context.font = '12px sans-serif';
  marks.forEach(([x = 0, y = 0], i) => {
    context.fillStyle = '#b03a00';
    context.beginPath();
    context.arc(across(x), down(y), 6, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = '#000000';
    const text = i === 0 ? 'z' : i === marks.length - 1 ? 'x' : String(i);
    if (marks.length > 1) context.fillText(text, across(x) + 8, down(y) - 6);
  });
}
