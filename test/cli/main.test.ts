import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { tarflow } from './command-line.js';

const root = path.join(__dirname, '..', '..');

/** Scripts that fetch, and have nothing to print. */
const fetching = ['data', 'setup'];
const commands = [
  ...['doctor', 'train', 'snapshot', 'sample', 'plan', 'accelerate', 'denoise', 'bpd'],
  ...['conform', ...fetching],
];

describe('help', () => {
  test.each(commands)('%s has examples', async (command) => {
    const { code, stdout, stderr } = await tarflow(command, '--help');
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: tarflow ${command}`);
    expect(stdout).toMatch(new RegExp(`Examples:\\n.*(tarflow|run) ${command}`));
    expect(stdout.includes('--json')).toBe(!fetching.includes(command));
    expect(stderr).toBe('');
  });

  test('the program lists its commands and exit codes', async () => {
    const { code, stdout } = await tarflow('--help');
    expect(code).toBe(0);
    for (const word of [...commands, 'Exit codes']) {
      expect(stdout).toContain(word);
    }
  });

  test('the version is that of the package', async () => {
    const text = fs.readFileSync(path.join(root, 'package.json'), 'utf8');
    const { version } = JSON.parse(text) as { version: string };
    expect(await tarflow('--version')).toMatchObject({ code: 0, stdout: `${version}\n` });
  });
});

describe("a user's mistake exits 2 with one message and no stack trace", () => {
  test.each([
    [['tarin'], "unknown command 'tarin'"],
    [['train', '--experimnt', 'x'], "unknown option '--experimnt'"],
    [['sample', 'x.safetensors'], "required option '--out <path>' not specified"],
    [['sample', '--out', 'x.png'], "missing required argument 'checkpoint'"],
    [['sample', 'x', '--out', 'x.png', '--count', 'many'], "argument 'many' is invalid"],
    [['sample', 'x', '--out', 'x.png', '--count', '0'], 'Expected a whole number above 0'],
    [['sample', 'x', '--out', 'x.png', '--seed', '1e99'], 'Expected a whole number'],
    [['sample', 'x', '--out', 'x.png', '--blocks', '0,'], 'Expected a whole number'],
    [['plan'], "missing required argument 'checkpoint'"],
    [['plan', 'x', '--batch', '0'], 'Expected a whole number above 0'],
    [['plan', 'x', '--mode', 'fast'], 'is invalid. Allowed choices are graph, xla, eager'],
    [['plan', 'x', '--mode', 'egaer'], 'Did you mean eager? Allowed choices are graph, xla, eager'],
    [['accelerate', 'x', '--batch', '1,many'], 'Expected a whole number'],
    [
      ['reproduce', '--table', 'likelihood', '--seeds', '1,2,1'],
      'each seed once, and 1 came again',
    ],
    [['conform'], "missing required argument 'files'"],
  ])('tarflow %j', async (programArguments, message) => {
    const { code, stdout, stderr } = await tarflow(...programArguments);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^tarflow: /);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stdout).toBe('');
  });

  test('no command shows the help', async () => {
    const { code, stderr } = await tarflow();
    expect(code).toBe(2);
    expect(stderr).toContain('Usage: tarflow');
  });
});

describe.runIf(fs.existsSync(path.join(root, 'dist', 'src', 'cli', 'main.js')))(
  'the program',
  () => {
    const program = (...programArguments: string[]) =>
      spawnSync(process.execPath, [path.join(root, 'src', 'cli', 'bin.js'), ...programArguments], {
        encoding: 'utf8',
      });

    test('passes arguments, output and exit code through', () => {
      expect(program('--version')).toMatchObject({ status: 0, stderr: '' });
      const mistake = program('train', '--experiment', 'nope', '--out', 'nowhere');
      expect(mistake.status).toBe(2);
      expect(mistake.stderr).toContain("Unknown experiment 'nope'");
      expect(program('doctor', '--jsn')).toMatchObject({ status: 2, stdout: '' });
    });

    test('runs the doctor', () => {
      const { status, stdout } = program('doctor', '--json');
      const report = JSON.parse(stdout) as { healthy: boolean; findings: { name: string }[] };
      expect(status).toBe(report.healthy ? 0 : 1);
      expect(report.findings.map(({ name }) => name)).toContain('engine');
    });
  },
);
