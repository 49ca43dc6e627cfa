import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';

const root = path.resolve(__dirname, '../..');

/** Starts an engine in a process of its own, with a package broken or hidden if asked. */
function start(
  environment: Record<string, string>,
  { broken = false, hidden = '' }: { broken?: boolean; hidden?: string } = {},
) {
  const hiding = `
    const hooks = \`export async function resolve(name, context, next) {
      if (name !== '${hidden}') return next(name, context);
      throw Object.assign(new Error('hidden'), { code: 'ERR_MODULE_NOT_FOUND' });
    }\`;
    require('node:module').register('data:text/javascript,' + encodeURIComponent(hooks));`;
  const breaking = `
    const Module = require('node:module');
    const load = Module._load;
    Module._load = function (name, ...rest) {
      if (name === '@tensorflow/tfjs-node-gpu') throw new Error('no native half');
      return load.call(this, name, ...rest);
    };`;
  const script = `
    ${broken ? breaking : ''}
    ${hidden ? hiding : ''}
    const { startEngine, currentEngine } = require('./src/core/engine.ts');
    const { tf } = require('./src/core/tf.ts');
    (async () => {
      const early = (() => { try { currentEngine(); } catch (error) { return error.name; } })();
      const first = await startEngine();
      const second = await startEngine();
      const sum = tf.sum(tf.tensor1d([1, 2, 3])).dataSync()[0];
      console.log(JSON.stringify({ early, first, same: first === second, sum }));
    })().catch((error) => { console.error(error.name + ': ' + error.message); process.exit(9); });`;
  const { TARFLOW_BACKEND: _, ...inherited } = process.env;
  const result = spawnSync(process.execPath, ['--import', 'tsx', '-e', script], {
    cwd: root,
    env: { ...inherited, ...environment },
    encoding: 'utf8',
  });
  const line = result.stdout.split('\n').find((text) => text.startsWith('{'));
  return { ...result, outcome: line === undefined ? undefined : JSON.parse(line) };
}

describe('the engine that runs', () => {
  test.each(['wasm', 'cpu'])('TARFLOW_BACKEND=%s chooses it', (engine) => {
    const { outcome } = start({ TARFLOW_BACKEND: engine });
    expect(outcome).toMatchObject({ early: 'UserError', same: true, sum: 6 });
    expect(outcome.first.engine).toBe(engine);
  });

  test('without the native half it is wasm, and that is said once, with the remedy', () => {
    const { outcome, stderr } = start({}, { broken: true });
    expect(outcome).toMatchObject({ same: true, sum: 6 });
    expect(outcome.first.engine).toBe('wasm');
    expect(outcome.first.fallback).toContain('npx tarflow setup native');
    expect(stderr.match(/WebAssembly/g)).toHaveLength(1);
  });

  test('asked for by name and not there, it is an error and not another engine', () => {
    const { status, stderr } = start({ TARFLOW_BACKEND: 'tensorflow' }, { broken: true });
    expect(status).toBe(9);
    expect(stderr).toMatch(/UserError: .*no native half.*npx tarflow setup native/);
  });

  test('an unknown name is refused with the names there are', () => {
    const { status, stderr } = start({ TARFLOW_BACKEND: 'cuda' });
    expect(status).toBe(9);
    expect(stderr).toMatch(
      /UserError: Unknown engine of TARFLOW_BACKEND 'cuda'.*tensorflow, webgpu, wasm, cpu/,
    );
  });

  test('webgpu without its package says how to install what it needs', () => {
    const { status, stderr } = start({ TARFLOW_BACKEND: 'webgpu' }, { hidden: 'webgpu' });
    expect(status).toBe(9);
    expect(stderr).toMatch(/UserError: .*needs the npm package webgpu, which is not installed/);
    const { peerDependencies } = JSON.parse(
      fs.readFileSync(path.join(root, 'package.json'), 'utf8'),
    ) as { peerDependencies: Record<string, string> };
    for (const [name, version] of Object.entries(peerDependencies)) {
      expect(stderr).toContain(`${name}@${version}`);
    }
  });

  const withoutDriver = {
    TARFLOW_BACKEND: 'webgpu',
    VK_DRIVER_FILES: '/none',
    VK_ICD_FILENAMES: '/none',
  };
  test.skipIf(
    process.platform !== 'linux' || !fs.existsSync(path.join(root, 'node_modules/webgpu')),
  )('webgpu without a device says which packages bring one', () => {
    const { status, stderr } = start(withoutDriver);
    expect(status).toBe(9);
    expect(stderr).toMatch(/UserError: .*no graphics device.*mesa-vulkan-drivers/);
  });
});
