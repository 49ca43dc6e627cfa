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
    place.querySelector('img')?.replaceWith(chart);
    await drawFitting(chart, specification);
  }
}

/**
 * A chart that is wider than its place is drawn anew: plots side by side go below each other; then legends go
 * below, long titles into lines, and plots get narrower. Style sheets scale what is still wider.
 *
 * @param {HTMLElement} place
 * @param {any} specification
 */
async function drawFitting(place, specification) {
  const { vegaEmbed } = /** @type {any} */ (globalThis);
  const draw = async (/** @type {any} */ drawn) => {
    await vegaEmbed(place, drawn, { actions: false, renderer: 'svg' });
    const width = Number(place.querySelector('svg')?.getAttribute('width'));
    return Math.max(0, width - place.clientWidth);
  };
  if (!(await draw(specification))) return;
  const stacked = changed(specification, ({ hconcat, ...rest }) => ({
    ...(hconcat ? { ...rest, vconcat: hconcat } : rest),
    ...(rest.concat ? { columns: 1 } : {}),
  }));
  if (!(await draw(stacked))) return;
  const { config = {} } = stacked;
  const below = { orient: 'bottom', columns: 2, direction: 'vertical' };
  const layout = { bottom: { direction: 'vertical' } };
  const narrow = {
    ...changed(stacked, ({ title, ...rest }) =>
      title ? { ...rest, title: titleInLines(title, place.clientWidth / 8) } : rest,
    ),
    config: {
      ...config,
      legend: { ...config.legend, ...below, layout },
      axisX: { ...config.axisX, labelOverlap: 'greedy', labelSeparation: 4 },
    },
  };
  const excess = await draw(narrow);
  if (excess === 0) return;
  await draw(
    changed(narrow, ({ width, ...rest }) =>
      width > 160 ? { ...rest, width: Math.max(160, width - excess) } : { ...rest, width },
    ),
  );
}

/**
 * The views of a chart, each changed.
 *
 * @param {any} view
 * @param {(view: any) => any} change
 * @returns {any}
 */
function changed(view, change) {
  const made = change(view);
  for (const kind of ['concat', 'hconcat', 'vconcat']) {
    if (made[kind]) {
      made[kind] = made[kind].map((/** @type {any} */ inner) => changed(inner, change));
    }
  }
  return made;
}

/**
 * @param {any} title
 * @param {number} most letters in a line
 */
function titleInLines(title, most) {
  const { text, subtitle, ...rest } = typeof title === 'string' ? { text: title } : title;
  const line = new RegExp(`.{1,${Math.floor(most)}}(\\s|$)`, 'g');
  const lines = (/** @type {any} */ words) =>
    [words ?? []].flat().flatMap((text) => text.match(line) ?? text);
  return { ...rest, text: lines(text), subtitle: lines(subtitle) };
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
