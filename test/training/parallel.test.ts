import { describe, expect, test } from 'vitest';
import { type Leaves, leaves, normal, randomKey, tf, tidy } from '../../src/core/index.js';
import { disposeModel, freshModel } from '../../src/flow/state-dict.js';
import { modelSpec, type Task } from '../../src/training/model-spec.js';
import type { MeanOverProcesses } from '../../src/training/program.js';
import { initialState } from '../../src/training/state.js';
import { gradientStep, packingOf } from '../../src/training/step.js';
import { type TrainingRun, train } from '../../src/training/train.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { madeUpImages, smallSettings } from './small.js';
import { affineConfig, affineFamily, chaseConfig, chaseFamily } from './toys.js';

/** Where simulated processes meet: each waits until all have come, and gets the means. */
function meeting(size: number): MeanOverProcesses {
  let came: { given: Leaves; leave: (means: Leaves) => void }[] = [];
  return (given) =>
    new Promise((leave) => {
      came.push({ given, leave });
      if (came.length < size) return;
      const all = came;
      came = [];
      const mean = (name: string): tf.Tensor =>
        tf.div(tf.addN(all.map((one) => one.given[name] as tf.Tensor)), size);
      for (const one of all) {
        one.leave(
          tidy(() => Object.fromEntries(Object.keys(given).map((name) => [name, mean(name)]))),
        );
      }
    });
}

/** Largest difference of numbers, as a share of the largest one. */
function difference(a: Leaves, b: Leaves): number {
  let [largest, scale] = [0, 0];
  for (const [name, tensor] of Object.entries(a)) {
    const others = (b[name] as tf.Tensor).dataSync();
    tensor.dataSync().forEach((value, i) => {
      largest = Math.max(largest, Math.abs(value - (others[i] as number)));
      scale = Math.max(scale, Math.abs(value));
    });
  }
  return largest / scale;
}

/** Sums of as many float32 numbers in another order: some units of the last of 24 places. */
const rounding = 2 ** -20;

test('the mean of what two half batches give is what the whole batch gives', () => {
  tf.tidy(() => {
    const spec = modelSpec(affineFamily, affineConfig);
    const model = freshModel(affineFamily, affineConfig, 1);
    const state = initialState(spec, model, false);
    state['parameters.logScale'] = tf.tensor1d(normal(randomKey(2), 16));
    const [task] = spec.tasks as [Task];
    const gradient = gradientStep(spec, task, packingOf(spec, 'eager'), 1);
    const images = tf.tensor4d(normal(randomKey(3), 8 * 16), [8, 1, 4, 4]);
    const whole = gradient(state, { images });
    const halves = tf.split(images, 2).map((half) => gradient(state, { images: half }));
    expect(Object.keys(whole)).toEqual([
      'terms.loss',
      'terms.prior',
      'terms.logDet',
      'terms.meanSquares',
      'buffers.var',
      'gradient.mean',
      'gradient.logScale',
    ]);
    for (const [name, tensor] of Object.entries(whole)) {
      const [a, b] = halves.map((half) => half[name] as tf.Tensor) as [tf.Tensor, tf.Tensor];
      const mean = tf.div(tf.add(a, b), 2);
      expect(difference({ [name]: tensor }, { [name]: mean }), name).toBeLessThan(rounding);
      // A check that can fail: neither half alone is the whole.
      if (name !== 'terms.logDet') {
        expect(difference({ [name]: tensor }, { [name]: a }), name).toBeGreaterThan(1e-3);
      }
    }
  });
});

describe('two processes with half of each batch', () => {
  const common = {
    data: madeUpImages('train', 32),
    validation: madeUpImages('test', 20),
    settings: { ...smallSettings, steps: 6, averageDecay: 0.5, flip: true },
  };
  const affine = { family: affineFamily, config: affineConfig, ...common };
  const chase = { family: chaseFamily, config: chaseConfig, ...common };
  const clipping = { ...affine, settings: { ...common.settings, clipNorm: 0.1 } };
  type Run = Pick<TrainingRun, 'family' | 'config' | 'data' | 'validation' | 'settings'>;

  test.each<[string, Run, TrainingRun['mode']]>([
    ['op by op', affine, 'eager'],
    ['as graphs', affine, 'graph'],
    ['compiled, with one vector of all leaves', affine, 'xla'],
    ['with several objectives', chase, 'eager'],
    ['with clipped gradients', clipping, 'eager'],
  ])('each follow the one that has all of it, %s', async (_, run, mode) => {
    expectNoTensorsLeft();
    const own = { ...run, ...(mode && { mode }) };
    const alone = await train(own);
    const mean = meeting(2);
    const both = await Promise.all(
      [0, 1].map((rank) => train({ ...own, parallel: { rank, size: 2, mean } })),
    );
    const expected = { ...leaves(alone.model.parameters), ...alone.model.buffers };
    for (const { model, records } of both) {
      const found = { ...leaves(model.parameters), ...model.buffers };
      expect(difference(expected, found)).toBeLessThan(1e-5);
      records.forEach((record, i) => {
        const { loss, gradientNorm, validation } = alone.records[i]!;
        expect(record.loss).toBeCloseTo(loss, 5);
        expect(record.gradientNorm).toBeCloseTo(gradientNorm, 5);
        expect(record.validation?.loss ?? 0).toBeCloseTo(validation?.loss ?? 0, 5);
      });
    }
    const [first, second] = both.map(({ model }) => leaves(model.parameters)) as [Leaves, Leaves];
    // Bit for bit: processes that drift apart would not be noticed.
    expect(difference(first, second)).toBe(0);
    for (const { model } of [alone, ...both]) disposeModel(model);
  });

  test('differ from one that has half of it alone', async () => {
    const half = { ...affine, settings: { ...common.settings, batchSize: 4 } };
    const [whole, part] = await Promise.all(
      [affine, half].map((run) => train({ ...run, mode: 'eager' })),
    );
    const [a, b] = [whole!, part!].map(({ model }) => leaves(model.parameters)) as [Leaves, Leaves];
    expect(difference(a, b)).toBeGreaterThan(1e-3);
    for (const { model } of [whole!, part!]) disposeModel(model);
  });
});
