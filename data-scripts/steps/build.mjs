import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { run } from '../lib/run.mjs';
import { SetupError } from '../lib/setup-error.mjs';
import { bundleForBrowsers } from '../lib/web-bundle.mjs';

/** What is compiled, each by its tsconfig: the packages first, since the library is typed by them. */
const projects = [
  { folder: path.join('packages', 'graph'), config: 'tsconfig.json', sources: ['src'] },
  { folder: path.join('packages', 'kernel'), config: 'tsconfig.json', sources: ['src'] },
  {
    folder: '',
    config: 'tsconfig.build.json',
    sources: ['src', 'workbook', path.join('packages', 'web', 'src')],
  },
].map(({ folder, config, sources }) => ({
  config: path.join(folder, config),
  dist: path.join(folder, 'dist'),
  sources: sources.map((name) => path.join(folder, name)),
}));

/**
 * Packages, library and workbook compiled to a dist/ each, where notebooks and the command line find
 * them.
 *
 * @type {import('../lib/steps.mjs').Step}
 */
export const build = {
  title: 'Build (dist/)',

  isDone({ root }) {
    const stamp = stampFile(root);
    const gradients = path.join(root, 'packages', 'graph', 'dist', 'gradients.js');
    const web = path.join(root, 'dist', 'web', 'index.js');
    const isThere = [
      stamp,
      gradients,
      web,
      ...projects.map(({ dist }) => path.join(root, dist)),
    ].every(existsSync);
    return isThere && readFileSync(stamp, 'utf8') === sourcesKey(root);
  },

  async run({ root, env }) {
    const started = Date.now();
    const key = sourcesKey(root);
    // Not node_modules/.bin/tsc: tslab brings an older TypeScript, and the two fight for that name.
    const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    for (const { config, dist } of projects) {
      const { status, output } = await run(
        process.execPath,
        [compiler, '-p', config, '--noEmitOnError'],
        { cwd: root, env },
      );
      if (status !== 0) {
        throw new SetupError(
          'The sources do not compile',
          `Repair what the compiler says below; ${dist} is as it was`,
          output.trim(),
        );
      }
      if (dist === path.join('packages', 'graph', 'dist')) {
        await bundleGradients(path.join(root, 'packages', 'graph'));
      }
      removeOlder(path.join(root, dist), started);
    }
    await bundleForBrowsers(root);
    writeFileSync(stampFile(root), key);
  },
};

/**
 * One CommonJS file of modules that the packages of TensorFlow.js have as ES modules only.
 *
 * @param {string} graph the folder of the package
 */
async function bundleGradients(graph) {
  // Before there are packages, the doctor reads this file.
  const { build: bundle } = await import('esbuild');
  await bundle({
    entryPoints: [path.join(graph, 'src', 'gradients.mjs')],
    outfile: path.join(graph, 'dist', 'gradients.js'),
    bundle: true,
    platform: 'node',
    target: 'node20',
  });
}

/** @param {string} root */
function stampFile(root) {
  return path.join(root, 'dist', 'sources.sha256');
}

/**
 * Changes with every source file's name and content, and with the compiler.
 *
 * @param {string} root
 */
function sourcesKey(root) {
  const hash = createHash('sha256');
  const sources = projects
    .flatMap((project) => project.sources)
    .flatMap((folder) =>
      readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true }),
    )
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
  const configs = projects.map(({ config }) => config);
  const settings = [...configs, 'tsconfig.json', 'package-lock.json'];
  for (const file of [...sources, ...settings.map((name) => path.join(root, name))]) {
    hash.update(`${path.relative(root, file)}\n`).update(readFileSync(file));
  }
  return hash.digest('hex');
}

/**
 * What the compiler did not write again has lost its source.
 *
 * @param {string} folder
 * @param {number} time in milliseconds
 */
function removeOlder(folder, time) {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    // Some file systems keep whole seconds only.
    if (entry.isFile() && statSync(file).mtimeMs < time - 1000) rmSync(file);
  }
}
