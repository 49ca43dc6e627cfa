import { expect, test } from 'vitest';
import { type Leaves, normal, randomKey, tf, tidy } from '../../src/core/index.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { createTarFlow } from '../../src/models/tarflow/index.js';
import { averageShare, biasCorrections } from '../../src/training/optimiser/adamw.js';
import { initialState, trainedModel } from '../../src/training/state.js';
import { trainingStep } from '../../src/training/step.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { smallConfig, tarflowSpec } from './small.js';

const config = { ...smallConfig, classes: 0 };

/** Three steps, and the output bias of block 0 before each of them. */
function run({ decay = 0, clipNorm }: { decay?: number; clipNorm?: number }, rate = 0.1) {
  const flow = createTarFlow(config, 1);
  const { spec, task, packing } = tarflowSpec(config);
  const step = trainingStep(spec, task, packing, {
    weightDecay: 0,
    parts: 1,
    averages: decay > 0,
    ...(clipNorm !== undefined && { clipNorm }),
  });
  let state: Leaves = initialState(spec, flow, decay > 0);
  const name = 'blocks.0.proj_out.bias';
  const biases: number[] = [];
  const averages: number[] = [];
  for (let t = 1; t <= 3; t++) {
    biases.push(state[`parameters.${name}`]!.dataSync()[0] as number);
    const corrections = biasCorrections(t);
    const { outputs, updates } = tidy(() =>
      step(state, {
        images: tf.tensor4d(normal(randomKey(t), 32), [2, 1, 4, 4]),
        learningRate: tf.scalar(rate),
        firstCorrection: tf.scalar(corrections.first),
        secondCorrection: tf.scalar(corrections.second),
        ...(decay > 0 && { averageShare: tf.scalar(averageShare(decay, t)) }),
      }),
    );
    tf.dispose(outputs);
    for (const key of Object.keys(updates)) state[key]?.dispose();
    state = { ...state, ...updates };
    if (decay > 0) {
      averages.push(state[`average.${name}`]!.dataSync()[0] as number);
    }
  }
  const served = trainedModel(spec, state).parameters.blocks[0]!.proj_out.bias.dataSync()[0];
  const latest = state[`parameters.${name}`]!.dataSync()[0];
  tf.dispose(state);
  disposeModel(flow);
  return { biases, averages, served, latest };
}

test('the running mean of the parameters is what it says, and what the checkpoint holds', () => {
  expectNoTensorsLeft();
  const { biases, averages, served, latest } = run({ decay: 0.8 });
  biases.forEach((_, i) => {
    // Each value with a power of the decay, and all of them with weights that add up to one.
    const weights = biases.slice(0, i + 1).map((_, j) => 0.8 ** (i - j));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const mean = weights.reduce((total, weight, j) => total + weight * biases[j]!, 0) / sum;
    expect(averages[i]).toBeCloseTo(mean, 6);
  });
  expect(averageShare(0.999, 1)).toBe(1);
  expect(averageShare(0.999, 1e5)).toBeCloseTo(1e-3, 12);
  expect(served).toBe(averages[2]);
  expect(served).not.toBe(latest);
  expect(run({}).served).toBe(latest);
});

test('a clipped gradient takes another path, a limit that is not reached changes nothing', () => {
  const plain = run({});
  expect(run({ clipNorm: 1e6 }).latest).toBeCloseTo(plain.latest as number, 6);
  // Adam is nearly blind to a constant factor: only a limit far below its epsilon shows.
  expect(run({ clipNorm: 1e-9 }).latest).not.toBeCloseTo(plain.latest as number, 3);
});
