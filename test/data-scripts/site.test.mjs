import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporaryFolder } from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { brokenLinks, poorAlts } from '../../data-scripts/lib/site-links.mjs';
import { layOutSources } from '../../data-scripts/lib/site-sources.mjs';

/** @type {string} */
let folder;

beforeAll(() => {
  folder = temporaryFolder(projectRoot, 'site');
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

test('links of pages are followed, and what comes from elsewhere is told', () => {
  const site = path.join(folder, 'html');
  mkdirSync(path.join(site, 'api'), { recursive: true });
  writeFileSync(path.join(site, 'api', 'index.html'), '<h1 id="top">API</h1>');
  writeFileSync(
    path.join(site, 'index.html'),
    `<a href="api/#top">right</a> <a href="api/index.html#bottom">no anchor</a> <a href="#here">none</a>
     <a class="b" href="b.html?x=1">no page</a> <a href="https://example.org/">not followed</a>
     <script src="https://example.org/x.js"></script> <img alt="" src="data:image/png;base64,AA==">`,
  );
  expect(brokenLinks(site)).toEqual([
    'index.html: api/index.html#bottom',
    'index.html: #here',
    'index.html: b.html?x=1',
    'index.html: loads https://example.org/x.js',
  ]);
});

test('pictures without words are told', () => {
  const site = path.join(folder, 'pictures');
  mkdirSync(site, { recursive: true });
  const right = '<img alt="a > b" src="a.png">';
  const wrong = [
    '<img src="b.png">',
    '<img alt=" " src="c.png">',
    '<img alt="x/d.png" src="d.png">',
  ];
  writeFileSync(path.join(site, 'index.html'), [right, ...wrong].join(''));
  expect(poorAlts(site)).toEqual(wrong.map((tag) => `index.html: ${tag}`));
});

test('the first page leads to every page of the docs', () => {
  const index = readFileSync(path.join(projectRoot, 'docs', 'site', 'index.md'), 'utf8');
  const names = readdirSync(path.join(projectRoot, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name.slice(0, -3)}`);
  expect(names.filter((name) => !index.split('\n').includes(name))).toEqual([]);
});

test('pages are laid out at their places, units with outputs and folded solutions', async () => {
  const sources = path.join(folder, 'sources');
  await layOutSources(projectRoot, sources);
  const unit = path.join('notebooks', 'course', '05-how-it-is-inverted.ipynb');
  const { cells } = JSON.parse(readFileSync(path.join(sources, unit), 'utf8'));
  const text = JSON.stringify(cells);
  expect(text).not.toContain('HIDDEN TESTS');
  expect(text).toContain('YOUR CODE HERE');
  expect(text).toContain('{exercise} 1 ★');
  expect(text).not.toContain('../../0');
  const solution = cells.find((/** @type {any} */ { id }) => id === 'invertBlock-solution');
  expect(solution.metadata.tags).toEqual(['hide-input']);
  expect(solution.source).not.toContain('SOLUTION');
  expect(text).toMatch(/<img alt=..\w[^"]+" src=..\.\.\/\.\.\/_static\/pictures\/\w+\.png/);
  // What is downloaded is the notebook itself.
  expect(readFileSync(path.join(sources, '_static', unit), 'utf8')).toBe(
    readFileSync(path.join(projectRoot, unit), 'utf8'),
  );
  for (const file of [
    'docs/install.md',
    'results/README.md',
    'results/pictures/samples-guided.png',
  ]) {
    expect(existsSync(path.join(sources, file)), file).toBe(true);
  }
  expect(readFileSync(path.join(sources, 'charts.md'), 'utf8')).toMatch(/class="vega-chart"/);
});
