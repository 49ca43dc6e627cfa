import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { readLeaves, tensorSource } from '../../src/formats/leaves.js';
import {
  type HostDtype,
  openSafetensors,
  type SafetensorsFile,
  writeSafetensors,
} from '../../src/formats/safetensors.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { sharedFolder, temporaryFolder } from '../temporary-folder.js';

const folder = sharedFolder();
/** Does something with an open file of a tensor (4, 2, 3) that holds 0 … 23, between others. */
async function withFile<T>(
  dtype: HostDtype,
  use: (file: SafetensorsFile) => Promise<T>,
): Promise<T> {
  const name = path.join(folder, 'rows.safetensors');
  const numbers = Array.from({ length: 24 }, (_, i) => i);
  const data = dtype === 'U8' ? Uint8Array.from(numbers) : Float32Array.from(numbers);
  const other = { shape: [3], dtype: 'F64', data: Float64Array.of(7, 8, 9) } as const;
  await writeSafetensors(name, {
    a: other,
    rows: { shape: [4, 2, 3], dtype, data },
    scalar: { shape: [], dtype: 'F32', data: Float32Array.of(5) },
    z: other,
  });
  const file = await openSafetensors(name);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

describe.each(['F32', 'BF16', 'U8'] as const)('rows of %s', (dtype) => {
  test.each([
    [0, 4],
    [0, 1],
    [1, 2],
    [3, 1],
    [4, 0],
  ])('from %i, %i of them', async (first, count) => {
    const { shape, data } = await withFile(dtype, (file) => file.read('rows', { first, count }));
    expect(shape).toEqual([count, 2, 3]);
    expect([...data]).toEqual(Array.from({ length: 6 * count }, (_, i) => 6 * first + i));
  });
});

test.each([
  ['rows', -1, 2],
  ['rows', 3, 2],
  ['rows', 0, -1],
  ['scalar', 0, 1],
])('%s has no rows from %i, %i of them', async (name, first, count) => {
  const read = withFile('F32', (file) => file.read(name, { first, count }));
  await expect(read).rejects.toThrow(RangeError);
});

test('without rows, tensors are read whole', async () => {
  const [rows, scalar] = await withFile('F32', (file) =>
    Promise.all([file.read('rows'), file.read('scalar')]),
  );
  expect(rows).toMatchObject({
    shape: [4, 2, 3],
    data: Float32Array.from({ length: 24 }, (_, i) => i),
  });
  expect(scalar).toMatchObject({ shape: [], data: Float32Array.of(5) });
});

test('tensors of the engine come back from a file, all or those named, and none is left', async () => {
  const folder = temporaryFolder();
  const target = path.join(folder, 'leaves.safetensors');
  expectNoTensorsLeft();
  const a = tf.tensor2d([
    [1, 2.5],
    [3, 4],
  ]);
  await writeSafetensors(target, {
    a: tensorSource(a, 'BF16'),
    whole: { shape: [2], dtype: 'I32', data: new Int32Array([7, 8]) },
    wide: { shape: [1], dtype: 'F64', data: new Float64Array([0.5]) },
  });
  const file = await openSafetensors(target);
  const all = await readLeaves(file);
  expect(Object.keys(all).sort()).toEqual(['a', 'whole', 'wide']);
  expect(await all.a!.array()).toEqual(await a.array());
  expect(await all.whole!.array()).toEqual([7, 8]);
  expect(all.whole!.dtype).toBe('float32');
  expect(await all.wide!.array()).toEqual([0.5]);
  tf.dispose([a, all]);
  const some = await readLeaves(file, ['wide']);
  expect(Object.keys(some)).toEqual(['wide']);
  tf.dispose(some);
  await expect(readLeaves(file, ['a', 'none'])).rejects.toThrow(/'none'/);
  await file.close();
});
