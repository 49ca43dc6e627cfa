import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { layOutLibrary } from '../../data-scripts/lib/pack.mjs';
import { installedExtensions } from '../../src/cli/extension.js';
import type { Experiment } from '../../src/training/experiment.js';
import { smallConfig, smallSettings } from '../training/small.js';
import { temporaryFolder } from './command-line.js';

const root = path.join(__dirname, '..', '..');

const experiment: Experiment = {
  name: 'small-digits',
  description: 'one of the project',
  dataset: 'mnist-10k-subset',
  config: smallConfig,
  settings: smallSettings,
};

/** An extension with a data set and an experiment, and with a command that prints where it is called. */
const greeting = `
exports.extension = {
  datasets: { 'small-set': async () => {} },
  experiments: [${JSON.stringify(experiment)}],
  commands: [
    (program, setExitCode) =>
      program.command('greet').action(() => {
        console.log('hello from ' + process.cwd());
        setExitCode(7);
      }),
  ],
};`;

/** A project with a package.json and a module, and a folder in it. */
function project(manifest: unknown, module = greeting): { folder: string; inner: string } {
  const folder = fs.realpathSync(temporaryFolder());
  const inner = path.join(folder, 'deep', 'inside');
  fs.mkdirSync(inner, { recursive: true });
  const text = typeof manifest === 'string' ? manifest : JSON.stringify(manifest);
  fs.writeFileSync(path.join(folder, 'package.json'), text);
  fs.writeFileSync(path.join(folder, 'extension.js'), module);
  return { folder, inner };
}

const named = { name: 'project', tarflow: { extensions: ['./extension.js'] } };

describe('the extensions of a project', () => {
  test('are found from every folder of it, and add data sets, experiments and commands', () => {
    const { folder, inner } = project(named);
    for (const place of [folder, inner]) {
      const found = installedExtensions(place).at(-1);
      expect(found?.experiments?.map(({ name }) => name)).toEqual(['small-digits']);
      expect(Object.keys(found?.datasets ?? {})).toEqual(['small-set']);
      expect(found?.commands).toHaveLength(1);
    }
  });

  test('are none where package.json names none', () => {
    const own = installedExtensions(root).length;
    expect(installedExtensions(project({ name: 'project' }).folder)).toHaveLength(own);
  });

  test('are none where another copy of tarflow is the project', () => {
    const own = installedExtensions(root).length;
    const copy = project({ ...named, name: 'tarflow' }).folder;
    expect(installedExtensions(copy)).toHaveLength(own);
  });

  test.each<[string, unknown, string | undefined, RegExp]>([
    [
      'a module that is missing',
      { tarflow: { extensions: ['./none.js'] } },
      undefined,
      /extension .*none\.js does not exist.*Correct it in package\.json/s,
    ],
    [
      'a module without an extension',
      named,
      'exports.other = 1;',
      /extension\.js is no extension.*exports `extension`/s,
    ],
    [
      'a module that cannot be loaded',
      named,
      "throw new Error('broken inside');",
      /extension\.js cannot be loaded \(.*broken inside.*Correct the module/s,
    ],
    ['a package.json that is not JSON', '{', undefined, /package\.json is not JSON/],
    [
      'another form of the list',
      { tarflow: { extensions: './extension.js' } },
      undefined,
      /package\.json does not fit: tarflow\.extensions is/,
    ],
    [
      'a key that is unknown',
      { tarflow: { extension: [] } },
      undefined,
      /tarflow\.extension, which is unknown.*tarflow\.extensions/s,
    ],
  ])('%s is a mistake of the user', (_, manifest, module, message) => {
    const { folder } = project(manifest, module);
    expect(() => installedExtensions(folder)).toThrow(message);
  });
});

describe.runIf(fs.existsSync(path.join(root, 'dist', 'src', 'cli', 'main.js')))('bin.js', () => {
  const call = (home: string, cwd: string, ...programArguments: string[]) =>
    spawnSync(process.execPath, [path.join(home, 'src', 'cli', 'bin.js'), ...programArguments], {
      cwd,
      encoding: 'utf8',
    });

  /** The package as it is packed, without the workbook. */
  let packed = '';
  beforeAll(() => {
    packed = path.join(fs.mkdtempSync(path.join(root, 'node_modules', '.packed-')), 'tarflow');
    layOutLibrary(root, packed);
    return () => fs.rmSync(path.dirname(packed), { recursive: true });
  });

  test('takes the extension of the project in which it is called', () => {
    const { inner } = project(named);
    const greeted = call(root, inner, 'greet');
    expect(greeted).toMatchObject({ status: 7, stdout: `hello from ${inner}\n` });
    const { stdout } = call(root, inner, 'train', '--list');
    expect(stdout).toContain('small-digits');
    expect(stdout).toContain('fashion-mnist-density');
    const { stdout: help } = call(root, inner, 'bpd', '--help');
    expect(help.replace(/\s+/g, ' ')).toContain(' or small-set or imagenet:PATH');
  });

  test('tells what is wrong with it, without a stack trace', () => {
    const { folder } = project(named, 'exports.other = 1;');
    const { status, stdout, stderr } = call(root, folder, 'train', '--list');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^tarflow: .*extension\.js is no extension/);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  test('refuses a command that is there already', () => {
    const module = "exports.extension = { commands: [(program) => program.command('train')] };";
    const { status, stderr } = call(root, project(named, module).folder, 'train', '--list');
    expect(status).toBe(2);
    expect(stderr).toContain("An extension adds the command 'train', which is there already");
  });

  test('works from any folder, also without a workbook', () => {
    const nowhere = temporaryFolder();
    const whole = call(root, nowhere, '--help').stdout;
    for (const command of ['train', 'reproduce', 'accelerate']) expect(whole).toContain(command);
    const { status, stdout, stderr } = call(packed, nowhere, '--help');
    expect(status, stderr).toBe(0);
    expect(stdout).toContain('train');
    expect(stdout).not.toMatch(/reproduce|accelerate/);
    expect(call(packed, project(named).inner, 'greet').status).toBe(7);
  });
});
