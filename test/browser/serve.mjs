import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';

const types = /** @type {Record<string, string>} */ ({
  ...{ '.html': 'text/html', '.css': 'text/css', '.wasm': 'application/wasm' },
  ...{ '.js': 'text/javascript', '.mjs': 'text/javascript' },
});

/**
 * A server of a folder on this machine.
 *
 * @param {string} folder
 */
export async function serve(folder) {
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
