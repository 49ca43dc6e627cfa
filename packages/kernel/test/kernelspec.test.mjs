import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kernelsFolder } from '../kernelspec.mjs';
import { drive, shown } from './drive.mjs';

/** @type {string} */
let folder;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'kernelspec-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** @param {string[]} args */
function command(...args) {
  const bin = path.join(import.meta.dirname, '..', 'bin.js');
  const env = { ...process.env, JUPYTER_DATA_DIR: path.join(folder, 'user') };
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], {
    encoding: 'utf8',
    env,
  });
  return { status, stdout, stderr };
}

describe('the command', () => {
  test('registers a kernel that Jupyter starts, and removes it', async () => {
    const made = command('install', '--prefix', folder, '--name', 'mine', '--display-name', 'Mine');
    const kernel = path.join(folder, 'share', 'jupyter', 'kernels', 'mine');
    expect(made).toEqual({ status: 0, stdout: `Installed Mine: ${kernel}\n`, stderr: '' });
    expect(readdirSync(kernel).sort()).toEqual([
      'kernel.json',
      'logo-32x32.png',
      'logo-64x64.png',
      'logo-svg.svg',
    ]);
    const { results } = await drive([{ code: 'const x: number = 6;\nawait 7 * x' }], {
      kernel: 'mine',
      folder,
      env: {
        JUPYTER_PATH: path.join(folder, 'share', 'jupyter'),
        TARFLOW_KERNEL_DATA: folder,
      },
    });
    expect(shown(results[0]?.outputs ?? []).result).toEqual({ 'text/plain': '42' });
    expect(command('uninstall', '--prefix', folder, '--name', 'mine').status).toBe(0);
    expect(existsSync(kernel)).toBe(false);
  });

  test('registers for the user where no prefix is given, again too', () => {
    for (const args of [['install'], ['install', '--user']]) {
      expect(command(...args)).toMatchObject({ status: 0, stderr: '' });
    }
    expect(readdirSync(path.join(folder, 'user', 'kernels'))).toEqual(['typescript']);
    expect(command('uninstall').status).toBe(0);
    expect(command('uninstall')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('There is no kernel in'),
    });
  });

  test('touches no kernel of others', () => {
    const other = path.join(kernelsFolder(folder), 'other');
    mkdirSync(other, { recursive: true });
    writeFileSync(path.join(other, 'kernel.json'), '{"argv": ["other"]}');
    for (const name of ['install', 'uninstall']) {
      const { status, stderr } = command(name, '--prefix', folder, '--name', 'other');
      expect(status).toBe(2);
      expect(stderr).toContain(`${other} holds another kernel. Choose another --name.`);
    }
    expect(readdirSync(other)).toEqual(['kernel.json']);
  });

  test.each([
    [['install', '--user', '--prefix', 'x'], 'Both --user and --prefix were given.'],
    [['install', '--name', 'a b'], "The name is 'a b'. Expected letters"],
    [['install', '--nmae', 'x'], "Unknown option '--nmae'"],
    [['uninstall', 'x'], "Unexpected argument 'x'"],
  ])('says what is wrong with %j, and its usage', (args, message) => {
    const { status, stderr } = command(...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr).toContain('Usage:');
  });
});
