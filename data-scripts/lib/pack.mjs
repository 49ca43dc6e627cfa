import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { npmCommand } from '../steps/packages.mjs';
import { readJson } from './files.mjs';
import { runOrThrow } from './run.mjs';

/**
 * Packs the library, graph and kernel. What package.json says of the workbook is for clones alone, and is
 * left out of the library's: the package has no workbook.
 *
 * @param {Pick<import('./steps.mjs').Context, 'root' | 'env'>} context of a built clone
 * @param {string} folder where the tarballs go; made where it is not there
 * @returns {Promise<string[]>} the files: library, graph, kernel
 */
export async function packPackages({ root, env }, folder) {
  mkdirSync(folder, { recursive: true });
  const library = mkdtempSync(path.join(tmpdir(), 'tarflow-pack-'));
  try {
    layOutLibrary(root, library);
    const packages = [library, ...['graph', 'kernel'].map((name) => `./packages/${name}`)];
    const [npm, ...first] = npmCommand(env);
    const output = await runOrThrow(
      'Packing',
      npm,
      [...first, 'pack', '--json', '--ignore-scripts', '--pack-destination', folder, ...packages],
      { cwd: root, env },
    );
    const names = [...output.matchAll(/"filename": "([^"]+)"/g)].map(([, name = '']) => name);
    return names.map((name) => path.join(folder, path.basename(name)));
  } finally {
    rmSync(library, { recursive: true });
  }
}

/**
 * Copies what the package of the library holds.
 *
 * @param {string} root of a built clone
 * @param {string} folder
 */
export function layOutLibrary(root, folder) {
  const manifest = libraryManifest(readJson(path.join(root, 'package.json')));
  for (const place of [...manifest.files, 'README.md', 'LICENSE']) {
    cpSync(path.join(root, place), path.join(folder, place), { recursive: true });
  }
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest, null, 2));
}

/**
 * @param {any} manifest the clone's package.json
 * @returns {any} that of the packed library
 */
function libraryManifest(manifest) {
  const { exports, typesVersions, notebook, ...rest } = manifest;
  const { './workbook': _exported, ...kept } = exports;
  const { workbook: _typed, ...types } = typesVersions['*'];
  const { views: _views, ...shown } = notebook;
  for (const ofClone of ['tarflow', 'workspaces', 'scripts', 'devDependencies']) {
    delete rest[ofClone];
  }
  return { ...rest, exports: kept, typesVersions: { '*': types }, notebook: shown };
}
