import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, onTestFinished } from 'vitest';

const make = (): string => fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-test-'));
const remove = (folder: string): void => fs.rmSync(folder, { recursive: true, force: true });

/** A new folder that goes when the test ends. */
export function temporaryFolder(): string {
  const folder = make();
  onTestFinished(() => remove(folder));
  return folder;
}

/** A new folder for the tests of a file or of a `describe`, which goes after the last one. */
export function sharedFolder(): string {
  const folder = make();
  afterAll(() => remove(folder));
  return folder;
}
