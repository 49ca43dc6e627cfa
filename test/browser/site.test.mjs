// Pictures and charts of the site in Chromium: a report, and a unit of the course, on a phone and on a desk.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { layOutSources } from '../../data-scripts/lib/site-sources.mjs';
import { browserIsThere, skipNote } from './chromium.mjs';
import { servedFolder } from './serve.mjs';

const site = servedFolder('site-pages', (folder) => layOutSources(projectRoot, folder));

/**
 * What a notebook shows, with the theme's rule for pictures.
 *
 * @param {string} name
 */
function writePage(name) {
  const { cells } = JSON.parse(readFileSync(path.join(site.folder(), `${name}.ipynb`), 'utf8'));
  const shown = cells
    .flatMap((/** @type {any} */ { outputs = [] }) => outputs)
    .map((/** @type {any} */ { data }) => [data?.['text/html'] ?? ''].flat().join(''))
    .filter((/** @type {string} */ html) => /_static\/pictures/.test(html));
  writeFileSync(
    path.join(site.folder(), `${name}.html`),
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${name}</title>
    <style>img { max-width: 100% }</style><link rel="stylesheet" href="../../_static/site.css">
    <body class="bd-article">${shown.join('<hr>')}
    <script type="module" src="../../_static/site.mjs"></script></html>`,
  );
}

test.for([
  ['notebooks/reports/09-design', 390],
  ['notebooks/reports/09-design', 1280],
  ['notebooks/course/10-must-sampling-be-sequential', 390],
  ['notebooks/course/10-must-sampling-be-sequential', 1280],
])('%s: pictures keep their shape, and charts fit, at %d pixels', async (given, context) => {
  context.skip(!browserIsThere, skipNote);
  const [name = '', width = 0] = /** @type {[string, number]} */ (given);
  writePage(name);
  const opened = await site.open(context, `${name}.html`, { viewport: { width, height: 9000 } });
  await expect.poll(() => opened.locator('.vega-chart > img').count()).toBe(0);
  await opened.waitForLoadState('networkidle');
  /** @type {number[]} */
  const shapes = await opened.evaluate(
    `[...document.images].map(({ clientWidth, clientHeight, naturalWidth, naturalHeight }) =>
      clientWidth / clientHeight / (naturalWidth / naturalHeight))`,
  );
  expect(shapes.length).toBeGreaterThan(0);
  expect(shapes.filter((shape) => !(Math.abs(shape - 1) < 0.03))).toEqual([]);
  const overflow = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';
  expect(await opened.evaluate(overflow)).toBe(0);
  await opened.close();
});
