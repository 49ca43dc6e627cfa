import * as fs from 'node:fs';
import * as path from 'node:path';
import { zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { InvalidNpz, npyIntegers, npzArray } from '../../src/formats/npz.js';
import { sharedFolder } from '../temporary-folder.js';
import { int64, npyOf, npzOf } from './npz-writer.js';

const folder = sharedFolder();
const unpacked = path.join(folder, 'cache', 'unpacked.npy');

function written(bytes: Uint8Array, name = 'a.npz'): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, bytes);
  fs.rmSync(unpacked, { force: true });
  return file;
}

const data = Uint8Array.from({ length: 3000 }, (_, i) => (i * i) % 251);
const labels = int64([5, -1, 1000, 2 ** 40]);

describe.each([false, true])('arrays of an archive, compressed: %s', (compressed) => {
  test.each([1, 2])('have shape, type and place, by headers of version %i', async (version) => {
    const arrays = {
      data: npyOf('|u1', [30, 100], data, { version }),
      labels: npyOf('<i8', [4], labels, { version }),
    };
    const file = written(npzOf(arrays, { compressed }));
    const array = await npzArray(file, 'data', unpacked);
    expect(array).toMatchObject({ type: '|u1', shape: [30, 100] });
    expect(array.file).toBe(compressed ? unpacked : file);
    const bytes = fs.readFileSync(array.file).subarray(array.position, array.position + 3000);
    expect(Buffer.compare(bytes, data)).toBe(0);
    expect(await npyIntegers(await npzArray(file, 'labels', unpacked))).toEqual([
      5,
      -1,
      1000,
      2 ** 40,
    ]);
  });
});

test('what is unpacked already is not unpacked again, unless its length is another', async () => {
  const file = written(npzOf({ data: npyOf('|u1', [3000], data) }, { compressed: true }));
  const { position } = await npzArray(file, 'data', unpacked);
  fs.writeFileSync(unpacked, fs.readFileSync(unpacked).fill(9, position));
  await npzArray(file, 'data', unpacked);
  expect(fs.readFileSync(unpacked)[position]).toBe(9);
  fs.writeFileSync(unpacked, 'cut short');
  await npzArray(file, 'data', unpacked);
  expect(fs.readFileSync(unpacked)[position + 1]).toBe(data[1]);
});

test.each([
  ['|u1', [7, 255], Uint8Array.of(7, 255)],
  ['|i1', [7, -1], Uint8Array.of(7, 255)],
  ['<u2', [65535], Uint8Array.of(255, 255)],
  ['<i4', [-2], Uint8Array.of(254, 255, 255, 255)],
  ['<i8', [-2], int64([-2])],
  ['<u8', [2 ** 53 - 1], int64([2 ** 53 - 1])],
] as const)('whole numbers of type %s', async (type, expected, bytes) => {
  const file = written(npzOf({ n: npyOf(type, [expected.length], bytes) }));
  expect(await npyIntegers(await npzArray(file, 'n', unpacked))).toEqual(expected);
});

describe('what cannot be read is refused', () => {
  const whole = npyOf('|u1', [3000], data);
  const refused = async (file: string, name = 'data') =>
    npzArray(file, name, unpacked).catch((error) => error);

  test('no archive, a cut one, and none at all', async () => {
    expect(await refused(written(Buffer.from('hello')))).toBeInstanceOf(InvalidNpz);
    const cut = npzOf({ data: whole }).subarray(0, 2000);
    expect((await refused(written(cut))).message).toMatch(/a\.npz is no \.npz file, or a damaged/);
    expect((await refused(path.join(folder, 'none.npz'))).message).toContain('does not exist');
  });

  test('an array that is not there', async () => {
    const error = await refused(written(npzOf({ other: whole, more: whole })));
    expect(error.message).toMatch(/a\.npz has no array data\. It has other, more\./);
  });

  test.each([
    ['no array', Buffer.from('hello, this is no array'), /does not begin as NumPy's arrays do/],
    ['fewer numbers', whole.subarray(0, 2000), /bytes of numbers for the shape \(3000\) of \|u1/],
    ['a cut header', whole.subarray(0, 40), /a header of/],
    ['a Fortran order', npyOf('|u1', [30, 100], data, { fortran: true }), /has the header/],
    ['an endless header', npyOf('9'.repeat(8000), [3000], data), /header .{290,305} Expected/],
    ['an endless shape', npyOf('|u1', Array(4000).fill(1), data), /header .{290,305} Expected/],
    ['records', npyOf('|u1', [3000], data).map((byte) => (byte === 39 ? 91 : byte)), /header/],
  ])('%s', async (_what, bytes, message) => {
    for (const compressed of [false, true]) {
      const error = await refused(written(npzOf({ data: bytes }, { compressed })));
      expect(error).toBeInstanceOf(InvalidNpz);
      expect(error.message).toMatch(message);
    }
  });

  test('a damaged compressed array', async () => {
    const bytes = zipSync({ 'data.npy': whole }, { level: 6 });
    // Behind the header of the entry.
    bytes.fill(0xff, 45, 65);
    const error = await refused(written(bytes));
    expect(error.message).toMatch(/data\.npy in .*a\.npz cannot be unpacked \(/);
    expect(fs.existsSync(unpacked)).toBe(false);
  });

  test('fractions where whole numbers belong', async () => {
    const file = written(npzOf({ n: npyOf('<f4', [1], Uint8Array.of(0, 0, 0, 0)) }));
    const array = await npzArray(file, 'n', unpacked);
    await expect(npyIntegers(array)).rejects.toThrow('numbers of type <f4');
  });

  test.each(['<u8', '<i8'])('numbers of more than 53 bits, %s', async (type) => {
    const large = Uint8Array.of(
      0,
      0,
      0,
      0,
      0,
      0,
      type === '<u8' ? 0 : 64,
      type === '<u8' ? 128 : 0,
    );
    const file = written(npzOf({ n: npyOf(type, [1], large) }));
    const array = await npzArray(file, 'n', unpacked);
    await expect(npyIntegers(array)).rejects.toThrow(/has the number \d+ at place 0/);
  });
});
