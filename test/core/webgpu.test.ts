import { beforeAll, describe, expect, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { tf, tidy } from '../../src/core/tf.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { webGpuIsAbsent, webGpuTitle } from './webgpu-device.js';

const absent = webGpuIsAbsent();

describe.skipIf(absent !== undefined)(webGpuTitle('WebGPU', absent), () => {
  beforeAll(async () => {
    await startEngine({ engine: 'webgpu' });
  });

  /** A matrix that is computed on the device: small ones stay on the host. */
  function product(): tf.Tensor2D {
    return tf.tidy(() => {
      const ones = tf.ones([96, 96]);
      return tf.add(tf.matMul(ones, ones), tf.range(0, 96));
    });
  }

  test('says what it runs on', async () => {
    const report = await startEngine();
    expect(report.engine).toBe('webgpu');
    expect(report.device).not.toBe('');
  });

  test('results are read at once, and in turn', async () => {
    expectNoTensorsLeft();
    const x = product();
    expect(Array.from(x.dataSync().slice(0, 3))).toEqual([96, 97, 98]);
    const y = product();
    expect(Array.from((await y.data()).slice(0, 3))).toEqual([96, 97, 98]);
    tf.dispose([x, y]);
  });

  test('one is read at once while others are awaited', async () => {
    const tensors = [product(), product(), product(), product()];
    const [first, second, third, last] = tensors as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
    const awaited = [first.data(), second.data()];
    expect(third.dataSync()[1]).toBe(97);
    awaited.push(last.data());
    for (const values of await Promise.all(awaited)) expect(values[2]).toBe(98);
  });

  test('whole numbers and truths keep their type', () => {
    const values = tidy(() => {
      const x = product();
      return {
        whole: tf.cast(x, 'int32').dataSync(),
        truths: tf.greater(x, 100).dataSync(),
      };
    });
    expect(values.whole).toBeInstanceOf(Int32Array);
    expect(values.whole[5]).toBe(101);
    expect(Array.from(values.truths.slice(3, 7))).toEqual([0, 0, 1, 1]);
  });
});
