// The packed library, graph and kernel in a project that is nobody's clone: what `npm install` brings
// without a compiler, and with no network beyond the registry.
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
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { run } from '../../data-scripts/lib/run.mjs';
import { npmCommand } from '../../data-scripts/steps/packages.mjs';
import { entryPoints } from '../api/report.js';

const folder = mkdtempSync(path.join(tmpdir(), 'tarflow-package-'));
const project = path.join(folder, 'project');
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
 */
async function runThere(program, programArguments) {
  const { status, output } = await run(program, programArguments, { cwd: project, env });
  expect(status, output).toBe(0);
  return output;
}

beforeAll(async () => {
  mkdirSync(project);
  writeFileSync(path.join(project, 'package.json'), JSON.stringify({ name: 'own', private: true }));
  const [npm, ...first] = npmCommand(env);
  const packages = ['.', './packages/graph', './packages/kernel'];
  const packed = await run(
    npm,
    [...first, 'pack', '--json', '--ignore-scripts', '--pack-destination', folder, ...packages],
    { cwd: projectRoot, env },
  );
  /** @type {string[]} */
  const files = [...packed.output.matchAll(/"filename": "([^"]+)"/g)].map(([, name]) =>
    path.join(folder, path.basename(name ?? '')),
  );
  expect(files, packed.output).toHaveLength(3);
  const [library = '', graph = '', kernel = ''] = files;
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
${rooms.join('')}`;
    writeFileSync(path.join(project, 'own.ts'), source);
    cpSync(
      path.join(projectRoot, 'node_modules', '@types', 'node'),
      path.join(project, 'node_modules', '@types', 'node'),
      { recursive: true },
    );
    const compiler = path.join(projectRoot, 'node_modules', 'typescript', 'bin', 'tsc');
    const options = ['--moduleResolution', resolution, '--module', module, '--target', 'es2022'];
    await runThere(process.execPath, [compiler, '--noEmit', '--strict', ...options, 'own.ts']);
  },
);

test('the doctor misses nothing, and says how to add the rest', async () => {
  const bin = path.join(project, 'node_modules', '.bin', 'tarflow');
  const output = await runThere(bin, ['doctor']);
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
