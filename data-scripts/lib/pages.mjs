import { createRequire } from 'node:module';
import path from 'node:path';

/**
 * Writes the pages whose generated parts are out of date.
 *
 * @param {import('./steps.mjs').Context} context whose dist/ is built
 */
export async function writePages({ root, progress }) {
  /** @type {typeof import('../../workbook/report/pages.js')} */
  const { writeGeneratedPages } = createRequire(path.join(root, 'package.json'))(
    './dist/workbook/report/pages.js',
  );
  const written = await writeGeneratedPages();
  for (const file of written) progress.note(`Written: ${path.relative(root, file)}`);
  if (written.length === 0) progress.note('The tables of results are up to date.');
}
