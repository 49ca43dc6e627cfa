import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import {
  FileUnreadable,
  FileUnwritable,
  makeFolder,
  openForReading,
  readAt,
  sha256,
  writeAll,
  writeAtomically,
} from '../../src/core/files.js';
import { temporaryFolder } from '../temporary-folder.js';

test('missing folders are made, and one that is there is no obstacle', async () => {
  const file = path.join(temporaryFolder(), 'a', 'b', 'c.txt');
  await writeAtomically(file, 'one');
  await writeAtomically(file, 'two');
  await makeFolder(path.dirname(file));
  expect(fs.readFileSync(file, 'utf8')).toBe('two');
  expect(fs.readdirSync(path.dirname(file))).toEqual(['c.txt']);
});

test('a file is written part by part, and what goes wrong leaves the one that was there', async () => {
  const file = path.join(temporaryFolder(), 'parts.bin');
  await writeAtomically(file, async (handle) => {
    await writeAll(handle, Buffer.from('one '));
    await writeAll(handle, Buffer.from('two'));
  });
  expect(fs.readFileSync(file, 'utf8')).toBe('one two');
  const broken = writeAtomically(file, async (handle) => {
    await writeAll(handle, Buffer.from('half'));
    throw new TypeError('a mistake of the writer');
  });
  await expect(broken).rejects.toThrow(TypeError);
  expect(fs.readFileSync(file, 'utf8')).toBe('one two');
  expect(fs.readdirSync(path.dirname(file))).toEqual(['parts.bin']);
});

test('a file is read from any place, as far as it goes, and its digest is that of all of it', async () => {
  const file = path.join(temporaryFolder(), 'long.bin');
  // Longer than what is read at once, and a whole number of it.
  for (const length of [0, 5, 2 ** 20, 2 ** 20 + 1, 2 ** 21]) {
    const bytes = Buffer.alloc(length, 'some text. ');
    fs.writeFileSync(file, bytes);
    const handle = await openForReading(file);
    const expected = createHash('sha256').update(bytes).digest('hex');
    expect(await sha256(handle, file)).toBe(expected);
    const part = new Uint8Array(4);
    const count = await readAt(handle, part, 3, file);
    expect(Buffer.from(part.subarray(0, count))).toEqual(bytes.subarray(3, 7));
    await handle.close();
  }
  await expect(openForReading(`${file}.none`)).rejects.toThrow(FileUnreadable);
});

test('of a path that is not there the nearest one is named', async () => {
  const folder = temporaryFolder();
  await writeAtomically(path.join(folder, 'runs', 'cats.safetensors'), '');
  const opened = (name: string) => openForReading(path.join(folder, name));
  for (const [name, meant] of [
    ['runs/cast.safetensors', 'runs/cats.safetensors'],
    ['rusn/cats.safetensors', 'runs'],
  ] as const) {
    await expect(opened(name)).rejects.toThrow(
      `Did you mean ${path.join(folder, meant)}? Expected`,
    );
  }
  await expect(opened('runs/dog.safetensors')).rejects.toThrow(/\(it does not exist\)\. Expected/);
});

test('a file in the way is named', async () => {
  const file = path.join(temporaryFolder(), 'file');
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
