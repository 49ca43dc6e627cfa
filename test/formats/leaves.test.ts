import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { tf } from '../../src/core/tf.js';
import { readLeaves, tensorSource } from '../../src/formats/leaves.js';
import { openSafetensors, writeSafetensors } from '../../src/formats/safetensors.js';

beforeAll(async () => {
  await startEngine();
});

test('tensors of the engine come back from a file, all or those named, and none is left', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-leaves-'));
  onTestFinished(() => fs.rmSync(folder, { recursive: true }));
  const target = path.join(folder, 'leaves.safetensors');
  const before = tf.memory().numTensors;
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
  expect(tf.memory().numTensors).toBe(before);
});
