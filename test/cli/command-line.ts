import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, vi } from 'vitest';
import { main } from '../../src/cli/main.js';
import { tf } from '../../src/core/tf.js';
import { extension as workbook } from '../../workbook/extension.js';
import { extension as conformance } from '../conformance/conform-command.js';

export { temporaryFolder } from '../temporary-folder.js';

/** What a run of the command line left behind. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs the command line in this process and keeps what it prints. */
export async function tarflow(...programArguments: string[]): Promise<Outcome> {
  let [stdout, stderr] = ['', ''];
  const toStdout = (text: unknown): true => {
    stdout += text;
    return true;
  };
  const toStderr = (text: unknown): true => {
    stderr += text;
    return true;
  };
  const spies = [
    vi.spyOn(console, 'log').mockImplementation((text) => void toStdout(`${text}\n`)),
    vi.spyOn(console, 'error').mockImplementation((text) => void toStderr(`${text}\n`)),
    vi.spyOn(process.stdout, 'write').mockImplementation(toStdout),
    vi.spyOn(process.stderr, 'write').mockImplementation(toStderr),
  ];
  try {
    const code = await main(['node', 'tarflow', ...programArguments], [workbook, conformance]);
    return { code, stdout, stderr };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** What a command printed that has to succeed. */
export async function succeeds<Of extends Omit<Outcome, 'stdout'>>(run: Promise<Of>): Promise<Of> {
  const outcome = await run;
  expect(outcome.code, outcome.stderr).toBe(0);
  return outcome;
}

/** The message of a command that refuses what the user asked: it exits 2 and prints nothing else. */
export async function refused(run: Promise<Outcome>): Promise<string> {
  const { code, stdout, stderr } = await run;
  expect(code, stderr).toBe(2);
  expect(stderr).not.toMatch(/\n\s+at /);
  expect(stdout).toBe('');
  return stderr;
}

/** A user's mistake: the file given, options, and what the message says of it. */
export type Mistake = [file: string, options: string[], message: RegExp];

/** Mistakes exit 2 with a message, print nothing, leave the folder as it is, and nothing leaks. */
export async function expectRefused(
  command: string,
  folder: string,
  mistakes: readonly Mistake[],
  more: readonly string[],
): Promise<void> {
  const files = fs.readdirSync(folder);
  const before = tf.memory().numTensors;
  for (const [file, options, message] of mistakes) {
    expect(await refused(tarflow(command, file, ...options, ...more))).toMatch(message);
  }
  expect(fs.readdirSync(folder)).toEqual(files);
  expect(tf.memory().numTensors).toBe(before);
}

/** A path that nobody can write to, whoever runs the test: it leads through a file. */
export function unwritablePath(folder: string, name: string): string {
  const file = path.join(folder, 'a-file');
  fs.writeFileSync(file, '');
  return path.join(file, name);
}

/** Values that make any experiment small. */
export const tiny: readonly string[] = [
  ...['patchSize=7', 'channels=16', 'headWidth=16', 'blocks=2', 'layersPerBlock=1'],
  ...['batchSize=8', 'steps=6', 'warmupSteps=1', 'validateEvery=3', 'validationImages=8'],
  'saveEvery=2',
];
