// What Jupyter is told about the kernel. Committed JavaScript, so that it can be told before a build.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const packageFolder = path.dirname(fileURLToPath(import.meta.url));

/** Tells the kernels of this package from others'. */
const owner = '@tarflow/kernel';

/**
 * The content of `kernel.json`.
 *
 * @param {object} options
 * @param {string} options.displayName what front ends call the kernel
 * @param {string} [options.node] the program that runs it; default: the one that runs now
 * @param {string} [options.folder] that of the package; default: the one that this file is in
 */
export function kernelSpec({ displayName, node = process.execPath, folder = packageFolder }) {
  return {
    display_name: displayName,
    argv: [node, path.join(folder, 'bin.js'), '{connection_file}'],
    language: 'typescript',
    interrupt_mode: 'message',
    metadata: { debugger: false, package: owner },
  };
}

/**
 * Writes a kernel's folder: its `kernel.json`, and its pictures where it is one of this package.
 *
 * @param {string} folder of the kernel, whose name is the kernel's
 * @param {{ metadata?: { package?: string } }} spec
 */
export function writeKernel(folder, spec) {
  fs.mkdirSync(folder, { recursive: true });
  if (spec.metadata?.package === owner) {
    for (const name of ['logo-32x32.png', 'logo-64x64.png', 'logo-svg.svg']) {
      fs.copyFileSync(path.join(packageFolder, 'logo', name), path.join(folder, name));
    }
  }
  fs.writeFileSync(path.join(folder, 'kernel.json'), `${JSON.stringify(spec, null, 1)}\n`);
}

/**
 * Where kernels are registered: for all Jupyters of the user, or in one Python environment.
 *
 * @param {string} [prefix] the environment's folder
 * @param {NodeJS.ProcessEnv} [env]
 */
export function kernelsFolder(prefix, env = process.env) {
  if (prefix !== undefined) return path.resolve(prefix, 'share', 'jupyter', 'kernels');
  return path.join(env.JUPYTER_DATA_DIR || userDataFolder(env), 'kernels');
}

/**
 * Jupyter's folder of a user's data.
 * Source: https://docs.jupyter.org/en/stable/use/jupyter-directories.html
 *
 * @param {NodeJS.ProcessEnv} env
 */
function userDataFolder(env) {
  const home = os.homedir();
  if (process.platform === 'darwin') return path.join(home, 'Library', 'Jupyter');
  if (process.platform === 'win32') {
    return path.join(env.APPDATA ?? path.join(home, 'AppData', 'Roaming'), 'jupyter');
  }
  return path.join(env.XDG_DATA_HOME || path.join(home, '.local', 'share'), 'jupyter');
}

/**
 * Registers the kernel.
 *
 * @param {{ prefix?: string, name: string, displayName: string }} options
 * @returns {string} the kernel's folder
 * @throws {Error} for a name that Jupyter does not take or that another's kernel has, and where the
 *   package lies in a cache
 */
export function installKernel({ prefix, name, displayName }) {
  if (packageFolder.split(path.sep).includes('_npx')) {
    throw new Error(
      "The package lies in npx's cache, which npm may clear. " +
        'Install it first (npm install --global @tarflow/kernel), then run: tarflow-kernel install',
    );
  }
  const folder = ownFolder(prefix, name);
  writeKernel(folder, kernelSpec({ displayName }));
  return folder;
}

/**
 * Removes the kernel from where {@link installKernel} registered it.
 *
 * @param {{ prefix?: string, name: string }} options
 * @returns {string} the folder that is gone
 * @throws {Error} where there is no kernel of that name, or it is another's
 */
export function uninstallKernel({ prefix, name }) {
  const folder = ownFolder(prefix, name);
  if (!fs.existsSync(folder)) {
    throw new Error(
      `There is no kernel in ${folder}. \`jupyter kernelspec list\` says what there is; ` +
        'pass the --prefix and --name that it was installed with.',
    );
  }
  fs.rmSync(folder, { recursive: true });
  return folder;
}

/**
 * A kernel's folder, if it is free or one of this package has it.
 *
 * @param {string | undefined} prefix
 * @param {string} name
 */
function ownFolder(prefix, name) {
  if (!/^[\w.-]+$/.test(name)) {
    throw new Error(`The name is '${name}'. Expected letters, digits, '-', '.' and '_'.`);
  }
  const folder = path.join(kernelsFolder(prefix), name);
  if (fs.existsSync(folder) && readOwner(folder) !== owner) {
    throw new Error(`${folder} holds another kernel. Choose another --name.`);
  }
  return folder;
}

/** @param {string} folder */
function readOwner(folder) {
  try {
    const text = fs.readFileSync(path.join(folder, 'kernel.json'), 'utf8');
    return JSON.parse(text).metadata?.package;
  } catch {
    return undefined;
  }
}
