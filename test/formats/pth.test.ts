import * as fs from 'node:fs';
import * as path from 'node:path';
import { zipSync } from 'fflate';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readPickle } from '../../src/formats/pickle.js';
import { openTorchFile } from '../../src/formats/pth.js';
import { openTensorFile, type TensorFile } from '../../src/formats/tensor-file.js';
import { temporaryFolder } from '../temporary-folder.js';
import { writeTorchFile } from './torch-writer.js';

const folder = path.join(__dirname, 'pth');

async function opened(file: string): Promise<TensorFile> {
  const found = await openTorchFile(file);
  onTestFinished(() => found.close());
  return found;
}

/** A file with these bytes, for one test. */
function fileOf(bytes: Uint8Array, name = 'made.pth'): string {
  const made = temporaryFolder();
  fs.writeFileSync(path.join(made, name), bytes);
  return path.join(made, name);
}

const count = (length: number, scale = 1): number[] => Array.from({ length }, (_, i) => i * scale);

describe.each(['many.pth', 'many-before-1.6.pth'])('a state dict of PyTorch, %s', (name) => {
  test('has every tensor with its shape, type and numbers', async () => {
    const file = await opened(path.join(folder, name));
    const base = count(24, 1 / 8);
    const rows = [0, 1, 2, 3].map((row) => base.slice(6 * row, 6 * row + 6));
    const expected: Record<string, [number[], string, number[]]> = {
      whole: [[4, 6], 'F32', base],
      rows: [[2, 6], 'F32', base.slice(6, 18)],
      columns: [[4, 2], 'F32', rows.flatMap((row) => row.slice(2, 4))],
      transposed: [[6, 4], 'F32', count(6).flatMap((j) => rows.map((row) => row[j] as number))],
      repeated: [[3, 6], 'F32', [1, 2, 3].flatMap(() => rows[0] as number[])],
      scalar: [[], 'F32', [2.5]],
      empty: [[0, 3], 'F32', []],
      half: [[6], 'F16', base.slice(0, 6)],
      bfloat16: [[6], 'BF16', base.slice(0, 6)],
      double: [[6], 'F64', base.slice(0, 6).map((value) => value / 3)],
      long: [[2], 'I64', [1, -(2 ** 40)]],
      int: [[2], 'I32', [-5, 7]],
      byte: [[2], 'U8', [0, 255]],
      bool: [[2], 'BOOL', [1, 0]],
      parameter: [[2], 'F32', [1, 1]],
      'inner.weight': [[2, 3], 'F32', count(6, 1 / 4)],
      'inner.bias': [[2], 'F32', [-1, 2]],
    };
    expect(Object.keys(file.tensors).sort()).toEqual(Object.keys(expected).sort());
    for (const [tensor, [shape, dtype, numbers]] of Object.entries(expected)) {
      expect(file.tensors[tensor], tensor).toEqual({ shape, dtype });
      const read = await file.read(tensor);
      expect([read.shape, read.dtype, [...read.data]], tensor).toEqual([shape, dtype, numbers]);
    }
  });

  test('reads rows, and names what is not there', async () => {
    const file = await opened(path.join(folder, name));
    const { shape, data } = await file.read('transposed', { first: 2, count: 2 });
    expect([shape, [...data]]).toEqual([
      [2, 4],
      [2, 8, 14, 20, 3, 9, 15, 21].map((value) => value / 8),
    ]);
    await expect(file.read('rows', { first: 1, count: 2 })).rejects.toThrow(/Rows 1 to 3/);
    await expect(file.read('column')).rejects.toThrow(/no tensor 'column'/);
  });

  test('cut anywhere it is refused by name, or reads as it was', async () => {
    const bytes = fs.readFileSync(path.join(folder, name));
    for (let length = 2; length < bytes.length; length += 97) {
      const file = fileOf(bytes.subarray(0, length));
      await expect(openTorchFile(file), `${length} bytes`).rejects.toMatchObject({
        name: expect.stringMatching(/^(TruncatedFile|InvalidTorchFile|InvalidPickle)$/),
        remedy: expect.any(String),
      });
    }
  });

  test('with any byte changed it is refused by name, or opens', async () => {
    const bytes = fs.readFileSync(path.join(folder, name));
    for (let at = 2; at < bytes.length; at += 31) {
      const changed = Uint8Array.from(bytes);
      changed[at] = (changed[at] as number) ^ 0x55;
      const file = await openTorchFile(fileOf(changed)).catch((error: Error) => {
        expect(error, `byte ${at}: ${error.stack}`).toHaveProperty('remedy');
      });
      await file?.close();
    }
  });
});

test('numbers of a type that is not read are named', async () => {
  await expect(openTorchFile(path.join(folder, 'complex.pth'))).rejects.toThrow(
    /numbers of type torch\.ComplexFloatStorage/,
  );
});

describe('a pickle that asks for more than tensors is refused by name', () => {
  test('a whole module', async () => {
    await expect(openTorchFile(path.join(folder, 'whole-module.pth'))).rejects.toThrow(
      /asks for torch\.nn\.modules\.linear\.Linear/,
    );
  });

  test('a command', async () => {
    const text = '\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.';
    const archive = zipSync({ 'made/data.pkl': Buffer.from(text, 'latin1') }, { level: 0 });
    await expect(openTorchFile(fileOf(archive))).rejects.toThrow(/asks for posix\.system/);
  });

  test('a dictionary within itself', async () => {
    const text = '\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.';
    const archive = zipSync({ 'made/data.pkl': Buffer.from(text, 'latin1') }, { level: 0 });
    await expect(openTorchFile(fileOf(archive))).rejects.toThrow(/without an end/);
  });

  test('dictionaries that share their entries, many times over', async () => {
    // Each level holds the one before it twice.
    const levels = Array.from({ length: 25 }, (_, i) => {
      const memo = String.fromCharCode(i);
      return `}q${String.fromCharCode(i + 1)}X\x01\x00\x00\x00ah${memo}sX\x01\x00\x00\x00bh${memo}s`;
    });
    const text = `\x80\x02}q\x00${levels.join('')}.`;
    const archive = zipSync({ 'made/data.pkl': Buffer.from(text, 'latin1') }, { level: 0 });
    await expect(openTorchFile(fileOf(archive))).rejects.toThrow(
      /nests more than 1,000,000 entries/,
    );
  });

  test('what is no file of PyTorch', async () => {
    const compressed = zipSync({ 'made/data.pkl': new Uint8Array(1000) }, { level: 6 });
    await expect(openTorchFile(fileOf(compressed))).rejects.toThrow(/data\.pkl compressed/);
    const other = zipSync({ 'made/other': new Uint8Array(3) }, { level: 0 });
    await expect(openTorchFile(fileOf(other))).rejects.toThrow(/without a data\.pkl/);
    const pickle = Buffer.from('\x80\x02K\x05.', 'latin1');
    await expect(openTorchFile(fileOf(pickle))).rejects.toThrow(/none that torch\.save wrote/);
  });
});

// Sparse, so that they take neither time nor room.
describe('a large file', () => {
  const far = Float32Array.of(1.5, -2, 0.25, 3);
  const last = { dtype: 'F32', shape: [2, 2], data: () => far } as const;

  test.each([
    ['above 2 GiB', 2 ** 31 + 5, 2 ** 31],
    ['with a tensor and all after it beyond 4 GiB, by zip64', 2 ** 32 + 2 ** 20, 2 ** 32],
    ['with a tensor of exactly 4 GiB − 1 bytes', 2 ** 32 - 1, 2 ** 32],
  ])('%s opens, and what lies behind is read', async (_name, size, position) => {
    const target = fileOf(new Uint8Array());
    writeTorchFile(target, {
      first: { dtype: 'U8', shape: [3], data: () => Uint8Array.of(1, 2, 3) },
      hole: { dtype: 'U8', shape: [size], from: size - 3, data: () => Uint8Array.of(7, 8, 9) },
      last,
    });
    const { size: length, blocks } = fs.statSync(target);
    expect(length).toBeGreaterThan(position);
    expect(512 * blocks).toBeLessThan(2 ** 20);
    const file = await openTensorFile(target);
    onTestFinished(() => file.close());
    expect(file.tensors).toEqual({
      first: { dtype: 'U8', shape: [3] },
      hole: { dtype: 'U8', shape: [size] },
      last: { dtype: 'F32', shape: [2, 2] },
    });
    expect([...(await file.read('first')).data]).toEqual([1, 2, 3]);
    expect((await file.read('last')).data).toEqual(far);
    expect((await file.read('last', { first: 1, count: 1 })).data).toEqual(far.slice(2));
    const end = await file.read('hole', { first: size - 4, count: 4 });
    expect([...end.data]).toEqual([0, 7, 8, 9]);
  });

  test('that is cut short is refused', async () => {
    const target = fileOf(new Uint8Array());
    const hole = { dtype: 'F32', shape: [2 ** 30 + 1], data: () => far } as const;
    writeTorchFile(target, { hole, last });
    for (const length of [fs.statSync(target).size - 1, 2 ** 32, 2 ** 31]) {
      fs.truncateSync(target, length);
      await expect(openTensorFile(target)).rejects.toMatchObject({
        name: expect.stringMatching(/^(TruncatedFile|InvalidTorchFile)$/),
      });
    }
  });
});

test('pickles have numbers and texts of every length', () => {
  const readers = {
    call: () => null,
    persistent: () => null,
  };
  const value = (text: string) => readPickle(Buffer.from(text, 'latin1'), 0, 'made', readers).value;
  expect(value('\x80\x02J\xfe\xff\xff\xff.')).toBe(-2);
  expect(value('\x80\x02\x8a\x00.')).toBe(0);
  expect(value('\x80\x02\x8a\x02\x00\xff.')).toBe(-256);
  expect(value('\x80\x02G\x3f\xf8\x00\x00\x00\x00\x00\x00.')).toBe(1.5);
  expect(value('\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x02\xc3\xa9.')).toBe('é');
  expect(value('\x80\x02(K\x01NN\x88t.')).toEqual([1, null, null, true]);
  expect(value('\x80\x02](K\x01K\x02e.')).toEqual([1, 2]);
  expect(() => value('\x80\x02h\x07.')).toThrow(/damaged pickle/);
  expect(() => value('\x80\x02X\xff\x00\x00\x00a.')).toThrow(/ends inside/);
});

test.each([640, 19_280])(
  'a safetensors file whose header has %i bytes is no file of PyTorch',
  async (length) => {
    const header = '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.padEnd(length);
    const bytes = Buffer.alloc(8 + length + 1);
    bytes.writeUInt32LE(length);
    bytes.write(header, 8);
    const file = await openTensorFile(fileOf(bytes, 'made.safetensors'));
    expect(Object.keys(file.tensors)).toEqual(['a']);
    await file.close();
  },
);

test('a file is opened by what it begins with', async () => {
  const torch = await openTensorFile(path.join(folder, 'many.pth'));
  const golden = path.join(__dirname, '..', 'golden', 'tf1_cond_p4_c64.safetensors');
  const safetensors = await openTensorFile(golden);
  expect(Object.keys(torch.tensors)).toContain('inner.bias');
  expect(Object.keys(safetensors.tensors).length).toBeGreaterThan(10);
  await Promise.all([torch.close(), safetensors.close()]);
});
