import { describe, expect, test } from 'vitest';
import { tf, UserError } from '../../src/core/index.js';
import { score } from '../../src/flow/density.js';
import { forward } from '../../src/flow/forward.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { createModel } from '../../src/models/registry.js';
import { train } from '../../src/models/train-pictures.js';
import { denoise, inverse, sample, sampleNoise } from '../../src/sampling/index.js';
import { saveCheckpoint } from '../../src/training/checkpoint.js';
import { difference, randomImages, smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';

describe('sample', () => {
  test('the same seed gives the same samples bit for bit, another seed others', async () => {
    const flow = smallFlow({ classes: 2 });
    const options = { count: 3, label: [0, 1, 0], guidance: { weight: 1 }, mode: 'eager' } as const;
    expectNoTensorsLeft();
    const [first, again, other] = [
      await sample(flow, { ...options, seed: 7 }),
      await sample(flow, { ...options, seed: 7 }),
      await sample(flow, { ...options, seed: 8 }),
    ];
    expect(first.shape).toEqual([3, 1, 4, 4]);
    expect(first.dataSync()).toEqual(again.dataSync());
    expect(difference(first, other)).toBeGreaterThan(0.1);
    tf.dispose([first, again, other]);
  });

  test('a sample does not depend on the batch size nor on how many follow', async () => {
    const flow = smallFlow({ classes: 2 });
    const labels = [0, 1, 1, 0, 1];
    const whole = await sample(flow, { count: 5, label: labels, seed: 3 });
    const parts = await sample(flow, { count: 5, label: labels, seed: 3, batchSize: 2 });
    const few = await sample(flow, { count: 2, label: labels.slice(0, 2), seed: 3 });
    expect(difference(whole, parts)).toBeLessThan(1e-5);
    const head = tf.slice(whole, [0, 0, 0, 0], [2, -1, -1, -1]);
    expect(difference(head, few)).toBeLessThan(1e-5);
  });

  test('noise has the deviation of the prior', () => {
    const flow = smallFlow();
    const plain = sampleNoise(flow, 1, 0, 2);
    // A volume-preserving flow measures the variance; that of others is 1.
    const config = { ...flow.config, volumePreserving: true };
    const widened = { ...flow, config, buffers: { var: tf.mul(flow.buffers.var!, 4) } };
    const scaled = sampleNoise(widened, 1, 0, 2);
    const doubled = tf.mul(plain, 2);
    expect(difference(scaled, doubled)).toBeLessThan(1e-6);
  });

  test('the temperature of the prior scales its noise: none at 0, where all samples are one', async () => {
    const flow = smallFlow();
    const plain = sampleNoise(flow, 1, 0, 2);
    const cool = sampleNoise(flow, 1, 0, 2, 0.5);
    expect(difference(tf.mul(plain, 0.5), cool)).toBe(0);
    const usual = { count: 2, seed: 1 };
    const [own, one, coolImages, still] = [
      await sample(flow, usual),
      await sample(flow, { ...usual, priorTemperature: 1 }),
      await sample(flow, { ...usual, priorTemperature: 0.5 }),
      await sample(flow, { ...usual, priorTemperature: 0 }),
    ];
    expect(own.dataSync()).toEqual(one.dataSync());
    const back = forward(flow, coolImages).z;
    expect(difference(back, cool)).toBeLessThan(1e-4);
    const [first, second] = tf.split(still, 2);
    expect(difference(first!, second!)).toBe(0);
    for (const priorTemperature of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await expect(sample(flow, { ...usual, priorTemperature })).rejects.toThrow(
        'The temperature of the prior is',
      );
    }
  });

  test('a solver is passed on, and denoising follows', async () => {
    const flow = smallFlow();
    const solver = { kind: 'jacobi', tolerance: 0 } as const;
    let traces = 0;
    const drawn = { count: 2, mode: 'eager' } as const;
    const noisy = await sample(flow, { ...drawn, solver, onTrace: () => traces++ });
    expect(traces).toBe(2);
    const clean = await sample(flow, { ...drawn, denoise: { sigma: 0.1 } });
    const expected = denoise(flow, noisy, { sigma: 0.1 });
    expect(difference(clean, expected)).toBeLessThan(1e-4);
  });

  test('a stopped run frees what it made', async () => {
    const flow = smallFlow();
    expectNoTensorsLeft();
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(sample(flow, { count: 2, signal })).rejects.toThrow('enough');
    const bad = sample(flow, { count: 2, denoise: { sigma: 0 } });
    await expect(bad).rejects.toThrow(UserError);
  });

  test.each([0, -1, 1.5, Number.NaN])('a count or batch size of %s is named', async (count) => {
    const flow = smallFlow();
    await expect(sample(flow, { count })).rejects.toThrow(`number of samples is ${count}`);
    const batches = sample(flow, { count: 2, batchSize: count });
    await expect(batches).rejects.toThrow(`batch size is ${count}`);
  });
});

test('what no compiler looked at is named: a promise, no tensor, no options', async () => {
  const flow = smallFlow({});
  const images = randomImages(flow, 1, 3);
  const any = (value: unknown) => value as never;
  const wrong: [() => unknown, RegExp][] = [
    [() => sample(any(Promise.resolve(flow)), { count: 1 }), /model is a promise\. Put await/],
    [() => sample(any(undefined), { count: 1 }), /The model is undefined\. Expected an object/],
    [() => sample(flow, any(undefined)), /options is undefined/],
    [() => sample(flow, { count: any('4') }), /number of samples is 4\. Expected a whole number/],
    [() => forward(flow, any([[1, 2]])), /stands for images is Array/],
    [() => denoise(flow, images, any(undefined)), /options is undefined/],
    [() => inverse(flow, any(undefined)), /stands for noise is undefined/],
    [() => createModel(any(undefined), 1), /Unknown kind of model 'undefined'/],
    [() => loadCheckpoint(any(undefined)), /The file undefined cannot be read/],
    [() => train(any({})), /to be trained is Object\. Expected an object with family and config/],
    [() => saveCheckpoint(any(Promise.resolve(flow)), 'x'), /model is a promise/],
  ];
  for (const [call, message] of wrong) {
    const told = await Promise.resolve()
      .then(call)
      .catch((error: unknown) => error);
    expect(told).toBeInstanceOf(UserError);
    expect(`${told}`).toMatch(message);
  }
  images.dispose();
});

describe('denoise', () => {
  test('the step is the multiplier times the variance of the noise times the score', () => {
    tf.tidy(() => {
      const flow = smallFlow();
      const x = randomImages(flow, 2, 4);
      const moved = denoise(flow, x, { sigma: 0.2, multiplier: 1.5 });
      const expected = tf.add(x, tf.mul(score(flow, x), 1.5 * 0.04));
      expect(difference(moved, expected)).toBeLessThan(1e-6);
    });
  });

  test('a model that spreads the background has a score, and no noise to take away', async () => {
    const flow = smallFlow({ background: 0 });
    const x = randomImages(flow, 2, 4);
    const [eager, graph] = [score(flow, x, { mode: 'eager' }), score(flow, x)];
    const largest = tf.tidy(() => tf.max(tf.abs(eager)).dataSync()[0] as number);
    expect(difference(eager, graph)).toBeLessThan(1e-5 * largest);
    expect(() => denoise(flow, x, { sigma: 0.1 })).toThrow(/background/);
    const images = await sample(flow, { count: 3, seed: 1 });
    const least = tf.tidy(() => tf.min(images).dataSync()[0]);
    expect(least).toBeGreaterThanOrEqual(-1);
  });

  test.each([0, -0.1, Number.NaN])('a deviation or a multiplier of %s is named', (sigma) => {
    const flow = smallFlow();
    const x = randomImages(flow, 1, 4);
    expectNoTensorsLeft();
    expect(() => denoise(flow, x, { sigma })).toThrow(UserError);
    const step = { sigma: 0.1, multiplier: sigma };
    expect(() => denoise(flow, x, step)).toThrow(
      `the multiplier ${sigma}. Expected a number above 0`,
    );
  });
});
