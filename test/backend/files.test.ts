import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { FileUnwritable, makeFolder, writeAtomically } from '../../src/backend/files.js';

function newFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-files-'));
  onTestFinished(() => fs.rmSync(folder, { recursive: true }));
  return folder;
}

test('missing folders are made, and one that is there is no obstacle', async () => {
  const file = path.join(newFolder(), 'a', 'b', 'c.txt');
  await writeAtomically(file, 'one');
  await writeAtomically(file, 'two');
  await makeFolder(path.dirname(file));
  expect(fs.readFileSync(file, 'utf8')).toBe('two');
  expect(fs.readdirSync(path.dirname(file))).toEqual(['c.txt']);
});

test('a file in the way is named', async () => {
  const file = path.join(newFolder(), 'file');
  fs.writeFileSync(file, '');
  await expect(writeAtomically(path.join(file, 'x', 'y'), '')).rejects.toThrow(FileUnwritable);
  await expect(makeFolder(file)).rejects.toThrow('EEXIST');
});

// Node's own recursive mkdir never returns from here.
test.skipIf(!fs.existsSync('/proc/self'))(
  'a file system that makes no folders gives an error, not a wait without end',
  async () => {
    await expect(writeAtomically('/proc/nothing/here/file', '')).rejects.toThrow(FileUnwritable);
  },
);
