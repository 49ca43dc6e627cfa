import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { main } from '../../src/cli/main.js';

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
    const code = await main(['node', 'tarflow', ...programArguments]);
    return { code, stdout, stderr };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** A new folder that goes when the test ends. */
export function temporaryFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-cli-'));
  onTestFinished(() => fs.rmSync(folder, { recursive: true }));
  return folder;
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
