import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import {
  copyAtomically,
  createFolder,
  linkAtomically,
  makeFolder,
  pointsTo,
  readJson,
  requireDiskSpace,
  sameContent,
} from '../lib/files.mjs';
import { findProgram, isClone, npmPackage, venvProgram } from '../lib/places.mjs';
import { watchGrowth } from '../lib/progress.mjs';
import { runOrThrow } from '../lib/run.mjs';
import { SetupError } from '../lib/setup-error.mjs';
import { isUnpacked, unpackWheel } from '../lib/wheel.mjs';
import { npmCommand } from './packages.mjs';

/** @typedef {import('../lib/steps.mjs').Context} Context */
/** @typedef {import('../lib/steps.mjs').Step} Step */
/** @typedef {'cpu' | 'cuda'} Build */

/** The C library inside these Python wheels is what the addon runs on. */
const version = '2.21.0';

/** The wheels are made for one Python each; their C library does not depend on it. */
const wheelTarget = [
  ...['--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311'],
  ...['--platform', 'manylinux_2_27_x86_64', '--platform', 'manylinux_2_17_x86_64'],
];

const wantedEntries = [
  'tensorflow/libtensorflow_cc.so.2',
  'tensorflow/libtensorflow_framework.so.2',
  'tensorflow/include/tensorflow/c/',
  'tensorflow/include/tensorflow/core/platform/',
  'tensorflow/include/tsl/',
  'tensorflow/include/xla/tsl/c/',
];

/** @type {Record<Build, import('../lib/wheel.mjs').Wheel>} */
const wheels = {
  cpu: {
    name: 'tensorflow-cpu',
    sha256: '2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c',
    bytes: 273_829_956,
    unpackedBytes: 860e6,
    ...{ version, target: wheelTarget, entries: wantedEntries },
  },
  cuda: {
    name: 'tensorflow',
    sha256: '9056fbc9ba04235810b71ae6cbd958a196e8804fb53bbcffbf3e23b56155f124',
    bytes: 572e6,
    unpackedBytes: 2e9,
    ...{ version, target: wheelTarget, entries: wantedEntries },
  },
};

/** About 2.8 GB to download, and as much again while pip unpacks. */
const cudaLibrariesBytes = 2.8e9;

const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];

const napiLevel = 8;

/**
 * Why this machine, or its user, has no use for native TensorFlow; undefined when it has.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | undefined}
 */
export function reasonAgainstNative(env) {
  const backend = env.TARFLOW_BACKEND;
  if (backend === 'webgpu' || backend === 'wasm' || backend === 'cpu') {
    return `TARFLOW_BACKEND is ${backend}`;
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `native TensorFlow needs Linux on x86-64, and this is ${process.platform} on ${process.arch}`;
  }
  return undefined;
}

/** Where CUDA's driver and its device are: on Debian and Ubuntu, on Fedora, in Windows' WSL. */
const cudaDrivers = [
  'usr/lib/x86_64-linux-gnu/libcuda.so.1',
  'usr/lib64/libcuda.so.1',
  'usr/lib/wsl/lib/libcuda.so.1',
];
const cudaDevices = ['dev/nvidiactl', 'dev/dxg'];

/**
 * The CUDA build where a CUDA driver and its device are present, or TARFLOW_CUDA is `force`: of a machine
 * that makes an image for others, which computes on its processor.
 *
 * @param {string} [system] the folder in which the system's are
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Build}
 */
export function chosenBuild(system = '/', env = process.env) {
  if (env.TARFLOW_CUDA === 'force') return 'cuda';
  const isPresent = (/** @type {string} */ file) => existsSync(path.join(system, file));
  return cudaDrivers.some(isPresent) && cudaDevices.some(isPresent) ? 'cuda' : 'cpu';
}

/**
 * The steps towards the native engine: TensorFlow's C library in the cache, the addon compiled
 * against it and the library's own in the cache, and all joined to the npm package, whose own
 * install script would fetch a C library of 2022.
 *
 * @param {Build} build
 * @returns {Step[]}
 */
export function nativeTensorFlow(build) {
  const addons = [compileEngineAddon(build), compileOwnAddon];
  const steps = [downloadLibrary(build), ...addons, joinToPackage(build)];
  return build === 'cuda' ? [downloadCudaLibraries, ...steps] : steps;
}

/**
 * @param {string} cache
 * @param {Build} build
 */
function libraryFolder(cache, build) {
  return path.join(cache, `tensorflow-${version}-${build}`);
}

/** @param {string} root */
export function packageFolder(root) {
  return installed(root, '@tensorflow/tfjs-node-gpu');
}

/**
 * Where an npm package is, or will be.
 *
 * @param {string} root
 * @param {string} name
 */
function installed(root, name) {
  return npmPackage(root, name) ?? path.join(root, 'node_modules', name);
}

/**
 * The npm package, which npm leaves out where its own install script finds no network.
 *
 * @type {Step}
 */
export const enginePackage = {
  title: 'TensorFlow.js for Node.js',
  isDone: ({ root }) => npmPackage(root, '@tensorflow/tfjs-node-gpu') !== undefined,

  async run({ root, env }) {
    const { optionalDependencies } = readJson(path.join(root, 'package.json'));
    const packages = Object.entries(optionalDependencies).map((entry) => entry.join('@'));
    const project = isClone(root) ? root : path.resolve(root, '..', '..');
    if (!existsSync(path.join(project, 'package.json'))) {
      // npm removes from a folder whatever its package.json does not name.
      throw new SetupError(
        `${project} has no package.json`,
        'Install tarflow in a project (npm init, npm install), and run the command there',
      );
    }
    const [program, ...first] = npmCommand(env);
    await runOrThrow(
      'The installation of TensorFlow.js for Node.js',
      program,
      [...first, 'install', '--no-save', '--ignore-scripts', '--no-audit', ...packages],
      { cwd: project, env },
    );
  },
};

/**
 * @param {Build} build
 * @returns {Step}
 */
function downloadLibrary(build) {
  const wheel = wheels[build];
  return {
    title: `TensorFlow ${version} (${build === 'cuda' ? 'CUDA' : 'CPU'})`,
    isDone: ({ cache }) =>
      isUnpacked(
        libraryFolder(cache, build),
        wheel,
        libraries.map((name) => path.join('tensorflow', name)),
      ),
    run: (context) => unpackWheel(context, wheel, libraryFolder(context.cache, build)),
  };
}

/** @type {Step} */
const downloadCudaLibraries = {
  title: `CUDA libraries for TensorFlow ${version}`,

  isDone({ root, cache }) {
    const folder = cudaFolder(cache);
    const installed = path.join(folder, 'cuda.txt');
    return (
      existsSync(path.join(folder, 'nvidia')) && sameContent(cudaRequirements(root), installed)
    );
  },

  async run({ root, cache, env, progress }) {
    requireDiskSpace(cache, 2 * cudaLibrariesBytes, 'The CUDA libraries');
    await makeFolder(cudaFolder(cache), async (temporary) => {
      const scratch = path.join(temporary, 'scratch');
      mkdirSync(scratch);
      await watchGrowth(progress, temporary, cudaLibrariesBytes, () =>
        runOrThrow(
          'The download of the CUDA libraries',
          venvProgram(root, 'python'),
          [
            ...['-m', 'pip', 'install', '--no-deps', '--require-hashes', '--only-binary=:all:'],
            ...['--no-cache-dir', '--retries', '2', '--target', temporary],
            ...['-r', cudaRequirements(root)],
          ],
          { env: { ...env, TMPDIR: scratch } },
        ),
      );
      rmSync(scratch, { recursive: true });
      copyFileSync(cudaRequirements(root), path.join(temporary, 'cuda.txt'));
    });
  },
};

/**
 * The exact version of each library.
 *
 * @param {string} root
 */
function cudaRequirements(root) {
  return path.join(root, 'data-scripts', 'requirements', 'cuda.txt');
}

/** @param {string} cache */
function cudaFolder(cache) {
  return path.join(cache, `cuda-for-tensorflow-${version}`);
}

/**
 * The addon depends on TensorFlow's version and on the level of Node's native interface, not on
 * Node's version.
 *
 * @param {Build} build
 * @returns {Step}
 */
function compileEngineAddon(build) {
  return {
    title: 'TensorFlow addon for Node.js',

    isDone({ cache }) {
      return existsSync(engineAddon(cache, build));
    },

    async run(context) {
      const tensorflow = path.join(libraryFolder(context.cache, build), 'tensorflow');
      await compile('The compilation of the TensorFlow addon', context, {
        addon: engineAddon(context.cache, build),
        sources: () => filesIn(path.join(packageFolder(context.root), 'binding')),
        options: [`-I${tensorflow}/include`],
        libraries: [
          ...[`-L${tensorflow}`, ...libraries.map((name) => `-l:${name}`)],
          // Found from where joinToPackage puts the addon.
          '-Wl,-rpath,$ORIGIN/../../deps/lib',
        ],
      });
    },
  };
}

/** @type {Step} */
const compileOwnAddon = {
  title: 'Own addon for Node.js',

  isDone(context) {
    return existsSync(ownAddon(context));
  },

  async run(context) {
    await compile("The compilation of the library's own addon", context, {
      addon: ownAddon(context),
      sources: () => [ownSource(context.root)],
    });
  },
};

/**
 * @param {string} purpose
 * @param {Context} context
 * @param {object} parts
 * @param {string} parts.addon the file to make, in a folder of its own
 * @param {() => string[]} parts.sources
 * @param {string[]} [parts.options]
 * @param {string[]} [parts.libraries]
 */
async function compile(purpose, { root, env }, { addon, sources, options = [], libraries = [] }) {
  const compiler = findCompiler(env);
  if (!compiler) {
    throw new SetupError(
      'A C++ compiler is not installed, and native TensorFlow needs one',
      'Install g++ (Debian and Ubuntu: sudo apt-get install g++), then run the same command ' +
        'again; or set TARFLOW_BACKEND=wasm to do without, several times slower',
    );
  }
  const headers = path.join(installed(root, 'node-api-headers'), 'include');
  await makeFolder(path.dirname(addon), async (temporary) => {
    await runOrThrow(
      purpose,
      compiler,
      [
        ...['-std=c++17', '-O2', '-fPIC', '-shared', `-DNAPI_VERSION=${napiLevel}`],
        ...[`-DNODE_GYP_MODULE_NAME=${path.basename(addon, '.node')}`, `-I${headers}`],
        ...[...options, ...sources(), ...libraries],
        ...['-o', path.join(temporary, path.basename(addon))],
      ],
      {
        env,
        remedy:
          'The compiler says why below; set TARFLOW_BACKEND=wasm to do without native TensorFlow',
      },
    );
  });
}

/** @param {string} folder */
function filesIn(folder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.cc'))
    .map((name) => path.join(folder, name));
}

/**
 * @param {string} cache
 * @param {Build} build
 */
function engineAddon(cache, build) {
  const folder = `addon-tensorflow-${version}-${build}-napi-v${napiLevel}`;
  return path.join(cache, folder, 'tfjs_binding.node');
}

/** @param {Pick<Context, 'root' | 'cache'>} context */
function ownAddon({ root, cache }) {
  const digest = createHash('sha256')
    .update(readFileSync(ownSource(root)))
    .digest('hex');
  return path.join(cache, `addon-${digest.slice(0, 12)}-napi-v${napiLevel}`, 'tarflow.node');
}

/** @param {string} root */
function ownSource(root) {
  return path.join(installed(root, '@tarflow/graph'), 'src', 'native', 'addon.cc');
}

/** @param {NodeJS.ProcessEnv} env */
export function findCompiler(env) {
  return ['g++', 'clang++', 'c++'].map((name) => findProgram(name, env)).find(Boolean);
}

/**
 * `npm ci` wipes this step's work, and only this step's.
 *
 * @param {Build} build
 * @returns {Step}
 */
function joinToPackage(build) {
  /** @param {Context} context */
  function plan({ root, cache }) {
    const folder = packageFolder(root);
    const tensorflow = path.join(libraryFolder(cache, build), 'tensorflow');
    /** @type {[target: string, link: string][]} */
    const links = libraries.map((name) => [
      path.join(tensorflow, name),
      path.join(folder, 'deps', 'lib', name),
    ]);
    // The library looks for CUDA's in ../nvidia/*/lib, seen from its own place.
    const nvidia = path.join(folder, 'deps', 'nvidia');
    if (build === 'cuda') links.push([path.join(cudaFolder(cache), 'nvidia'), nvidia]);
    /** @type {[built: string, addon: string][]} */
    const addons = [engineAddon(cache, build), ownAddon({ root, cache })].map((built) => [
      built,
      path.join(folder, 'lib', `napi-v${napiLevel}`, path.basename(built)),
    ]);
    return { links, addons };
  }
  return {
    title: 'TensorFlow joined to its npm package',

    isDone(context) {
      const { links, addons } = plan(context);
      return (
        links.every(([target, link]) => pointsTo(link, target)) &&
        addons.every(([built, addon]) => sameContent(built, addon))
      );
    },

    async run(context) {
      const { links, addons } = plan(context);
      for (const [target, link] of links) {
        createFolder(path.dirname(link));
        linkAtomically(target, link);
      }
      for (const [built, addon] of addons) copyAtomically(built, addon);
    },
  };
}
