// npx tarflow doctor [--json]: what this machine has of what the project needs, with a remedy for
// each thing missing. Needs Node.js alone, so that it works before anything is installed.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { folderSize, formatBytes, readJson } from '../lib/files.mjs';
import { findProgram, isClone, npmPackage, projectRoot, venvProgram } from '../lib/places.mjs';
import { findMpi } from '../lib/processes.mjs';
import { run } from '../lib/run.mjs';
import { ArgumentError, oldestNode, SetupError } from '../lib/setup-error.mjs';
import { newContext } from '../lib/steps.mjs';
import { emoji } from '../steps/emoji.mjs';
import { fashionMnist } from '../steps/fashion-mnist.mjs';
import { mnistSubset } from '../steps/mnist-subset.mjs';
import { reasonAgainstOpenMpi } from '../steps/openmpi.mjs';
import { npmPackages } from '../steps/packages.mjs';
import { findPython, pythonEnvironment } from '../steps/python.mjs';
import { chosenBuild, findCompiler, reasonAgainstNative } from '../steps/tensorflow.mjs';

/**
 * @typedef {object} Finding
 * @property {string} name
 * @property {string} value what was found
 * @property {string} [remedy] what to do, present when something is missing
 * @property {string} [hint] what to do, present when something is missing that is optional
 */

const setUpRemedy = isClone(projectRoot)
  ? 'Run `npm run setup`'
  : 'Run `npm install`, and `npx tarflow setup native` for the native engine';

/**
 * @param {string[]} programArguments
 * @returns {Promise<number>} exit code: 0 when nothing is missing, 1 when something is
 * @throws {ArgumentError} for a wrong argument
 */
export async function doctor(programArguments) {
  let json;
  try {
    const { values } = parseArgs({
      args: programArguments,
      options: { json: { type: 'boolean', default: false }, help: { type: 'boolean' } },
    });
    if (values.help) {
      console.log('Usage: tarflow doctor [--json]\n\nShows what this machine has and lacks.');
      return 0;
    }
    json = values.json;
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    throw new ArgumentError(message.replace(/\.$/, ''), 'Usage: tarflow doctor [--json]');
  }

  const findings = await examine();
  const healthy = findings.every(({ remedy }) => remedy === undefined);
  if (json) {
    console.log(JSON.stringify({ healthy, findings }, null, 2));
  } else {
    const width = Math.max(...findings.map(({ name }) => name.length));
    for (const { name, value, remedy, hint } of findings) {
      const mark = remedy ? '✗' : hint ? '–' : '✓';
      console.log(`${mark} ${name.padEnd(width)}  ${value}`);
      if (remedy ?? hint) console.log(`  ${' '.repeat(width)}  → ${remedy ?? hint}`);
    }
  }
  return healthy ? 0 : 1;
}

/** @returns {Promise<Finding[]>} */
async function examine() {
  const context = newContext();
  const { root, cache, env } = context;
  return [
    ...(await examineEngine(root, env)),
    await examineWebGpu(root, env),
    await examineMpi(context),
    examineThreads(env),
    examineNode(),
    ...(isClone(root) ? await examineClone(context) : []),
    ...Object.entries(optionalData(root)).map(([name, step]) =>
      step.isDone(context)
        ? { name, value: 'complete (optional)' }
        : {
            name,
            value: 'not fetched (optional)',
            hint: `Where you need it, run \`npx tarflow data ${name}\``,
          },
    ),
    examineCache(cache),
  ];
}

/**
 * Whether the cache folder can be written: by a folder in it, which goes again.
 *
 * @param {string} cache
 * @returns {Finding}
 */
function examineCache(cache) {
  const name = 'cache';
  try {
    const made = mkdirSync(cache, { recursive: true });
    const probe = mkdtempSync(path.join(cache, 'doctor-'));
    rmSync(made ?? probe, { recursive: true });
    return { name, value: `${cache} (${formatBytes(folderSize(cache))})` };
  } catch (error) {
    const value = `${cache} cannot be written (${/** @type {Error} */ (error).message})`;
    const remedy =
      'Make it a folder that you can write to, or name another one by TARFLOW_CACHE=FOLDER';
    return { name, value, remedy };
  }
}

/**
 * @param {string} root
 * @returns {Record<string, import('../lib/steps.mjs').Step>}
 */
function optionalData(root) {
  const own = { 'mnist-10k-subset': mnistSubset };
  return isClone(root) ? { ...own, emoji } : { 'fashion-mnist': fashionMnist, ...own };
}

/**
 * What a clone of the project needs beside what its package does.
 *
 * @param {import('../lib/steps.mjs').Context} context
 * @returns {Promise<Finding[]>}
 */
async function examineClone(context) {
  const { root, env } = context;
  // The package has no part of these.
  const { build } = await import('../steps/build.mjs');
  const { jupyterLab, kernels } = await import('../steps/jupyter.mjs');
  return [
    await examineNpm(env),
    await examineCompiler(env),
    await examinePython(env),
    done('npm packages', npmPackages.isDone(context), 'installed', 'not installed'),
    done(
      'JupyterLab',
      pythonEnvironment.isDone(context) && jupyterLab.isDone(context),
      venvProgram(root, 'jupyter-lab'),
      'not installed',
    ),
    done(
      'notebook kernels',
      kernels.isDone(context),
      'registered in .venv',
      'not registered in .venv',
    ),
    done(
      'Fashion-MNIST',
      fashionMnist.isDone(context),
      'complete',
      'missing',
      'Run `npx tarflow data fashion-mnist`',
    ),
    done(
      'build',
      build.isDone(context),
      'dist/ is current',
      'dist/ is missing or older than its sources',
    ),
  ];
}

/**
 * @param {string} name
 * @param {boolean} isDone
 * @param {string} yes
 * @param {string} no
 * @param {string} [remedy]
 * @returns {Finding}
 */
function done(name, isDone, yes, no, remedy = setUpRemedy) {
  return isDone ? { name, value: yes } : { name, value: no, remedy };
}

/**
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Finding[]>}
 */
async function examineEngine(root, env) {
  const withoutNative = reasonAgainstNative(env);
  if (withoutNative) {
    const engine = env.TARFLOW_BACKEND || 'wasm';
    // It has a line of its own.
    if (engine === 'webgpu') return [{ name: 'engine', value: `webgpu (${withoutNative})` }];
    const folder = npmPackage(root, `@tensorflow/tfjs-backend-${engine}`);
    const version = folder && readJson(path.join(folder, 'package.json'))?.version;
    return [
      version
        ? { name: 'engine', value: `${engine}, TensorFlow.js ${version} (${withoutNative})` }
        : { name: 'engine', value: `${engine} is not installed`, remedy: setUpRemedy },
    ];
  }
  const probe = path.join(root, 'data-scripts', 'lib', 'probe-engine.cjs');
  const { status, output } = await run(process.execPath, [probe], { cwd: root, env });
  const lines = output.trim().split('\n');
  if (status !== 0) {
    const reason =
      lines.find((line) => /^\w*Error: /.test(line)) ?? lines.at(-1) ?? 'it said nothing';
    const value = `wasm, because native TensorFlow does not load: ${reason}`;
    const hint = 'For the native engine, several times faster, run `npx tarflow setup native`';
    return [{ name: 'engine', value, ...(isClone(root) ? { remedy: setUpRemedy } : { hint }) }];
  }
  const report = JSON.parse(lines.find((line) => line.startsWith('{')) ?? '{}');
  /** @type {Finding[]} */
  const findings = [{ name: 'engine', value: `native TensorFlow ${report.version}` }];
  if (report.gpu) {
    findings.push(
      { name: 'devices', value: `CPU, CUDA: ${await cudaDevices(env)}` },
      ...cudaOptions(env),
    );
  } else if (chosenBuild('/', env) === 'cuda') {
    findings.push({
      name: 'devices',
      value:
        env.TARFLOW_CUDA === 'force'
          ? 'CPU, with the CUDA build (TARFLOW_CUDA)'
          : 'CPU; a CUDA driver is present, but TensorFlow does not use it',
      ...(env.TARFLOW_CUDA !== 'force' && { remedy: `${setUpRemedy}, and look at \`nvidia-smi\`` }),
    });
  } else {
    findings.push({ name: 'devices', value: 'CPU (no CUDA driver)' });
  }
  return findings;
}

/** @param {NodeJS.ProcessEnv} env */
async function cudaDevices(env) {
  const { status, output } = await run(
    'nvidia-smi',
    ['--query-gpu=name,driver_version', '--format=csv,noheader'],
    { env },
  );
  return status === 0 ? output.trim().split('\n').join('; ') : 'in use';
}

/**
 * What TensorFlow does on a CUDA device unless the environment says otherwise.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {Finding[]}
 */
function cudaOptions(env) {
  const { NVIDIA_TF32_OVERRIDE, TF_FORCE_GPU_ALLOW_GROWTH, TF_DETERMINISTIC_OPS } = env;
  /** @param {string | undefined} value */
  const isOn = (value) => /^(1|true)$/i.test(value ?? '');
  return [
    {
      name: 'float32 on CUDA',
      value:
        NVIDIA_TF32_OVERRIDE === '0'
          ? 'in full (NVIDIA_TF32_OVERRIDE=0)'
          : 'matrix products in TF32 on Ampere and newer (NVIDIA_TF32_OVERRIDE=0 computes in full)',
    },
    {
      name: 'memory on CUDA',
      value: isOn(TF_FORCE_GPU_ALLOW_GROWTH)
        ? 'grows with need (TF_FORCE_GPU_ALLOW_GROWTH)'
        : 'all of the device from the start (TF_FORCE_GPU_ALLOW_GROWTH=true takes it with need)',
    },
    {
      name: 'equal bits on CUDA',
      value: isOn(TF_DETERMINISTIC_OPS)
        ? 'yes (TF_DETERMINISTIC_OPS)'
        : 'not promised (TF_DETERMINISTIC_OPS=1 does, slower)',
    },
  ];
}

/**
 * The optional engine for graphics processors without CUDA.
 *
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Finding>}
 */
async function examineWebGpu(root, env) {
  const name = 'WebGPU';
  /** @type {Record<string, string>} */
  const packages = readJson(path.join(root, 'package.json')).peerDependencies;
  const wanted = Object.entries(packages).map(([title, version]) => `${title}@${version}`);
  const install = `\`npm install --no-save --save-prod ${wanted.join(' ')}\``;
  // Missing, it is only a fault where it was asked for.
  const isAsked = env.TARFLOW_BACKEND === 'webgpu';
  const installed = Object.keys(packages).every((title) => npmPackage(root, title));
  if (!installed) {
    return isAsked
      ? { name, value: 'not installed', remedy: `Run ${install}` }
      : {
          name,
          value: 'not installed (optional, 0.15 GB)',
          hint: `For a graphics processor without CUDA run ${install}`,
        };
  }
  const probe = path.join(root, 'data-scripts', 'lib', 'probe-webgpu.mjs');
  const { output } = await run(process.execPath, [probe], { cwd: root, env });
  const lines = output.trim().split('\n');
  const { device, software } = JSON.parse(lines.find((line) => line.startsWith('{')) ?? '{}');
  if (device) return { name, value: `${device}${software ? ' (software: right, but slow)' : ''}` };
  const remedy =
    'Install a Vulkan driver for your graphics processor (Debian and Ubuntu: libvulkan1 and ' +
    'mesa-vulkan-drivers, which also bring a software device)';
  const value = 'installed, but there is no graphics device';
  return isAsked ? { name, value, remedy } : { name, value, hint: remedy };
}

/**
 * What several processes train by: the system's MPI, or the one that is fetched.
 *
 * @param {import('../lib/steps.mjs').Context} context
 * @returns {Promise<Finding>}
 */
async function examineMpi(context) {
  const { root, env } = context;
  const name = 'MPI';
  if (!npmPackage(root, 'koffi')) {
    const value = 'the npm package koffi, which calls it, is not installed (optional)';
    return { name, value, hint: setUpRemedy };
  }
  const found = findMpi(env);
  if (found) {
    const { output } = await run(found.mpirun, ['--version'], { env });
    const version = /(?:Open MPI\)?|Version:) *v?([\d.]+)/.exec(output);
    const kind = /Open MPI/.test(output) ? 'Open MPI' : 'MPICH';
    return { name, value: `${version ? `${kind} ${version[1]}` : 'found'} (${found.mpirun})` };
  }
  const hint = reasonAgainstOpenMpi()
    ? 'To train in several processes, install an MPI with its mpirun'
    : 'To train in several processes, run `npx tarflow setup mpi` (7 MB)';
  return { name, value: 'none (optional)', hint };
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {Finding}
 */
function examineThreads(env) {
  /** @param {string} variable */
  const threads = (variable) =>
    env[variable]
      ? `${env[variable]} (${variable})`
      : `${availableParallelism()} (set ${variable})`;
  const [within, beside] = ['TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS'].map(threads);
  return {
    name: 'threads',
    value: `${within} within an operation, ${beside} for those side by side`,
  };
}

/** @returns {Finding} */
function examineNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldestMajor, oldestMinor] = oldestNode;
  const recent = major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
  return done(
    'Node.js',
    recent,
    process.versions.node,
    `${process.versions.node} is too old`,
    `Install Node.js ${oldestNode.join('.')} or newer`,
  );
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Finding>}
 */
async function examineNpm(env) {
  const npm = findProgram('npm', env);
  const version = npm && (await run(npm, ['--version'], { env })).output.trim();
  return done('npm', version !== undefined, `${version}`, 'not installed', 'Install npm');
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Finding>}
 */
async function examineCompiler(env) {
  const compiler = findCompiler(env);
  if (compiler) {
    const { output } = await run(compiler, ['--version'], { env });
    return { name: 'C++ compiler', value: output.split('\n')[0] ?? compiler };
  }
  if (reasonAgainstNative(env)) return { name: 'C++ compiler', value: 'none, and none is needed' };
  return {
    name: 'C++ compiler',
    value: 'not installed',
    remedy: 'Install g++ (Debian and Ubuntu: sudo apt-get install g++)',
  };
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<Finding>}
 */
async function examinePython(env) {
  try {
    const python = await findPython(env);
    const { output } = await run(python, ['--version'], { env });
    return { name: 'Python', value: `${output.trim()} (${python})` };
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    return { name: 'Python', value: error.problem, remedy: error.remedy };
  }
}
