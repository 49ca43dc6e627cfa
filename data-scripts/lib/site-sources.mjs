import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { readJson } from './files.mjs';

/** What becomes a page, by its path in the repository. */
const isPage = (/** @type {string} */ file) =>
  /^(README|CONTRIBUTING|CHANGELOG|SECURITY|docs\/[^/]+|notebooks\/START|results\/[^/]+|packages\/[^/]+\/[^/]+)\.md$/.test(
    file,
  ) || /^notebooks\/(course\/|reports\/)?[^/]+\.ipynb$/.test(file);

/** A file that is linked and no page is carried along up to this size. */
const mostBytes = 2e6;

/**
 * Lays out what Sphinx reads: the pages at their places in the repository, so that their links hold, what
 * they link, and what the site serves beside them.
 *
 * @param {string} root of a built clone
 * @param {string} folder that is empty
 */
export async function layOutSources(root, folder) {
  const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' });
  const pages = tracked.split('\0').filter(isPage);
  const layout = { root, folder, pages: new Set(pages) };
  for (const file of pages) {
    if (file.endsWith('.ipynb'))
      writeText(folder, file, JSON.stringify(notebookPage(layout, file)));
    else writeText(folder, file, linked(layout, file, readFileSync(path.join(root, file), 'utf8')));
  }
  appendFileSync(
    path.join(folder, 'docs', 'api.md'),
    '\n<a href="../api/index.html">Open it here.</a>\n',
  );
  const site = path.join(root, 'docs', 'site');
  for (const file of ['index.md', 'demos.md']) {
    // They stand beside the folders of the repository then.
    const text = readFileSync(path.join(site, file), 'utf8')
      .replaceAll('](../../', '](')
      .replaceAll('](../', '](docs/');
    writeText(folder, file, linked(layout, file, text));
  }
  writeText(folder, 'charts.md', await chartsPage(root, folder));
  cpSync(path.join(site, 'conf.py'), path.join(folder, 'conf.py'));
  cpSync(path.join(root, 'package.json'), path.join(folder, 'package.json'));
  copyStatic(root, path.join(folder, '_static'));
}

/**
 * @param {string} root
 * @param {string} folder
 */
function copyStatic(root, folder) {
  const site = path.join(root, 'docs', 'site');
  cpSync(path.join(site, 'static'), folder, { recursive: true });
  cpSync(path.join(site, 'demos'), path.join(folder, 'demos'), { recursive: true });
  const parts = {
    'dist/web': 'demos/tarflow-web',
    'results/checkpoints/fashion-mnist-conditional-8x2.safetensors':
      'demos/fashion-mnist-conditional-8x2.safetensors',
    'packages/kernel/logo/logo-svg.svg': 'favicon.svg',
    'node_modules/mathjax/es5/tex-svg.js': 'mathjax/tex-svg.js',
    'node_modules/vega/build/vega.min.js': 'vega/vega.min.js',
    'node_modules/vega-lite/build/vega-lite.min.js': 'vega/vega-lite.min.js',
    'node_modules/vega-embed/build/vega-embed.min.js': 'vega/vega-embed.min.js',
  };
  for (const [from, to] of Object.entries(parts)) {
    cpSync(path.join(root, from), path.join(folder, to), { recursive: true });
  }
}

/**
 * @param {string} folder
 * @param {string} file
 * @param {string} text
 */
function writeText(folder, file, text) {
  const place = path.join(folder, file);
  mkdirSync(path.dirname(place), { recursive: true });
  writeFileSync(place, text);
}

/**
 * @typedef {{ root: string, folder: string, pages: ReadonlySet<string> }} Layout
 */

/**
 * The text of a page, whose links to pages stay. A file that is linked or shown is carried along; of links
 * to folders and to code only the text stays.
 *
 * @param {Layout} layout
 * @param {string} file
 * @param {string} text
 */
function linked({ root, folder, pages }, file, text) {
  return text.replace(
    /(!?)\[((?:[^\][]|\[[^\]]*\])*)\]\((?!https?:|mailto:|#)([^)\s]+)\)/g,
    (whole, image, label, link) => {
      const [target = ''] = link.split('#');
      const place = path.posix.join(path.posix.dirname(file), decodeURI(target));
      if (pages.has(place) || ['demos.md', 'charts.md'].includes(place)) return whole;
      const from = path.join(root, place);
      const isData = /\.(png|svg|json|jsonl|txt|css)$/.test(place) && existsSync(from);
      if (!isData || statSync(from).size > mostBytes) return image ? whole : label;
      cpSync(from, path.join(folder, place), { recursive: true });
      return whole;
    },
  );
}

/**
 * A notebook as its page: reports with their code folded, units of the course with the outputs and the
 * solutions of their source.
 *
 * @param {Layout} layout
 * @param {string} file
 */
function notebookPage(layout, file) {
  const notebook = readJson(path.join(layout.root, file));
  const name = path.basename(file, '.ipynb');
  const source = path.join(layout.root, 'notebooks', 'course', 'source', name, `${name}.ipynb`);
  const solved =
    file.startsWith('notebooks/course/') && existsSync(source) ? readJson(source) : undefined;
  const cells = solved ? withSolutions(notebook.cells, solved.cells, name) : notebook.cells;
  for (const cell of cells) {
    cell.source = textOf(cell.source);
    if (cell.cell_type === 'markdown') {
      // JupyterLab leaves the capitals of headings in their anchors.
      const lower = cell.source.replace(
        /\]\((?!https?:)[^)\s]*#[^)\s]+\)/g,
        (/** @type {string} */ link) => link.replace(/#.*/, (anchor) => anchor.toLowerCase()),
      );
      cell.source = linked(layout, file, lower);
    }
    if (cell.cell_type !== 'code') continue;
    const isFolded = file.includes('/reports/') || cell.metadata.jupyter?.source_hidden;
    const { tags = [] } = cell.metadata;
    cell.metadata.tags = isFolded ? [...new Set([...tags, 'hide-input'])] : tags;
    for (const output of cell.outputs) described(layout, file, output);
  }
  cpSync(path.join(layout.root, file), path.join(layout.folder, '_static', file));
  cells.splice(1, 0, linksCell(file));
  return { ...notebook, cells };
}

/** @param {string | string[]} source */
function textOf(source) {
  return Array.isArray(source) ? source.join('') : source;
}

/**
 * Where a reader gets the notebook itself.
 *
 * @param {string} file
 */
function linksCell(file) {
  const up = '../'.repeat(file.split('/').length - 1);
  const lab = `http://localhost:8888/lab/tree/${file.replace('notebooks/', '')}`;
  return {
    ...{ cell_type: 'markdown', id: 'links-of-the-site', metadata: {} },
    source:
      `<p class="notebook-links"><a href="${up}_static/${file}" download>Download the notebook</a> · ` +
      `<a href="${lab}">Open in JupyterLab</a>, while <code>npm run lab</code> runs on your machine</p>`,
  };
}

/**
 * The students' cells with what the source printed and drew; below each blank its solution, folded.
 *
 * @param {any[]} cells
 * @param {any[]} solved of the same ids
 * @param {string} unit
 * @returns {any[]}
 */
function withSolutions(cells, solved, unit) {
  const byId = new Map(solved.map((cell) => [cell.id, cell]));
  return cells.flatMap((cell) => {
    if (cell.cell_type !== 'code')
      return [{ ...cell, source: exercises(textOf(cell.source), unit) }];
    const { source, outputs } = byId.get(cell.id);
    const solution = textOf(source);
    if (!solution.includes('// BEGIN SOLUTION')) return [{ ...cell, outputs }];
    const code = solution.replace(/^[ \t]*\/\/ (BEGIN|END) SOLUTION\n/gm, '');
    const tagged = {
      tags: ['hide-input'],
      mystnb: { code_prompt_show: 'Show a solution', code_prompt_hide: 'Hide the solution' },
    };
    return [cell, { ...cell, id: `${cell.id}-solution`, metadata: tagged, source: code, outputs }];
  });
}

/**
 * Exercises, which begin with their number and stars, as such of the site.
 *
 * @param {string} text
 * @param {string} unit
 */
function exercises(text, unit) {
  const begin = /^\*\*(\d) (★+) (.+?)\*\* /;
  const parts = text.split(/^(?=\*\*\d ★)/m).map((part) => {
    const found = begin.exec(part);
    if (!found) return part;
    const [, number, stars, title] = found;
    const head = `{exercise} ${number} ${stars} ${title}\n:nonumber:\n:label: ${unit}-${number}`;
    // Longer than what a cell may have inside.
    return `\`\`\`\`${head}\n\n${part.replace(begin, '').trimEnd()}\n\`\`\`\`\n\n`;
  });
  return parts.join('');
}

/**
 * A picture as HTML, since Sphinx leaves out what it shows; in a chart of Vega-Lite it stands where there is
 * no JavaScript.
 *
 * @param {Layout} layout
 * @param {string} page
 * @param {{ data?: Record<string, any>, metadata?: Record<string, any> }} output
 */
function described({ folder }, page, { data, metadata }) {
  if (!data?.['image/png']) return;
  const { alt: said = textOf(data['text/plain']), ...size } = metadata?.['image/png'] ?? {};
  // Less what a grid without words says of its tensor.
  const alt = said.replace(/^\[(images\][ \d×]*|chart\] )/, '');
  const png = Buffer.from(textOf(data['image/png']), 'base64');
  const picture = pictureHtml(folder, page, png, alt, size);
  const specification = data['application/vnd.vegalite.v5+json'];
  for (const type of Object.keys(data)) delete data[type];
  data['text/html'] = specification
    ? chartHtml({ ...specification, description: alt }, picture)
    : picture;
}

/**
 * @param {string} folder
 * @param {string} page
 * @param {Buffer} png
 * @param {string} alt
 * @param {{ width?: number, height?: number }} size
 */
function pictureHtml(folder, page, png, alt, { width, height }) {
  const file = `_static/pictures/${createHash('sha256').update(png).digest('hex').slice(0, 16)}.png`;
  mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
  writeFileSync(path.join(folder, file), png);
  const source = '../'.repeat(page.split('/').length - 1) + file;
  const size = width && height ? ` width="${width}" height="${height}"` : '';
  const text = alt.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');
  return `<img alt="${text}" src="${source}"${size} loading="lazy">`;
}

/**
 * @param {Record<string, any>} specification
 * @param {string} picture
 */
function chartHtml(specification, picture) {
  const json = JSON.stringify(specification).replaceAll('<', '\\u003c');
  return `<div class="vega-chart">${picture}<script type="application/json">${json}</script></div>`;
}

/**
 * A page of live charts of committed trainings.
 *
 * @param {string} root
 * @param {string} folder
 */
async function chartsPage(root, folder) {
  const built = createRequire(path.join(root, 'package.json'));
  /** @type {typeof import('../../workbook/charts/chart.js')} */
  const { chartBundle } = built('./dist/workbook/charts/chart.js');
  /** @type {typeof import('../../workbook/charts/builders.js')} */
  const { lineChart } = built('./dist/workbook/charts/builders.js');
  const charts = [
    lineChart({
      title: 'The flow of clothes learns: loss over its training',
      subtitle: 'without the constant; lower is better',
      rows: lossesOf(root, 'fashion-mnist-conditional-8x2', 'flow', { training: true }),
      ...{
        x: 'step',
        y: 'loss',
        yTitle: 'loss in nats per dimension',
        series: 'of',
        width: 560,
        height: 300,
      },
    }),
    lineChart({
      title: 'More blocks: held-out loss of small flows',
      subtitle: '3,000 steps each, three seeds a size',
      rows: [
        ['2 blocks', '2-blocks'],
        ['4 blocks', 'base'],
        ['8 blocks', '8-blocks'],
      ].flatMap(([name = '', file = '']) =>
        [1, 2, 3].flatMap((seed) =>
          lossesOf(root, `design/design-${file}-seed-${seed}`, name, { seed }),
        ),
      ),
      ...{
        x: 'step',
        y: 'loss',
        yTitle: 'loss in nats per dimension',
        series: 'of',
        detail: 'seed',
        width: 560,
        height: 300,
      },
    }),
  ].map((spec) => ({
    ...spec,
    description: typeof spec.title === 'string' ? spec.title : String(spec.title?.text ?? ''),
  }));
  const shown = charts.map(async (spec) => {
    const { bundle, size, png } = await chartBundle(spec);
    const live = bundle['application/vnd.vegalite.v5+json'] ?? {};
    return chartHtml(live, pictureHtml(folder, 'charts.md', png, spec.description, size));
  });
  return [
    '# Live charts',
    'Drawn in your browser from the committed logs of trainings (`results/training`).',
    ...(await Promise.all(shown)),
    '',
  ].join('\n\n');
}

/**
 * Losses of a training by its log: of held-out images, and of batches where they are asked for.
 *
 * @param {string} root
 * @param {string} log
 * @param {string} name
 * @param {{ training?: boolean, seed?: number }} options
 */
function lossesOf(root, log, name, { training = false, seed = 1 }) {
  const text = readFileSync(path.join(root, 'results', 'training', `${log}.jsonl`), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .flatMap(({ step, loss, validation }) => [
      ...(training && loss !== undefined ? [{ step, loss, seed, of: 'batches' }] : []),
      ...(validation
        ? [{ step, loss: validation.loss, seed, of: training ? 'held-out images' : name }]
        : []),
    ]);
}
