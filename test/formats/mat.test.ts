import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { decodeMat, InvalidMat } from '../../src/formats/mat.js';

const bytesOf = (name: string) => fs.readFileSync(path.join(__dirname, 'mat', name));

describe.each(['plain.mat', 'compressed.mat'])('%s, by SciPy', (name) => {
  const found = decodeMat(bytesOf(name), name);

  test('has records with numbers, texts and arrays', () => {
    const record = (id: number, wnid: string) => ({
      ILSVRC2012_ID: [id],
      WNID: wnid,
      words: `class ${id}, of few words`,
      children: [7, 8],
    });
    expect(found.synsets).toEqual([
      record(1, 'n02119789'),
      record(2, 'n01440764'),
      record(3, 'n02100735'),
      record(1001, 'n00000002'),
    ]);
  });

  test('has numbers of every kind, column by column, and cells', () => {
    expect(found).toMatchObject({
      numbers: [1.5, 3, -2, 1e300],
      bytes: [1, 255],
      shorts: [-3, 300],
      single: [0.5],
      long: [2 ** 40],
      cells: ['a text', [4]],
      empty: [],
    });
  });

  test('cut short it is refused', () => {
    const bytes = bytesOf(name);
    for (const length of [0, 100, 130, 200, bytes.length - 9]) {
      const decode = () => decodeMat(bytes.subarray(0, length), name);
      expect(decode).toThrow(InvalidMat);
      expect(decode).toThrow(name);
    }
  });
});

test('another version is refused', () => {
  expect(() => decodeMat(bytesOf('version-4.mat'), 'a.mat')).toThrow(
    'a.mat does not begin as a MAT file of version 5 does',
  );
});

test('complex numbers are refused', () => {
  expect(() => decodeMat(bytesOf('complex.mat'), 'a.mat')).toThrow(/complex/);
});
