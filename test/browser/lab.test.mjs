import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { labOptions } from '../../data-scripts/lib/lab.mjs';
import { temporaryFolder } from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot, venvProgram } from '../../data-scripts/lib/places.mjs';
import { madeNotebook } from '../notebooks/made-notebook.mjs';
import { drawPictures } from '../own-pictures.mjs';
import { browserIsThere, launchBrowser, skipNote } from './chromium.mjs';

const minute = 60_000;

const cells = [
  `import { lineChart, showChart, showImages, showTable, startProgress, untilInterrupted } from 'tarflow/workbook';
const pause = () => new Promise((resolve) => setTimeout(resolve, 100));`,
  `const rows = [1, 2, 3, 4].map((x) => ({ x, y: x * x }));
await showChart(lineChart({ title: 'Squares', rows, x: 'x', y: 'y' }));`,
  `showTable([{ word: 'one', number: 1 }, { word: 'two', number: 2 }]);`,
  `await showImages({ data: Float32Array.from({ length: 4 * 64 }, (_, i) => Math.sin(i)), shape: [4, 1, 8, 8] });`,
  `const bar = startProgress({ title: 'Counting', total: 30 });
for (let i = 1; i <= 30; i++) {
  await pause();
  bar.update(i, { squared: i * i });
}
bar.finish('counted');`,
  `const steps = await untilInterrupted(async (signal) => {
  let step = 0;
  console.log('looping');
  while (!signal.aborted && step < 3000) {
    await pause();
    step++;
  }
  return step;
});
console.log(steps < 3000 ? 'stopped and saved' : 'never stopped');`,
  `console.log('the kernel lives, and six times seven is', 6 * 7);`,
];

/** From pictures of one's own to samples of them. */
const pictureCells = [
  `import { sample, train } from 'tarflow';
import { showImages } from 'tarflow/workbook';
const { model } = await train('mypics', { minutes: 0.01, settings: { steps: 2, validateEvery: 2 } });`,
  `const images = await sample(model, { count: 4, label: 'disc', guidance: { weight: 1 }, denoise: { sigma: 0.05 } });
await showImages(images, { title: 'Discs' });`,
];

/** Counts how often its last cell has run in its kernel. */
const sideCells = ['let me = 0;', "me++;\nconsole.log('I am', me);"];

/** @param {string} folder */
function writeNotebooks(folder) {
  mkdirSync(path.join(folder, 'work'));
  const page = path.join(projectRoot, 'notebooks', 'START.md');
  copyFileSync(page, path.join(folder, 'work', 'START.md'));
  writeFileSync(path.join(folder, 'work', 'short.ipynb'), madeNotebook(cells));
  writeFileSync(path.join(folder, 'work', 'pictures.ipynb'), madeNotebook(pictureCells));
  drawPictures(path.join(folder, 'work', 'mypics'));
  for (const side of ['left', 'right']) {
    writeFileSync(path.join(folder, 'work', `${side}.ipynb`), madeNotebook(sideCells));
  }
}

/**
 * Settings of JupyterLab: every cell on the page, whether in view or not, and no news.
 *
 * @param {string} folder
 */
function writeSettings(folder) {
  const settings = {
    'notebook-extension/tracker': { windowingMode: 'none' },
    'apputils-extension/notification': { fetchNews: 'false', checkForUpdates: false },
  };
  for (const [name, values] of Object.entries(settings)) {
    const file = path.join(folder, 'settings', '@jupyterlab', `${name}.jupyterlab-settings`);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify(values));
  }
}

/** @returns {Promise<number>} a port that nobody uses */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}

/**
 * Starts JupyterLab on a folder, without a token, for this machine only.
 *
 * @param {string} folder
 */
async function startLab(folder) {
  const port = await freePort();
  const address = `http://127.0.0.1:${port}`;
  const server = spawn(
    venvProgram(projectRoot, 'python'),
    [
      ...['-m', 'jupyterlab', '--no-browser', '--allow-root', '--ServerApp.ip=127.0.0.1'],
      ...[`--ServerApp.port=${port}`, '--ServerApp.port_retries=0', '--IdentityProvider.token='],
      ...labOptions(projectRoot, []),
      `--ServerApp.root_dir=${path.join(folder, 'work')}`,
    ],
    {
      // Nothing of the user's own JupyterLab is read or written.
      env: {
        ...process.env,
        JUPYTER_CONFIG_DIR: path.join(folder, 'config'),
        JUPYTERLAB_SETTINGS_DIR: path.join(folder, 'settings'),
        JUPYTERLAB_WORKSPACES_DIR: path.join(folder, 'workspaces'),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let log = '';
  for (const stream of [server.stdout, server.stderr]) {
    stream.on('data', (/** @type {Buffer} */ chunk) => {
      log += chunk.toString();
    });
  }
  const ended = new Promise((resolve) => server.on('close', resolve));
  const stop = async () => {
    server.kill('SIGTERM');
    const hard = setTimeout(() => server.kill('SIGKILL'), 15_000);
    await ended;
    clearTimeout(hard);
  };
  const deadline = Date.now() + 2 * minute;
  while (Date.now() < deadline && server.exitCode === null) {
    const answer = await fetch(`${address}/api/status`).catch(() => undefined);
    if (answer?.ok) return { address, stop };
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await stop();
  throw new Error(`JupyterLab did not start:\n${log}`);
}

describe('a notebook in JupyterLab', () => {
  /** @type {string} */
  let folder;
  /** @type {Awaited<ReturnType<typeof startLab>> | undefined} */
  let lab;
  /** @type {import('playwright-core').Browser | undefined} */
  let browser;
  /** @type {import('playwright-core').BrowserContext | undefined} whose pages share what one has loaded */
  let profile;

  beforeAll(async () => {
    if (!browserIsThere) return;
    folder = temporaryFolder(projectRoot, 'browser');
    writeNotebooks(folder);
    writeSettings(folder);
    lab = await startLab(folder);
    browser = await launchBrowser(['--disable-gpu']);
    profile = await browser.newContext({ viewport: { width: 1200, height: 1600 } });
  }, 4 * minute);

  afterAll(async () => {
    await browser?.close();
    await lab?.stop();
    if (folder) rmSync(folder, { recursive: true, force: true });
  }, minute);

  /**
   * A page until the test ends; one that fails says what its cells and JupyterLab show.
   *
   * @param {import('vitest').TestContext} context
   * @param {number} minutes that anything on it may take
   */
  async function newPage({ skip, onTestFinished }, minutes) {
    skip(!browserIsThere, skipNote);
    const page = await /** @type {NonNullable<typeof profile>} */ (profile).newPage();
    page.setDefaultTimeout(minutes * minute);
    onTestFinished(async ({ task }) => {
      if (task.result?.state === 'fail') {
        const shown = page.locator('.jp-InputPrompt, .jp-Cell-outputArea, .jp-Dialog');
        console.error('What is shown:', await shown.allTextContents());
      }
      await page.close();
    });
    return page;
  }

  /**
   * Opens a notebook and runs all of its cells.
   *
   * @param {import('playwright-core').Page} page
   * @param {string} name
   * @param {number} count of cells
   */
  async function runAll(page, name, count) {
    // In a workspace of its own, where no other notebook is open.
    const workspace = name.replace('.ipynb', '');
    await page.goto(`${lab?.address}/lab/workspaces/${workspace}/tree/${name}`);
    await page
      .locator('.jp-Notebook .jp-Cell')
      .nth(count - 1)
      .waitFor();
    // The kernel has been found when it is idle.
    await page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').waitFor();

    // JupyterLab drops the command while it still looks for the kernel. A quick cell may have run already.
    const begun = page.locator('.jp-InputPrompt', { hasText: /\[(\*|\d+)\]/ }).first();
    for (let attempt = 0; attempt < 5 && !(await begun.isVisible()); attempt++) {
      await page.getByRole('menuitem', { name: 'Run', exact: true }).click();
      await page.getByRole('menuitem', { name: 'Run All Cells', exact: true }).click();
      await begun.waitFor({ timeout: 10_000 }).catch(() => {});
    }
    return (/** @type {number} */ index) =>
      page.locator('.jp-Notebook .jp-Cell').nth(index).locator('.jp-Cell-outputArea');
  }

  test('begins with a page that reads well and leads to the notebooks', {
    timeout: 4 * minute,
  }, async (context) => {
    const page = await newPage(context, 2);
    await page.goto(`${lab?.address}/`);
    const start = page.locator('.jp-MarkdownViewer');
    await start.getByRole('heading', { name: 'Start here' }).waitFor();
    expect(await start.locator('td a').count()).toBeGreaterThan(10);
  });

  test("leads from a folder of one's own pictures to samples of them", {
    timeout: 8 * minute,
  }, async (context) => {
    const page = await newPage(context, 6);
    const output = await runAll(page, 'pictures.ipynb', pictureCells.length);
    await output(1).locator('img').waitFor();
  });

  test('draws a chart, a table, pictures and a progress bar; an interrupt stops the loop alone', {
    timeout: 8 * minute,
  }, async (context) => {
    const page = await newPage(context, 2);
    const output = await runAll(page, 'short.ipynb', cells.length);

    const chart = output(1).locator('.vega-embed').locator('canvas, svg').first();
    await chart.waitFor();
    const drawn = await chart.boundingBox();
    expect(drawn?.width).toBeGreaterThan(200);
    expect(drawn?.height).toBeGreaterThan(100);

    const table = output(2).locator('table');
    await table.waitFor();
    expect(await table.locator('td').allInnerTexts()).toEqual(['one', '1', 'two', '2']);

    const picture = output(3).locator('img');
    await picture.waitFor();
    const shown = await picture.boundingBox();
    expect(shown?.width).toBeGreaterThan(50);
    expect(await picture.getAttribute('src')).toMatch(/^data:image\/png/);

    // One bar, whose text changes.
    const bar = output(4);
    const texts = new Set();
    const deadline = Date.now() + 2 * minute;
    while (Date.now() < deadline) {
      const text = (await bar.textContent()) ?? '';
      if (text !== '') texts.add(text);
      if (text.includes('counted')) break;
      await page.waitForTimeout(50);
    }
    expect(texts.size).toBeGreaterThan(3);
    expect([...texts].join('\n')).toMatch(/of 30 steps · .* left/);
    expect(await bar.textContent()).toMatch(
      /^\s*Counting\s*30 steps in \d+ s · squared 900 · counted\s*$/,
    );
    expect(await bar.locator('b').count()).toBe(1);

    await output(5).getByText('looping').waitFor();
    await page.getByRole('menuitem', { name: 'Kernel', exact: true }).click();
    await page.getByRole('menuitem', { name: /^Interrupt Kernel/ }).click();
    await output(5).getByText('stopped and saved').waitFor();

    // An interrupt also takes the cells that were waiting off the queue, and for a moment after it
    // those that are added.
    const answer = output(6).getByText('six times seven is 42');
    for (let attempt = 0; attempt < 5 && !(await answer.isVisible()); attempt++) {
      await page.locator('.jp-Notebook .jp-Cell').nth(6).click();
      await page.keyboard.press('Shift+Enter');
      await answer.waitFor({ timeout: 10_000 }).catch(() => {});
    }
    expect(await answer.isVisible()).toBe(true);
  });

  test('two notebooks side by side do not meet, and a restart forgets one of them', {
    timeout: 8 * minute,
  }, async (context) => {
    const [left, right] = [await newPage(context, 2), await newPage(context, 2)];
    const outputs = {
      left: await runAll(left, 'left.ipynb', sideCells.length),
      right: await runAll(right, 'right.ipynb', sideCells.length),
    };
    await outputs.left(1).getByText('I am 1').waitFor();
    await outputs.right(1).getByText('I am 1').waitFor();
    const again = async (/** @type {import('playwright-core').Page} */ page) => {
      await page.locator('.jp-Notebook .jp-Cell').nth(1).click();
      await page.keyboard.press('Shift+Enter');
    };
    await again(left);
    await outputs.left(1).getByText('I am 2').waitFor();

    await left.getByRole('menuitem', { name: 'Kernel', exact: true }).click();
    await left.getByRole('menuitem', { name: /^Restart Kernel…/ }).click();
    await left.getByRole('button', { name: 'Confirm Kernel Restart' }).click();
    await left.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').waitFor();
    const forgotten = outputs.left(1).getByText("Cannot find name 'me'");
    for (let attempt = 0; attempt < 5 && !(await forgotten.isVisible()); attempt++) {
      await again(left);
      await forgotten.waitFor({ timeout: 10_000 }).catch(() => {});
    }
    expect(await forgotten.isVisible()).toBe(true);
    await again(right);
    await outputs.right(1).getByText('I am 2').waitFor();
  });
});
