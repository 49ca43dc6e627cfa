import * as fs from 'node:fs';
import * as path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { unzipSync, zipSync } from 'fflate';
import { expect } from 'vitest';
import { fileInMemory } from '../../packages/web/src/checkpoint.js';
import { imagenet } from '../../src/data/sets/imagenet.js';
import { textAt } from '../../src/data/shared-memory.js';
import type { ArchiveDescription } from '../../src/data/source.js';
import { arrayOf } from '../../src/formats/elements.js';
import { decodeBfloat16, decodeFloat16 } from '../../src/formats/half.js';
import { decodeIdx } from '../../src/formats/idx.js';
import { npyIntegers, npzArray } from '../../src/formats/npz.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { tarEntries, tarInMemory } from '../../src/formats/tar.js';
import { type TensorFile, withTensorFile } from '../../src/formats/tensor-file.js';
import { type Format, fuzz, written } from './fuzzing.js';
import { int64, npyOf, npzOf } from './npz-writer.js';
import { withoutSums } from './safetensors-parts.js';
import { tarOf, withTarSums } from './tar-writer.js';
import { writeTorchFile } from './torch-writer.js';

const ramp = (length: number) => Float32Array.from({ length }, (_, i) => i / 7 - 3);

/** All tensors of an open file, each with as many numbers of its type as its shape says. */
async function tensorsOf(open: TensorFile): Promise<string> {
  const all: string[] = [];
  for (const name of Object.keys(open.tensors)) {
    const { shape, dtype, data } = await open.read(name);
    expect(data).toBeInstanceOf(arrayOf(dtype));
    expect(data.length).toBe(shape.reduce((product, side) => product * side, 1));
    all.push(`${name} ${shape} ${data.join()}`);
  }
  return all.sort().join('\n');
}
const tensors = (file: string) => withTensorFile(file, tensorsOf);

const numberAt: Record<string, (bytes: DataView, at: number) => number> = {
  F64: (bytes, at) => bytes.getFloat64(8 * at, true),
  F32: (bytes, at) => bytes.getFloat32(4 * at, true),
  F16: (bytes, at) => decodeFloat16(bytes.getUint16(2 * at, true)),
  BF16: (bytes, at) => decodeBfloat16(bytes.getUint16(2 * at, true)),
  I64: (bytes, at) => Number(bytes.getBigInt64(8 * at, true)),
  I32: (bytes, at) => bytes.getInt32(4 * at, true),
  U8: (bytes, at) => bytes.getUint8(at),
  BOOL: (bytes, at) => bytes.getUint8(at),
};

/** What the bytes of safetensors say, read in the plainest way: right of those that are no damaged ones. */
function plainTensors(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 8 + Number(view.getBigUint64(0, true));
  const { __metadata__: _, ...all } = JSON.parse(Buffer.from(bytes.subarray(8, start)).toString());
  const texts = Object.entries<{ dtype: string; shape: number[]; data_offsets: [number, number] }>(
    all,
  ).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [begin, end],
      },
    ]) => {
      const own = new DataView(bytes.buffer, bytes.byteOffset + start + begin, end - begin);
      const length = shape.reduce((product, side) => product * side, 1);
      return `${name} ${shape} ${Array.from({ length }, (_, i) => numberAt[dtype]!(own, i)).join()}`;
    },
  );
  return texts.sort().join('\n');
}

/** A tensor of each type. */
const ofEachType = written((file) =>
  writeSafetensors(
    file,
    {
      weight: { dtype: 'F32', shape: [3, 5], data: ramp(15) },
      half: { dtype: 'BF16', shape: [4], data: ramp(4) },
      other: { dtype: 'F16', shape: [2, 1], data: ramp(2) },
      count: { dtype: 'I64', shape: [], data: Float64Array.of(7) },
      double: { dtype: 'F64', shape: [1], data: Float64Array.of(1 / 3) },
      label: { dtype: 'I32', shape: [2], data: Int32Array.of(-1, 5) },
      byte: { dtype: 'U8', shape: [3], data: Uint8Array.of(0, 1, 255) },
    },
    { note: 'a "note"' },
  ),
);

/** A tensor of each type that a page reads. */
const ofFloats = written((file) =>
  writeSafetensors(file, {
    weight: { dtype: 'F32', shape: [3, 5], data: ramp(15) },
    half: { dtype: 'BF16', shape: [4], data: ramp(4) },
    other: { dtype: 'F16', shape: [2, 1], data: ramp(2) },
  }),
);
const fetched = async (file: string, bytes: Uint8Array) =>
  tensorsOf(fileInMemory(Uint8Array.from(bytes).buffer, file));

const stateDict = written((file) =>
  writeTorchFile(file, {
    'a.weight': { shape: [3, 5], dtype: 'F32', data: () => ramp(15) },
    'a.bias': { shape: [5], dtype: 'F32', data: () => ramp(5) },
  }),
);
/** The files in one, by name, once there is one. */
const inStateDict: Record<string, Uint8Array> = {};
const pickleName = 'pickles-of-state-dicts/data.pkl';

const labels = npyOf('<i8', [4], int64([5, -1, 1000, 2 ** 40]));
const integersOf = async (file: string): Promise<string> => {
  const unpacked = `${file}.npy`;
  fs.rmSync(unpacked, { force: true });
  const array = await npzArray(file, 'labels', unpacked);
  const numbers = await npyIntegers(array);
  expect(numbers.length).toBe(array.shape.reduce((product, side) => product * side, 1));
  return `${array.shape}: ${numbers}`;
};

const idx = Buffer.concat([
  Uint8Array.of(0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 4),
  Buffer.from('twelve bytes'),
]);
const idxOf = async (file: string, bytes: Uint8Array): Promise<string> => {
  const { shape, data } = decodeIdx(fs.readFileSync(file), file);
  const plain = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
  expect(shape.length).toBe(plain[3]);
  expect(data.length).toBe(shape.reduce((product, side) => product * side, 1));
  expect(Buffer.compare(data, plain.subarray(4 + 4 * shape.length))).toBe(0);
  return `${shape}: ${data}`;
};

const archive = tarOf([
  { name: 'a', content: 'first' },
  { name: 'long', type: 'x', content: '18 path=long/name\n11 size=5\n' },
  { name: 'b', content: 'later' },
  { name: 'longer', type: 'L', content: 'longest/name\0' },
  { name: 'c', content: 'last', gnu: true, binarySize: true },
]);
const filesOf = async (file: string, plain: Uint8Array): Promise<string> => {
  const found: string[] = [];
  const bytes = await tarInMemory(file);
  for await (const { name, position, length } of tarEntries(bytes)) {
    expect(position % 512).toBe(0);
    expect(position + length).toBeLessThanOrEqual(plain.length);
    const content = await bytes.read(position, length);
    expect(content.length).toBe(length);
    found.push(`${name}: ${Buffer.from(content).toString('hex')}`);
  }
  return found.join('\n');
};

/** A list of ImageNet's validation images, as Kaggle has it, and the archive of those. */
const listed = ['n02119789', 'n01440764', 'n01440764', 'n03250847'];
const nameOf = (i: number) => `ILSVRC2012_val_0000000${i}`;
const imagenetLabels: Format = {
  sample(file) {
    fs.mkdirSync(`${file}.set`);
    fs.symlinkSync(file, path.join(`${file}.set`, 'LOC_val_solution.csv'));
    const pictures = listed.map((_, i) => ({ name: `${nameOf(i)}.JPEG`, content: 'none' }));
    fs.writeFileSync(path.join(`${file}.set`, 'ILSVRC2012_img_val.tar'), tarOf(pictures));
    const lines = listed.map((id, i) => `${nameOf(i)},${id} 85 1 499 272`);
    return Buffer.from(['ImageId,PredictionString', ...lines].join('\n'));
  },
  async read(file, bytes) {
    const lines = Buffer.from(bytes).toString().split('\n');
    const image = { channels: 3, height: 1, width: 1 };
    const opening = { root: `${file}.set`, split: 'test', options: { image } } as const;
    const { classes, labels, description } = await imagenet.open(opening);
    const { names } = description as ArchiveDescription;
    const found = Array.from(labels, (label) => classes[label]!);
    expect(found).toHaveLength(listed.length);
    for (const id of found) expect(id).toMatch(/^n\d{8}$/);
    found.forEach((id, i) => {
      const name = textAt(names, i).slice(0, -'.JPEG'.length);
      expect(lines.some((line) => line.includes(name) && line.includes(id))).toBe(true);
    });
    return found.join();
  },
};

const formats: Record<string, Format> = {
  safetensors: {
    sample: ofEachType,
    read: tensors,
    // Two damages in one file may hit the sums' name, and a number.
    summed: (damaged) => Buffer.from(damaged).includes('"tarflow.crc32":"'),
  },
  'safetensors of other libraries': {
    sample: async (file) => withoutSums(await ofEachType(file)),
    async read(file, bytes) {
      const found = await tensors(file);
      expect(found).toBe(plainTensors(bytes));
      return found;
    },
  },
  'weights that a page fetches': {
    sample: ofFloats,
    read: fetched,
    summed: (damaged) => Buffer.from(damaged).includes('"tarflow.crc32":"'),
  },
  'weights of other libraries that a page fetches': {
    sample: async (file) => withoutSums(await ofFloats(file)),
    async read(file, bytes) {
      const found = await fetched(file, bytes);
      expect(found).toBe(plainTensors(bytes));
      return found;
    },
  },
  'state dicts in zip archives': { sample: stateDict, read: tensors, summed: () => true },
  'pickles of state dicts': {
    async sample(file) {
      Object.assign(inStateDict, unzipSync(await stateDict(file)));
      return inStateDict[pickleName]!;
    },
    pack: (damaged) => zipSync({ ...inStateDict, [pickleName]: damaged }, { level: 0 }),
    read: tensors,
  },
  'state dicts of old': {
    sample: () => fs.readFileSync(path.join(__dirname, 'pth', 'many-before-1.6.pth')),
    read: tensors,
  },
  'archives of NumPy, stored': {
    sample: () => npzOf({ labels }),
    read: integersOf,
    summed: () => true,
  },
  'archives of NumPy, compressed': {
    sample: () =>
      npzOf(
        { labels: npyOf('<i8', [400], int64(Array.from({ length: 400 }, (_, i) => i % 10))) },
        { compressed: true },
      ),
    read: integersOf,
    summed: () => true,
  },
  'arrays of NumPy': {
    sample: () => labels,
    pack: (damaged) => npzOf({ labels: damaged }),
    read: integersOf,
  },
  IDX: { sample: () => idx, read: idxOf },
  'IDX by gzip': { sample: () => gzipSync(idx), read: idxOf, summed: () => true },
  'IDX within gzip': { sample: () => idx, pack: (damaged) => gzipSync(damaged), read: idxOf },
  tar: { sample: () => archive, read: filesOf },
  'headers of tar': { sample: () => archive, pack: withTarSums, read: filesOf },
  'lists of ImageNet': imagenetLabels,
};

fuzz(formats);
