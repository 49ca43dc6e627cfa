import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * What `tarflow/web` is: one file of ES modules for browsers, a second one for WebGPU, which is loaded
 * where it is asked for, and TensorFlow.js's WebAssembly beside them.
 *
 * @param {string} root of a clone whose sources are compiled
 * @throws {Error} where something of Node.js is left in it, with the file that asks for it
 */
export async function bundleForBrowsers(root) {
  const { build } = await import('esbuild');
  const web = path.join(root, 'packages', 'web', 'src');
  const folder = path.join(root, 'dist', 'web');
  rmSync(folder, { recursive: true, force: true });
  const { metafile } = await build({
    entryPoints: { index: path.join(web, 'index.ts') },
    outdir: folder,
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    chunkNames: '[name]-[hash]',
    legalComments: 'none',
    // Of what else Node.js lacks, no error would say where this belongs.
    banner: { js: browsersAlone },
    define: { 'process.emitWarning': 'console.warn' },
    metafile: true,
    plugins: [forBrowsers(root, web)],
  });
  for (const [file, { imports }] of Object.entries(metafile.outputs)) {
    const left = imports.find(({ external }) => external);
    if (left) throw new Error(`${file} needs ${left.path}, which no browser has`);
  }
  const engine = path.join(root, 'node_modules', '@tensorflow', 'tfjs-backend-wasm', 'dist');
  for (const variant of ['', '-simd', '-threaded-simd']) {
    const name = `tfjs-backend-wasm${variant}.wasm`;
    copyFileSync(path.join(engine, name), path.join(folder, name));
  }
  writeFileSync(path.join(folder, 'package.json'), '{ "type": "module" }\n');
  writeFileSync(path.join(folder, 'index.d.ts'), "export * from '../packages/web/src/index.js';\n");
}

/** What each file begins with: the first that is loaded in Node.js says what to import instead. */
const browsersAlone =
  'if (globalThis.process?.versions?.node && !globalThis.window) throw new Error(' +
  `"tarflow/web is for browsers. In Node.js, import what you need from 'tarflow'.");`;

/** Modules of the library that stand for another one in a browser, and that one. */
const replaced = {
  [path.join('src', 'core', 'engine.ts')]: 'engine.ts',
  [path.join('src', 'formats', 'crc32.ts')]: 'crc32.ts',
  [path.join('src', 'models', 'registry.ts')]: 'registry.ts',
};

/** The packages that the library imports which run in a browser, too. */
const forEverywhere = ['@tensorflow/tfjs-core', 'zod'];

/**
 * Modules for browsers in the place of the library's; what else the library imports of Node and of
 * packages for it is dropped where nothing calls it.
 *
 * @param {string} root
 * @param {string} web
 * @returns {import('esbuild').Plugin}
 */
function forBrowsers(root, web) {
  const sources = ['src', path.join('packages', 'graph', 'src')].map((folder) =>
    path.join(root, folder, path.sep),
  );
  /** @param {string} file */
  const isOurs = (file) => sources.some((folder) => file.startsWith(folder));
  return {
    name: 'for browsers',
    setup({ onResolve }) {
      onResolve({ filter: /^@tarflow\/graph$/ }, () => ({ path: path.join(web, 'graph.ts') }));
      onResolve({ filter: /^\.{1,2}\// }, ({ path: asked, resolveDir }) => {
        const file = path.resolve(resolveDir, asked.replace(/\.js$/, '.ts'));
        const instead = replaced[path.relative(root, file)];
        if (instead) return { path: path.join(web, instead) };
        return isOurs(file) ? { path: file, sideEffects: false } : undefined;
      });
      // Errors are in English: the other forty languages of zod are half as large as all else.
      onResolve({ filter: /\/locales\/index\.js$/ }, ({ path: asked, resolveDir }) => ({
        path: path.resolve(resolveDir, path.dirname(asked), 'en.js'),
      }));
      onResolve({ filter: /^[^./]/ }, ({ path: asked, importer }) => {
        if (!isOurs(importer) || forEverywhere.includes(asked)) return undefined;
        return { path: asked, external: true, sideEffects: false };
      });
    },
  };
}
