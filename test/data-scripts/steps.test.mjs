import { execFile, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cacheFolder, projectRoot } from '../../data-scripts/lib/places.mjs';
import { Progress } from '../../data-scripts/lib/progress.mjs';
import { run } from '../../data-scripts/lib/run.mjs';
import { build } from '../../data-scripts/steps/build.mjs';
import { fashionMnist } from '../../data-scripts/steps/fashion-mnist.mjs';
import { kernels } from '../../data-scripts/steps/jupyter.mjs';
import { npmPackages } from '../../data-scripts/steps/packages.mjs';
import { findPython } from '../../data-scripts/steps/python.mjs';
import {
  chosenBuild,
  nativeTensorFlow,
  reasonAgainstNative,
} from '../../data-scripts/steps/tensorflow.mjs';

/** @type {string} */
let folder;
/** @type {import('../../data-scripts/lib/steps.mjs').Context} */
let context;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tarflow-test-'));
  const stream = /** @type {any} */ ({ isTTY: false, write: () => true });
  context = {
    root: path.join(folder, 'root'),
    cache: path.join(folder, 'cache'),
    env: { PATH: path.join(folder, 'programs') },
    progress: new Progress(stream),
  };
  for (const place of [context.root, context.cache, path.join(folder, 'programs')]) {
    mkdirSync(place);
  }
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/**
 * A file at a path below the test's folder.
 *
 * @param {string[]} place
 * @param {string} text
 */
function write(place, text) {
  const file = path.join(folder, ...place);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

/**
 * A program that the steps find on their PATH.
 *
 * @param {string} name
 * @param {string} script for the shell
 */
function writeProgram(name, script) {
  chmodSync(write(['programs', name], `#!/bin/sh\n${script}\n`), 0o755);
}

describe('npm packages', () => {
  const locked = {
    '': { peerDependencies: { optional: '1.0.0' } },
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/other-platform': { version: '1.0.0', integrity: 'sha512-b', optional: true },
  };

  /** @param {Record<string, unknown>} installed */
  function isDoneWith(installed) {
    write(['root', 'package-lock.json'], JSON.stringify({ packages: locked }));
    write(['root', 'node_modules', '.package-lock.json'], JSON.stringify({ packages: installed }));
    return npmPackages.isDone(context);
  }

  test('are done when everything locked is there, other platforms aside', () => {
    expect(isDoneWith({ 'node_modules/a': locked['node_modules/a'] })).toBe(true);
  });

  test('stay done when the user has added an optional one', () => {
    const added = {
      'node_modules/optional': { version: '1.0.0' },
      'node_modules/optional/node_modules/its-own': { version: '1.0.0' },
    };
    expect(isDoneWith({ 'node_modules/a': locked['node_modules/a'], ...added })).toBe(true);
    const other = { 'node_modules/optional-not': { version: '1.0.0' } };
    expect(isDoneWith({ 'node_modules/a': locked['node_modules/a'], ...other })).toBe(false);
  });

  test.each([
    ['one is missing', {}],
    ['one has another version', { 'node_modules/a': { version: '2.0.0', integrity: 'sha512-a' } }],
    [
      'one was removed from the lock',
      { 'node_modules/a': locked['node_modules/a'], 'node_modules/b': { version: '1.0.0' } },
    ],
  ])('are not done when %s', (_case, installed) => {
    expect(isDoneWith(installed)).toBe(false);
  });

  test('are not done before npm has finished', () => {
    write(['root', 'package-lock.json'], JSON.stringify({ packages: locked }));
    expect(npmPackages.isDone(context)).toBe(false);
  });

  test('say what to do without npm', async () => {
    await expect(npmPackages.run(context)).rejects.toThrow('npm is not installed. Install it');
  });
});

describe('notebook kernels', () => {
  const file = (/** @type {string} */ name) =>
    path.join(context.root, '.venv', 'share', 'jupyter', 'kernels', name, 'kernel.json');

  test('are this project’s own, also as tslab, and plain tslab', async () => {
    expect(kernels.isDone(context)).toBe(false);
    await kernels.run(context);
    expect(kernels.isDone(context)).toBe(true);
    const specs = ['tarflow', 'tslab', 'tslab-plain'].map((name) =>
      JSON.parse(readFileSync(file(name), 'utf8')),
    );
    const programs = specs.map(({ argv }) => path.relative(context.root, argv[1]));
    const own = path.join('packages', 'kernel', 'bin.js');
    expect(programs).toEqual([own, own, path.join('node_modules', 'tslab', 'bin', 'tslab')]);
  });

  test('are registered again where tslab has registered itself', async () => {
    await kernels.run(context);
    writeFileSync(file('tslab'), JSON.stringify({ argv: ['tslab', 'kernel'] }));
    expect(kernels.isDone(context)).toBe(false);
  });
});

describe.skipIf(process.platform === 'win32')('Python', () => {
  test('that is missing is named', async () => {
    await expect(findPython(context.env)).rejects.toThrow(
      'Python is not installed. Install Python 3.10 or newer with venv',
    );
  });

  test('that is too old is named', async () => {
    writeProgram('python3', 'echo 3 9');
    await expect(findPython(context.env)).rejects.toThrow('Python 3.9 is too old. Install');
  });

  test('without venv is named', async () => {
    writeProgram('python3', 'echo 3 12; echo "No module named ensurepip" >&2; exit 1');
    await expect(findPython(context.env)).rejects.toThrow('Python 3.12 lacks the venv module.');
  });

  test('is found beside unsuitable ones', async () => {
    writeProgram('python3', 'echo 3 9');
    writeProgram('python3.13', 'echo 3 13');
    expect(await findPython(context.env)).toBe(path.join(folder, 'programs', 'python3.13'));
  });
});

describe('native TensorFlow', () => {
  const [, compile, compileOwn, join] = nativeTensorFlow('cpu');
  if (!compile || !compileOwn || !join) throw new Error('the steps have changed');

  beforeEach(() => {
    const source = path.join(projectRoot, 'packages', 'graph', 'src', 'native', 'addon.cc');
    write(addon, readFileSync(source, 'utf8'));
  });

  const addon = ['root', 'node_modules', '@tarflow', 'graph', 'src', 'native', 'addon.cc'];

  /** A compiler that writes its output file. */
  const compiler = 'while [ "$1" != -o ]; do shift; done; echo addon > "$2"';

  test('is left out where the user or the platform says so', () => {
    for (const engine of ['webgpu', 'wasm', 'cpu']) {
      const reason = `TARFLOW_BACKEND is ${engine}`;
      expect(reasonAgainstNative({ TARFLOW_BACKEND: engine })).toBe(reason);
    }
    const suits = process.platform === 'linux' && process.arch === 'x64';
    expect(reasonAgainstNative({}) === undefined).toBe(suits);
  });

  test('without a compiler says what to do and leaves nothing', async () => {
    await expect(compile.run(context)).rejects.toThrow(
      'A C++ compiler is not installed, and native TensorFlow needs one. Install g++',
    );
    expect(readdirSync(context.cache)).toEqual([]);
  });

  test.skipIf(process.platform === 'win32')(
    'that does not compile shows why and leaves nothing',
    async () => {
      writeProgram('g++', 'echo "tfjs_backend.cc:1: error" >&2; exit 1');
      write(
        ['root', 'node_modules', '@tensorflow', 'tfjs-node-gpu', 'binding', 'tfjs_backend.cc'],
        '',
      );
      await expect(compile.run(context)).rejects.toMatchObject({
        message: expect.stringContaining('The compilation of the TensorFlow addon failed.'),
        details: 'tfjs_backend.cc:1: error',
      });
      expect(readdirSync(context.cache)).toEqual([]);
      expect(compile.isDone(context)).toBe(false);
    },
  );

  test('is joined to its package again after npm has wiped it', async () => {
    write(['cache', 'addon-tensorflow-2.21.0-cpu-napi-v8', 'tfjs_binding.node'], 'addon');
    const installed = path.join(context.root, 'node_modules', '@tensorflow', 'tfjs-node-gpu');
    writeProgram('g++', compiler);
    await compileOwn.run(context);
    for (let round = 0; round < 2; round += 1) {
      expect(join.isDone(context)).toBe(false);
      await join.run(context);
      expect(join.isDone(context)).toBe(true);
      const addons = path.join(installed, 'lib', 'napi-v8');
      expect(readFileSync(path.join(addons, 'tfjs_binding.node'), 'utf8')).toBe('addon');
      expect(readFileSync(path.join(addons, 'tarflow.node'), 'utf8')).toBe('addon\n');
      expect(readdirSync(path.join(installed, 'deps', 'lib')).sort()).toEqual([
        'libtensorflow_cc.so.2',
        'libtensorflow_framework.so.2',
      ]);
      rmSync(installed, { recursive: true });
    }
  });

  test('is joined again when the addon was built anew', async () => {
    const place = ['cache', 'addon-tensorflow-2.21.0-cpu-napi-v8', 'tfjs_binding.node'];
    write(place, 'addon');
    writeProgram('g++', compiler);
    await compileOwn.run(context);
    await join.run(context);
    expect(join.isDone(context)).toBe(true);
    write(place, 'newer');
    expect(join.isDone(context)).toBe(false);
  });

  test.each([
    ['neither driver nor device', [], 'cpu'],
    ['a driver alone', ['usr/lib64/libcuda.so.1'], 'cpu'],
    ['a device alone', ['dev/nvidiactl'], 'cpu'],
    ['both on Debian', ['usr/lib/x86_64-linux-gnu/libcuda.so.1', 'dev/nvidiactl'], 'cuda'],
    ['both on Fedora', ['usr/lib64/libcuda.so.1', 'dev/nvidiactl'], 'cuda'],
    ['both in WSL', ['usr/lib/wsl/lib/libcuda.so.1', 'dev/dxg'], 'cuda'],
  ])('with %s of CUDA is the right build', (_case, files, expected) => {
    for (const file of files) write(['system', file], '');
    expect(chosenBuild(path.join(folder, 'system'), {})).toBe(expected);
    expect(chosenBuild(path.join(folder, 'system'), { TARFLOW_CUDA: 'force' })).toBe('cuda');
  });

  test("for CUDA brings CUDA's libraries first, and they are joined to the package too", async () => {
    const [libraries, library, , ownAddon, joinCuda] = nativeTensorFlow('cuda');
    if (!libraries || !library || !ownAddon || !joinCuda) throw new Error('the steps have changed');
    expect(libraries.title).toBe('CUDA libraries for TensorFlow 2.21.0');
    expect(library.title).toBe('TensorFlow 2.21.0 (CUDA)');

    const requirements = write(['root', 'data-scripts', 'requirements', 'cuda.txt'], 'a==1.0\n');
    expect(libraries.isDone(context)).toBe(false);
    const cuda = path.join(context.cache, 'cuda-for-tensorflow-2.21.0');
    mkdirSync(path.join(cuda, 'nvidia'), { recursive: true });
    copyFileSync(requirements, path.join(cuda, 'cuda.txt'));
    expect(libraries.isDone(context)).toBe(true);
    writeFileSync(requirements, 'a==2.0\n');
    expect(libraries.isDone(context)).toBe(false);

    write(['cache', 'addon-tensorflow-2.21.0-cuda-napi-v8', 'tfjs_binding.node'], 'addon');
    writeProgram('g++', compiler);
    await ownAddon.run(context);
    await joinCuda.run(context);
    expect(joinCuda.isDone(context)).toBe(true);
    const deps = path.join(context.root, 'node_modules', '@tensorflow', 'tfjs-node-gpu', 'deps');
    expect(readlinkSync(path.join(deps, 'nvidia'))).toBe(path.join(cuda, 'nvidia'));
    expect(readlinkSync(path.join(deps, 'lib', 'libtensorflow_cc.so.2'))).toBe(
      path.join(context.cache, 'tensorflow-2.21.0-cuda', 'tensorflow', 'libtensorflow_cc.so.2'),
    );
  });

  test('compiles the own addon anew when its source has changed', async () => {
    writeProgram('g++', compiler);
    await compileOwn.run(context);
    expect(compileOwn.isDone(context)).toBe(true);
    write(addon, '// newer');
    expect(compileOwn.isDone(context)).toBe(false);
  });
});

describe('Fashion-MNIST', () => {
  const source = path.join(cacheFolder(), 'data', 'fashion-mnist');
  /** @type {string} */
  let target;

  beforeEach(() => {
    target = path.join(context.cache, 'data', 'fashion-mnist');
    mkdirSync(target, { recursive: true });
    for (const name of readdirSync(source).filter((entry) => entry.endsWith('.gz'))) {
      copyFileSync(path.join(source, name), path.join(target, name));
    }
  });

  test('put there by hand is verified once', async () => {
    expect(fashionMnist.isDone(context)).toBe(false);
    await fashionMnist.run(context);
    expect(fashionMnist.isDone(context)).toBe(true);
    rmSync(path.join(target, 't10k-labels-idx1-ubyte.gz'));
    expect(fashionMnist.isDone(context)).toBe(false);
  });

  test.each([
    ['cut short', (/** @type {Buffer} */ bytes) => bytes.subarray(0, 1000)],
    ['no gzip file', () => Buffer.from('<html>Not found</html>')],
  ])('with a file that is %s is refused, and the file is named', async (_case, spoil) => {
    const file = path.join(target, 't10k-labels-idx1-ubyte.gz');
    writeFileSync(file, spoil(readFileSync(file)));
    await expect(fashionMnist.run(context)).rejects.toThrow(
      `${file} is damaged, or is not Fashion-MNIST's t10k-labels-idx1-ubyte.gz. Delete it`,
    );
    expect(fashionMnist.isDone(context)).toBe(false);
  });
});

describe('the build', () => {
  const graph = ['root', 'packages', 'graph', 'src', 'index.ts'];

  beforeEach(() => {
    symlinkSync(path.join(projectRoot, 'node_modules'), path.join(context.root, 'node_modules'));
    for (const name of ['tsconfig.build.json', 'package-lock.json']) {
      cpSync(path.join(projectRoot, name), path.join(context.root, name));
    }
    // The compiler reads no types that these sources do not need.
    const settings = JSON.parse(readFileSync(path.join(projectRoot, 'tsconfig.json'), 'utf8'));
    Object.assign(settings.compilerOptions, { types: [], lib: ['ES5'] });
    write(['root', 'tsconfig.json'], JSON.stringify(settings));
    write(['root', 'package.json'], JSON.stringify({ type: 'commonjs' }));
    for (const name of ['graph', 'kernel']) {
      const config = path.join('packages', name, 'tsconfig.json');
      write(['root', config], readFileSync(path.join(projectRoot, config), 'utf8'));
      write(['root', 'packages', name, 'src', 'index.ts'], 'export const answer: number = 42;\n');
    }
    write(['root', 'packages', 'graph', 'src', 'gradients.mjs'], 'export {};');
    write(['root', 'packages', 'web', 'src', 'index.ts'], 'export const answer: number = 42;\n');
    write(['root', 'src', 'index.ts'], 'export const answer: number = 42;\n');
    write(['root', 'workbook', 'index.ts'], "export { answer } from '../src/index.js';\n");
  });

  test('is repeated when a source is changed, added or removed, or what was built is gone', async () => {
    const dist = path.join(context.root, 'dist', 'src');
    expect(build.isDone(context)).toBe(false);
    write(['root', 'src', 'extra.ts'], 'export const extra = 1;\n');
    await build.run(context);
    expect(build.isDone(context)).toBe(true);
    const built = ['dist/src/extra.js', 'dist/workbook/index.js', 'packages/kernel/dist/index.js'];
    for (const name of built) expect(existsSync(path.join(context.root, name)), name).toBe(true);
    rmSync(path.join(context.root, 'packages', 'graph', 'dist'), { recursive: true });
    expect(build.isDone(context)).toBe(false);

    rmSync(path.join(context.root, 'src', 'extra.ts'));
    expect(build.isDone(context)).toBe(false);
    // What the first build wrote is old by the time of the second.
    const longAgo = new Date(Date.now() - 3_600_000);
    for (const name of readdirSync(dist)) utimesSync(path.join(dist, name), longAgo, longAgo);
    await build.run(context);
    expect(readdirSync(dist).sort()).toEqual(['index.d.ts', 'index.js', 'index.js.map']);

    // One that fails names the error, and keeps what is built.
    for (const [source, name] of [
      [['root', 'src', 'index.ts'], 'dist/src/index.js'],
      [graph, 'packages/graph/dist/index.js'],
    ]) {
      const file = path.join(context.root, /** @type {string} */ (name));
      const before = readFileSync(file, 'utf8');
      write(/** @type {string[]} */ (source), "export const answer: number = 'x';\n");
      expect(build.isDone(context)).toBe(false);
      await expect(build.run(context)).rejects.toMatchObject({
        message: expect.stringContaining('The sources do not compile.'),
        details: expect.stringContaining("Type 'string' is not assignable to type 'number'"),
      });
      expect(readFileSync(file, 'utf8')).toBe(before);
      expect(build.isDone(context)).toBe(false);
    }
  });
});

describe('of several processes that share a cache', () => {
  /** Runs a step in processes of their own, each of which counts as one that did it. */
  const inProcesses = async (/** @type {number} */ count) => {
    const script = path.join(folder, 'step.mjs');
    const steps = pathToFileURL(path.join(import.meta.dirname, '../../data-scripts/lib/steps.mjs'));
    writeFileSync(
      script,
      `import { runSteps } from '${steps}';
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
const [made, log] = process.argv.slice(2);
const step = {
  title: 'A step', isDone: () => existsSync(made),
  async run() {
    appendFileSync(log, 'begun ');
    await new Promise((resolve) => setTimeout(resolve, 300));
    writeFileSync(made, '');
    appendFileSync(log, 'done ');
  },
};
const progress = { start() {}, finish() {}, fail() {} };
await runSteps([step], { cache: ${JSON.stringify(context.cache)}, progress });`,
    );
    const [made, log] = [path.join(folder, 'made'), path.join(folder, 'log')];
    const run = promisify(execFile);
    await Promise.all(
      Array.from({ length: count }, () => run(process.execPath, [script, made, log])),
    );
    return readFileSync(log, 'utf8');
  };

  test('one runs a step, and the others wait', async () => {
    expect(await inProcesses(6)).toBe('begun done ');
    expect(readdirSync(path.join(context.cache, 'locks'))).toEqual([]);
  });

  test('one takes over from a process that has ended', async () => {
    const { pid } = spawnSync(process.execPath, ['--version']);
    write(['cache', 'locks', 'A-step'], String(pid));
    expect(await inProcesses(4)).toBe('begun done ');
  });
});

describe('before anything is installed or built', () => {
  beforeEach(() => {
    for (const name of ['data-scripts', 'src', 'workbook', 'packages']) {
      const isSource = (/** @type {string} */ file) => !/(node_modules|dist)$/.test(file);
      cpSync(path.join(projectRoot, name), path.join(context.root, name), {
        recursive: true,
        filter: isSource,
      });
    }
    const settings = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];
    for (const name of settings) {
      cpSync(path.join(projectRoot, name), path.join(context.root, name));
    }
  });

  /** @param {string[]} programArguments */
  function tarflow(...programArguments) {
    const bin = path.join(context.root, 'src', 'cli', 'bin.js');
    return run(process.execPath, [bin, ...programArguments], {
      env: { ...process.env, TARFLOW_CACHE: context.cache, TARFLOW_BACKEND: 'wasm' },
    });
  }

  test('`tarflow doctor` names what is missing, each with a remedy', async () => {
    const { status, output } = await tarflow('doctor', '--json');
    expect(status).toBe(1);
    const report = JSON.parse(output);
    expect(report.healthy).toBe(false);
    const remedies = Object.fromEntries(
      report.findings.map((/** @type {{ name: string, remedy?: string }} */ finding) => [
        finding.name,
        finding.remedy,
      ]),
    );
    const setUp = 'Run `npm run setup`';
    expect(remedies).toMatchObject({
      engine: setUp,
      'npm packages': setUp,
      JupyterLab: setUp,
      'notebook kernels': setUp,
      'Fashion-MNIST': 'Run `npx tarflow data fashion-mnist`',
      build: setUp,
    });
    expect(remedies['Node.js']).toBeUndefined();
  });

  test('a cache folder that cannot be written is named, with what to do', async () => {
    const bin = path.join(context.root, 'src', 'cli', 'bin.js');
    const cache = path.join(bin, 'cache');
    const env = { ...process.env, TARFLOW_CACHE: cache, TARFLOW_BACKEND: 'wasm' };
    const { output } = await run(process.execPath, [bin, 'doctor', '--json'], { env });
    /** @type {{ name: string, value: string, remedy?: string }[]} */
    const findings = JSON.parse(output).findings;
    const found = findings.find(({ name }) => name === 'cache');
    expect(found?.value).toContain(`${cache} cannot be written`);
    expect(found?.remedy).toContain('TARFLOW_CACHE=FOLDER');
  });

  test('every other command says what to run', async () => {
    const { status, output } = await tarflow('sample');
    expect(status).toBe(2);
    expect(output).toMatch(/^tarflow is not built yet\. Run `npm run setup`[^\n]*\n$/);
  });

  test('a wrong argument to the doctor is the user’s mistake', async () => {
    const { status, output } = await tarflow('doctor', '--jsno');
    expect(status).toBe(2);
    expect(output).toContain("Unknown option '--jsno'");
  });
});

test('after set-up, `tarflow doctor` finds nothing missing', async () => {
  const bin = path.join(projectRoot, 'src', 'cli', 'bin.js');
  const { output } = await run(process.execPath, [bin, 'doctor', '--json']);
  const { findings } = JSON.parse(output);
  // While somebody edits the sources the build is behind them; everything else stands.
  const missing = findings.filter(
    (/** @type {{ name: string, remedy?: string }} */ { name, remedy }) =>
      remedy !== undefined && name !== 'build',
  );
  expect(missing).toEqual([]);
});

test.each(['jupyter', 'course', 'site'])(
  'what %s.in names is pinned by hash in its list',
  (name) => {
    const read = (/** @type {string} */ ending) =>
      readFileSync(
        path.join(projectRoot, 'data-scripts', 'requirements', `${name}.${ending}`),
        'utf8',
      );
    const named = read('in').match(/^[\w.-]+==\S+/gm) ?? [];
    expect(named.length).toBeGreaterThan(5);
    const plain = (/** @type {string} */ pin) => pin.toLowerCase().replaceAll('_', '-');
    const pins = read('txt').match(/^[\w.-]+==\S+(?=[^\n]*\\\n +--hash=sha256:)/gm) ?? [];
    expect(pins.map(plain)).toEqual(expect.arrayContaining(named.map(plain)));
  },
);
