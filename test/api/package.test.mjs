// The packed library, graph and kernel in a project that is nobody's clone: what `npm install` brings
// without a compiler, and with no network beyond the registry; then from an empty folder to samples of
// one's own pictures.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { folderSize } from '../../data-scripts/lib/files.mjs';
import { packPackages } from '../../data-scripts/lib/pack.mjs';
import { cacheFolder, projectRoot } from '../../data-scripts/lib/places.mjs';
import { run } from '../../data-scripts/lib/run.mjs';
import { npmCommand } from '../../data-scripts/steps/packages.mjs';
import { drawPictures } from '../own-pictures.mjs';
import { entryPoints } from './report.js';

const folder = mkdtempSync(path.join(tmpdir(), 'tarflow-package-'));
const project = path.join(folder, 'project');
const tarflow = path.join(project, 'node_modules', '.bin', 'tarflow');
const env = {
  ...process.env,
  TARFLOW_CACHE: path.join(folder, 'cache'),
  TARFLOW_BACKEND: '',
  // Where tfjs-node-gpu would download from: nobody answers there.
  TFJS_NODE_CDN_STORAGE: 'http://127.0.0.1:9/',
};

/**
 * @param {string} program
 * @param {readonly string[]} programArguments
 * @param {NodeJS.ProcessEnv} [environment]
 */
async function runThere(program, programArguments, environment = env) {
  const { status, output } = await run(program, programArguments, {
    cwd: project,
    env: environment,
  });
  expect(status, output).toBe(0);
  return output;
}

beforeAll(async () => {
  mkdirSync(project);
  const [npm, ...first] = npmCommand(env);
  const files = await packPackages({ root: projectRoot, env }, folder);
  expect(files).toHaveLength(3);
  const [library = '', graph = '', kernel = ''] = files;
  await runThere(npm, [...first, 'init', '--yes']);
  // A user has npm run the scripts of packages, whatever this project's own settings are.
  const install = [...first, 'install', '--ignore-scripts=false', '--no-audit', '--no-fund'];
  await runThere(npm, [...install, library, graph]);
  expect(folderSize(path.join(project, 'node_modules'))).toBeLessThan(150e6);
  await runThere(npm, [...install, kernel]);
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true }));

const program = `
const flow = createModel(
  { kind: 'tarflow', image: { channels: 1, height: 4, width: 4 }, patchSize: 2, channels: 8,
    blocks: 2, layersPerBlock: 1, headWidth: 8, classes: 0, volumePreserving: false },
  1,
);
const images = await sample(flow, { count: 2, seed: 3 });
console.log(engine, images.shape.join('×'));
`;

test('its package.json names no file that it lacks', async () => {
  const own = path.join(project, 'node_modules', 'tarflow');
  const text = readFileSync(path.join(own, 'package.json'), 'utf8');
  const named = [...text.matchAll(/"((?:\.\/)?(?:dist|src)\/[^"]+)"/g)].map(
    ([, file = '']) => file,
  );
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((file) => !existsSync(path.join(own, file)))).toEqual([]);
  expect(Object.keys(JSON.parse(text).exports)).not.toContain('./workbook');
});

test('samples on WebAssembly, as an ES module and as CommonJS', async () => {
  const names = '{ createModel, sample, startEngine }';
  const start = 'const { engine } = await startEngine();';
  const esModule = `import ${names} from 'tarflow';\n${start}${program}`;
  writeFileSync(path.join(project, 'own.mjs'), esModule);
  const common = `const ${names} = require('tarflow');\n(async () => { ${start}${program} })();`;
  writeFileSync(path.join(project, 'own.cjs'), common);
  for (const file of ['own.mjs', 'own.cjs']) {
    const output = await runThere(process.execPath, [file]);
    expect(output).toContain('wasm 2×1×4×4');
    expect(output).toContain('Run `npx tarflow setup native`');
  }
});

test.each([
  ['node16', 'node16'],
  ['bundler', 'esnext'],
])(
  'its types hold in strict TypeScript, those of every entry point, resolved as %s',
  async (resolution, module) => {
    // An import that is not found is an error, and one without types none where one is expected.
    const names = entryPoints().map(({ name }) => name);
    const packed = names.filter((name) => name !== 'tarflow/workbook').concat('@tarflow/graph');
    const rooms = packed.map(
      (name, i) => `import * as room${i} from '${name}';
// @ts-expect-error a module is no number
room${i} satisfies number;
`,
    );
    const source = `import { startEngine, tf } from 'tarflow';
export const engine: Promise<string> = startEngine().then((report) => report.engine);
export const image: tf.Tensor4D = tf.zeros([1, 1, 4, 4]);
// @ts-expect-error there is no such engine
export const other = startEngine({ engine: 'cuda' });
// @ts-expect-error a module for browsers is an ES module, and no number
import('tarflow/web').then(({ draw }) => draw satisfies number);
${rooms.join('')}`;
    writeFileSync(path.join(project, 'own.ts'), source);
    cpSync(
      path.join(projectRoot, 'node_modules', '@types', 'node'),
      path.join(project, 'node_modules', '@types', 'node'),
      { recursive: true },
    );
    const compiler = path.join(projectRoot, 'node_modules', 'typescript', 'bin', 'tsc');
    const options = ['--moduleResolution', resolution, '--module', module, '--target', 'es2022'];
    // The files of types themselves are checked once by day: `npm run nightly` sets TARFLOW_NIGHTLY.
    const once = resolution === 'bundler' && !process.env.TARFLOW_NIGHTLY;
    options.push('--exactOptionalPropertyTypes', once ? '--skipLibCheck' : '--skipDefaultLibCheck');
    await runThere(process.execPath, [compiler, '--noEmit', '--strict', ...options, 'own.ts']);
  },
);

test('the doctor misses nothing, and says how to add the rest', async () => {
  const output = await runThere(tarflow, ['doctor']);
  expect(output).toMatch(/engine +wasm/);
  expect(output).toContain('`npx tarflow setup native`');
  expect(output).toContain('`npx tarflow data fashion-mnist`');
  expect(output).not.toContain('✗');
});

test('the kernel registers itself', async () => {
  const bin = path.join(project, 'node_modules', '.bin', 'tarflow-kernel');
  await runThere(bin, ['install', '--prefix', path.join(folder, 'jupyter')]);
  const kernels = path.join(folder, 'jupyter', 'share', 'jupyter', 'kernels');
  const file = path.join(kernels, 'typescript', 'kernel.json');
  const [, main = ''] = JSON.parse(readFileSync(file, 'utf8')).argv;
  expect(main.startsWith(path.join(project, 'node_modules'))).toBe(true);
  expect(existsSync(main)).toBe(true);
});

/**
 * Trains on one's own pictures, and uses the run as docs/command-line.md does.
 *
 * @param {string} engine as it calls itself
 * @param {NodeJS.ProcessEnv} environment
 */
async function useOwnPictures(engine, environment) {
  const out = `runs/${engine}`;
  const there = (/** @type {string[]} */ ...words) => runThere(tarflow, words, environment);
  const minutes = ['--minutes', '0.01', '--set', 'steps=3', 'validateEvery=3'];
  const said = await there('train', '--data', 'folder:mypics', ...minutes, '--out', out);
  expect(said).toMatch(/180 train, 20 validation .*in colour/);
  expect(said).toContain(engine);
  const guided = ['--label', 'disc,square', '--guidance', '1', '--count', '4'];
  await there('sample', out, ...guided, '--denoise', '--out', `${engine}.png`);
  await there('sample', out, ...guided, '--out', `${engine}.safetensors`);
  const files = ['--in', `${engine}.safetensors`, '--out', `${engine}-clean.png`];
  await there('denoise', out, ...files, '--label', 'disc,square');
  expect(await there('bpd', out)).toMatch(/bits per dimension/);
  for (const file of [`${engine}.png`, `${engine}-clean.png`]) {
    expect(readFileSync(path.join(project, file)).subarray(1, 4).toString()).toBe('PNG');
  }
}

test("from an empty folder to samples of 200 pictures of one's own, on WebAssembly", async () => {
  drawPictures(path.join(project, 'mypics'));
  await useOwnPictures('wasm', env);
});

test.runIf(process.env.TARFLOW_NIGHTLY)(
  'the same on the native engine, once that is set up',
  async () => {
    // What was downloaded and compiled is in the user's own cache.
    const native = { ...env, TARFLOW_CACHE: cacheFolder() };
    await runThere(tarflow, ['setup', 'native'], native);
    await useOwnPictures('tensorflow', native);
  },
);
