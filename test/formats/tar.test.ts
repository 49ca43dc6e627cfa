import * as fs from 'node:fs';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { InvalidTar, type TarBytes, tarEntries, tarInMemory } from '../../src/formats/tar.js';
import { sharedFolder } from '../temporary-folder.js';
import { type TarFile, tarOf } from './tar-writer.js';

function inMemory(bytes: Uint8Array): TarBytes {
  return {
    ...{ name: 'a.tar', begin: 0, end: bytes.length },
    read: async (position, length) => bytes.subarray(position, position + length),
  };
}

/** Names and contents of the files in an archive. */
async function contents(bytes: Uint8Array): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for await (const { name, position, length } of tarEntries(inMemory(bytes))) {
    found.push([name, Buffer.from(bytes.subarray(position, position + length)).toString()]);
  }
  return found;
}

const two: TarFile[] = [
  { name: 'a.txt', content: 'first' },
  { name: 'folder/', content: '', type: '5' },
  { name: 'folder/b.txt', content: 'x'.repeat(512) },
];

describe('a tar archive', () => {
  test('has its files with their places, without its folders and links', async () => {
    const link = { name: 'link', content: '', type: '2' };
    expect(await contents(tarOf([...two, link]))).toEqual([
      ['a.txt', 'first'],
      ['folder/b.txt', 'x'.repeat(512)],
    ]);
    expect(await contents(tarOf([]))).toEqual([]);
  });

  test('has long names in three ways', async () => {
    const name = `${'long/'.repeat(60)}a.txt`;
    const record = `path=${name}\n`;
    const length = record.length + 4;
    const long = [
      { name: '././@LongLink', content: `${name}\0`, type: 'L', gnu: true },
      { name: 'short', content: 'GNU', gnu: true },
      { name: 'pax', content: `${length} ${record}20 comment=anything\n`, type: 'x' },
      { name: 'short', content: 'pax' },
      { name: 'a.txt', content: 'ustar', prefix: 'in/front' },
      { name: 'a.txt', content: 'none', prefix: 'no prefix here', gnu: true },
    ];
    expect(`${length} ${record}`.length).toBe(length);
    expect(await contents(tarOf(long))).toEqual([
      [name, 'GNU'],
      [name, 'pax'],
      ['in/front/a.txt', 'ustar'],
      ['a.txt', 'none'],
    ]);
  });

  test('has sizes in binary, and in pax headers', async () => {
    const sizes = [
      { name: 'a.txt', content: 'binary', binarySize: true },
      { name: 'global', content: '20 comment=anything\n', type: 'g' },
      { name: 'b.txt', content: 'after' },
    ];
    expect(await contents(tarOf(sizes))).toEqual([
      ['a.txt', 'binary'],
      ['b.txt', 'after'],
    ]);
    const told = tarOf([
      { name: 'pax', content: '9 size=5\n', type: 'x' },
      { name: 'a.txt', content: '' },
      { name: 'hello', content: '' },
    ]);
    // The header says 0 and what was told 5: the next block, another header, is the content.
    expect(await contents(told)).toEqual([['a.txt', 'hello']]);
  });

  test.each([1, 511, 512, 700, 1023, 1024, 1600, 2559])(
    'cut short to %i bytes is refused',
    async (length) => {
      const error = await contents(tarOf(two).subarray(0, length)).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(InvalidTar);
      expect(error.message).toMatch(/a\.tar ends inside the entry at byte \d+, or lacks its end\./);
    },
  );

  test('of other bytes is refused', async () => {
    const wrong = tarOf(two);
    wrong[0] = 0x62;
    await expect(contents(wrong)).rejects.toThrow('a.tar has no header of a tar archive at byte 0');
    await expect(contents(Buffer.alloc(600, 7))).rejects.toThrow(InvalidTar);
    const size = tarOf(two);
    size.write('hello', 124);
    await expect(contents(size)).rejects.toThrow(InvalidTar);
  });
});

describe('an archive read into memory', () => {
  const folder = sharedFolder();
  test.each([
    ['plain', (bytes: Buffer) => bytes],
    ['compressed', gzipSync],
  ])('%s', async (_what, made) => {
    const file = path.join(folder, 'a.tar');
    fs.writeFileSync(file, made(tarOf(two)));
    const tar = await tarInMemory(file);
    const names: string[] = [];
    for await (const { name, position, length } of tarEntries(tar)) {
      names.push(`${name} ${Buffer.from(await tar.read(position, length)).toString()}`);
    }
    expect(names).toEqual(['a.txt first', `folder/b.txt ${'x'.repeat(512)}`]);
  });

  test('compressed and cut short it is refused', async () => {
    const file = path.join(folder, 'b.tar.gz');
    fs.writeFileSync(file, gzipSync(tarOf(two)).subarray(0, 60));
    await expect(tarInMemory(file)).rejects.toThrow(`${file} cannot be decompressed (`);
  });
});
