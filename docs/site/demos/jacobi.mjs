import { renderClothes } from './clothes.mjs';

/** In the form of an anywidget: `render` fills an element, and returns what takes the demo away. */
export default {
  render: (/** @type {{ el: HTMLElement }} */ { el }) => renderClothes({ el, way: 'jacobi' }),
};
