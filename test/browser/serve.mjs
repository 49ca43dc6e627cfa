import { rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { temporaryFolder } from '../../data-scripts/lib/notebooks.mjs';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { browserIsThere, launchBrowser, skipNote } from './chromium.mjs';

const types = /** @type {Record<string, string>} */ ({
  ...{ '.html': 'text/html', '.css': 'text/css', '.wasm': 'application/wasm' },
  ...{ '.js': 'text/javascript', '.mjs': 'text/javascript' },
});

/**
 * A server of a folder on this machine.
 *
 * @param {string} folder
 */
async function serve(folder) {
  const server = createServer(async ({ url = '/' }, answer) => {
    const file = path.join(folder, url === '/' ? 'index.html' : url);
    const content = await readFile(file).catch(() => undefined);
    answer.writeHead(content ? 200 : 404, { 'content-type': types[path.extname(file)] ?? '' });
    answer.end(content);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { address: `http://127.0.0.1:${port}/`, close: () => server.close() };
}

/**
 * Pages of a folder in Chromium, while the tests of a file run.
 *
 * @param {string} name of the folder
 * @param {(folder: string) => Promise<void> | void} fill
 */
export function servedFolder(name, fill) {
  let [folder, address] = ['', ''];
  let close = () => {};
  /** @type {import('playwright-core').Browser | undefined} */
  let browser;
  beforeAll(async () => {
    if (!browserIsThere) return;
    folder = temporaryFolder(projectRoot, name);
    await fill(folder);
    ({ address, close } = await serve(folder));
    browser = await launchBrowser(['--disable-gpu']);
  });
  afterAll(async () => {
    await browser?.close();
    close();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });
  return {
    folder: () => folder,
    address: () => address,
    /**
     * @param {import('vitest').TestContext} context
     * @param {string} [file]
     * @param {import('playwright-core').BrowserContextOptions} [options]
     */
    async open({ skip }, file = '', options = {}) {
      skip(!browserIsThere, skipNote);
      const page = await /** @type {NonNullable<typeof browser>} */ (browser).newPage(options);
      await page.goto(address + file);
      return page;
    },
  };
}
