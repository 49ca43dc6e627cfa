import { describe, expect, test } from 'vitest';
import { normal, randomKey, tf, UserError } from '../../src/core/index.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { tarflow } from '../../src/models/tarflow/index.js';
import type { LikelihoodRecord, StepRecord } from '../../src/training/record.js';
import type { TrainingSettings } from '../../src/training/settings.js';
import { initialState } from '../../src/training/state.js';
import { trainingStep } from '../../src/training/step.js';
import { train } from '../../src/training/train.js';
import { expectNoTensorsLeft } from '../leaks.js';
import {
  livelyFlow,
  madeUpImages,
  packedState,
  smallConfig,
  smallSettings,
  type TarFlowRun,
  tarflowSpec,
  unpackedState,
} from './small.js';

function run(settings: Partial<TrainingSettings> = {}, more: Partial<TarFlowRun> = {}): TarFlowRun {
  return {
    family: tarflow,
    config: smallConfig,
    settings: { ...smallSettings, ...settings },
    data: madeUpImages('train', 32),
    validation: madeUpImages('test', 20),
    // Recording a graph takes longer than these few steps.
    mode: 'eager',
    ...more,
  };
}

async function records(of: TarFlowRun): Promise<LikelihoodRecord[]> {
  const { model, records } = await train(of);
  disposeModel(model);
  return records as LikelihoodRecord[];
}

test('a record of every step, with what was measured', async () => {
  const before = tf.memory().numTensors;
  const seen: StepRecord[] = [];
  const kept = await records(run({}, { onStep: (record) => void seen.push(record) }));
  expect(tf.memory().numTensors).toBe(before);
  expect(seen).toEqual(kept);
  expect(kept.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  for (const record of kept) {
    expect(record.loss).toBeCloseTo(record.prior - record.logDet, 5);
    expect(record.meanSquares).toHaveLength(2);
    expect(record.meanSquares[1]).toBeCloseTo(2 * record.prior, 5);
    expect(record.gradientNorm).toBeGreaterThan(0);
    expect(record.imagesPerSecond).toBeGreaterThan(0);
    expect(record.epoch).toBe(record.step / 4);
    expect(record.validation !== undefined).toBe([3, 6, 7].includes(record.step));
  }
  expect(kept[0]!.learningRate).toBe(1e-6);
  expect(kept[2]!.learningRate).toBe(1e-2);
  const { loss, bitsPerDimension } = kept[6]!.validation!;
  const expected = (loss + 0.5 * Math.log(2 * Math.PI) + Math.log(128)) / Math.LN2;
  expect(bitsPerDimension).toBeCloseTo(expected, 6);
});

test.each<[string, Partial<TarFlowRun>]>([
  ['as it is', {}],
  ['with a background', { config: { ...smallConfig, background: 0 } }],
])('as one graph it measures the same as op by op, %s', async (_, more) => {
  const eager = await records(run({}, more));
  const graph = await records(run({}, { ...more, mode: undefined }));
  graph.forEach(({ loss, gradientNorm, validation }, i) => {
    expect(loss).toBeCloseTo(eager[i]!.loss, 4);
    expect(gradientNorm).toBeCloseTo(eager[i]!.gradientNorm, 3);
    expect(validation?.loss ?? 0).toBeCloseTo(eager[i]!.validation?.loss ?? 0, 4);
  });
});

test('XLA, with the validation in parts, measures the same as op by op', async () => {
  const short = { steps: 2, validateEvery: 1 };
  const [eager, xla] = [await records(run(short)), await records(run(short, { mode: 'xla' }))];
  xla.forEach(({ loss, validation }, i) => {
    expect(loss).toBeCloseTo(eager[i]!.loss, 4);
    expect(validation!.loss).toBeCloseTo(eager[i]!.validation!.loss, 4);
  });
});

test.each([false, true])(
  'a step in parts is the step, volume preserving: %s',
  (volumePreserving) => {
    tf.tidy(() => {
      const config = { ...smallConfig, volumePreserving };
      const flow = livelyFlow(config);
      const { spec, task, packing } = tarflowSpec(config);
      const state = initialState(spec, flow, false);
      const inputs = {
        images: tf.tensor4d(normal(randomKey(2), 6 * 16), [6, 1, 4, 4]),
        classes: tf.cast(tf.oneHot([0, 1, 2, 0, 1, 2], 3), 'float32') as tf.Tensor2D,
        learningRate: tf.scalar(1e-2),
        firstCorrection: tf.scalar(0.1),
        secondCorrection: tf.scalar(0.001),
      };
      const [whole, parts] = [1, 3].map((count) => {
        const step = trainingStep(spec, task, packing, { clipNorm: 1, parts: count });
        const { outputs, updates } = step(state, inputs);
        // Not the parameters: AdamW makes full steps of gradients that are rounding alone.
        const moments = Object.entries(updates).filter(([name]) => !name.startsWith('parameters.'));
        return [...Object.entries(outputs), ...moments];
      });
      expect(whole!.length).toBeGreaterThan(20);
      whole!.forEach(([name, tensor], i) => {
        const other = parts![i] as [string, tf.Tensor];
        expect(other[0]).toBe(name);
        const numbers = other[1].dataSync();
        tensor.dataSync().forEach((value, at) => {
          expect(Math.abs(value - numbers[at]!), name).toBeLessThan(1e-5);
        });
      });
    });
  },
);

test('a state for XLA is vectors, which a step takes, and of which the state comes back', () => {
  expectNoTensorsLeft();
  const flow = livelyFlow(smallConfig);
  const { spec, task, packing } = tarflowSpec(smallConfig, 'xla');
  const apart = tarflowSpec(smallConfig, 'graph').packing;
  const options = { averages: true, clipNorm: 1, parts: 1 };
  const state = initialState(spec, flow, true);
  // As a file has it, in another order.
  const sorted = Object.fromEntries(Object.entries(state).sort());
  const vectors = packedState(packing, sorted);
  const kinds = ['parameters', 'first', 'second', 'average'].map(
    (kind) => `${kind}.packed likelihood`,
  );
  expect(new Set(Object.keys(vectors))).toEqual(new Set(['buffers.var', ...kinds]));
  const same = unpackedState(packing, vectors);
  expect(Object.keys(same).sort()).toEqual(Object.keys(state).sort());
  for (const [name, tensor] of Object.entries(same)) {
    expect(tensor.shape, name).toEqual(state[name]!.shape);
    expect(tensor.dataSync(), name).toEqual(state[name]!.dataSync());
  }
  tf.tidy(() => {
    const inputs = {
      images: tf.tensor4d(normal(randomKey(2), 3 * 16), [3, 1, 4, 4]),
      classes: tf.cast(tf.oneHot([0, 1, 2], 3), 'float32') as tf.Tensor2D,
      learningRate: tf.scalar(1e-2),
      firstCorrection: tf.scalar(0.1),
      secondCorrection: tf.scalar(0.001),
      averageShare: tf.scalar(0.5),
    };
    const { outputs, updates } = trainingStep(spec, task, apart, options)(state, inputs);
    const { outputs: packed, updates: changed } = trainingStep(
      spec,
      task,
      packing,
      options,
    )(vectors, inputs);
    expect(packed.gradientNorm!.dataSync()[0]).toBeCloseTo(outputs.gradientNorm!.dataSync()[0]!, 5);
    const after = unpackedState(packing, { ...vectors, ...changed });
    for (const [name, tensor] of Object.entries(updates)) {
      expect(after[name]!.dataSync(), name).toEqual(tensor.dataSync());
    }
  });
  // Tensors of no group, as buffers, are shared.
  tf.dispose([state, vectors, same]);
  disposeModel(flow);
});

test('the validation of Gaussian noise has no bits per dimension', async () => {
  const kept = await records(run({ steps: 1, noise: { kind: 'gaussian', sigma: 0.1 } }));
  const { loss, prior, logDet, ...more } = kept[0]!.validation!;
  expect(loss).toBeCloseTo(prior! - logDet!, 5);
  expect(more).toEqual({});
});

test.each([
  ['beta1', 0.9],
  ['beta2', 0.95],
])(
  '%s is %d where it is absent; its bias is corrected, so a first step is the same with any',
  async (beta, value) => {
    const losses = async (settings: Partial<TrainingSettings>) =>
      (await records(run({ steps: 12, warmupSteps: 0, ...settings }))).map(({ loss }) => loss);
    const [absent, usual, other] = [
      await losses({}),
      await losses({ [beta]: value }),
      await losses({ [beta]: 0.5 }),
    ] as [number[], number[], number[]];
    expect(usual).toEqual(absent);
    // The loss of the second step follows from the first one.
    expect(other[1]).toBeCloseTo(absent[1] as number, 4);
    const apart = other.map((loss, step) => Math.abs(loss - (absent[step] as number)));
    expect(Math.max(...apart)).toBeGreaterThan(1e-3);
  },
);

describe('what does not fit is refused, and nothing leaks', () => {
  const cases: [Partial<TrainingSettings>, Partial<TarFlowRun>, RegExp][] = [
    [{ steps: 1.5 }, {}, /steps is 1\.5/],
    [{ batchSize: 33 }, {}, /batch of 33 is larger than made-up \(32/],
    [{}, { config: { ...smallConfig, classes: 2 } }, /3 classes and the model 2/],
    [
      { noise: { kind: 'gaussian', sigma: 0.1 } },
      { config: { ...smallConfig, background: 0 } },
      /background.*gaussian noise.*noise=uniform/s,
    ],
    [{}, { config: { ...smallConfig, background: 1 as never } }, /background is 1/],
    [{}, { config: { ...smallConfig, channels: 6 } }, /headWidth 4 does not divide channels 6/],
  ];
  test.each(cases)('%j', async (settings, more, message) => {
    expectNoTensorsLeft();
    const error = await train(run(settings, more)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(message);
  });

  test('a loss that is not finite', async () => {
    expectNoTensorsLeft();
    const absurd = train(run({ peakLearningRate: 1e12, warmupSteps: 1, steps: 20 }));
    await expect(absurd).rejects.toThrow(/is (NaN|Infinity).*lower peakLearningRate/);
  });
});
