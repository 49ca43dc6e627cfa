// Charts and demos of a page, where it has some.

/** @param {string} file of the folder of this module */
const own = (file) => new URL(file, import.meta.url).href;

/** @param {string} source */
function load(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = source;
    script.onload = () => resolve(undefined);
    script.onerror = () => reject(new Error(`${source} did not load`));
    document.head.append(script);
  });
}

async function drawCharts() {
  const places = document.querySelectorAll('.vega-chart');
  if (places.length === 0) return;
  for (const name of ['vega', 'vega-lite', 'vega-embed']) await load(own(`vega/${name}.min.js`));
  for (const place of places) {
    const specification = JSON.parse(place.querySelector('script')?.textContent ?? '');
    const chart = document.createElement('div');
    await /** @type {any} */ (globalThis).vegaEmbed(chart, specification, { actions: false });
    place.querySelector('img')?.replaceWith(chart);
    // Where it is wider than the page, keys move it.
    if (place.scrollWidth > place.clientWidth) place.setAttribute('tabindex', '0');
  }
}

/** Names that hide from a screen reader what a button of the theme says. */
function showTexts() {
  const hidden = '.search-button__button[aria-label], summary[aria-label="Toggle hidden content"]';
  for (const button of document.querySelectorAll(hidden)) button.removeAttribute('aria-label');
}

async function startDemos() {
  for (const place of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.demo'))) {
    const { default: demo } = await import(own(`demos/${place.dataset.demo}.mjs`));
    demo.render({ el: place });
  }
}

showTexts();
await Promise.all([drawCharts(), startDemos()]);
