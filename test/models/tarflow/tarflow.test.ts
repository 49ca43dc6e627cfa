import { expect, test } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { logProb, score } from '../../../src/flow/density.js';
import { dimensions, forward, patchify } from '../../../src/flow/index.js';
import { createTarFlow, type TarFlowConfig } from '../../../src/models/index.js';
import { lossGradient } from '../../conformance/flow-results.js';
import { difference, movedModel, randomImages } from '../cases.js';
import { smallConfig, tarflowCases } from './cases.js';

test('density and score of a volume-preserving flow are those of the prior that samples have', () => {
  tf.tidy(() => {
    const moved = movedModel(tarflowCases, { ...smallConfig, volumePreserving: true });
    const variance = tf.add(
      tf.mul(moved.buffers.var as tf.Tensor2D, 0.2),
      tf.randomUniform([1], 0, 0.1, 'float32', 4),
    );
    const flow = { ...moved, buffers: { ...moved.buffers, var: variance } };
    const x = randomImages(flow, 3, 5);
    const { z } = forward(flow, x);
    const [size, values, variances] = [dimensions(flow.config), z.dataSync(), variance.dataSync()];
    const nats = [0, 1, 2].map((i) =>
      Array.from(variances).reduce((sum, each, j) => {
        const at = values[i * size + j] as number;
        return sum - (at * at) / each / 2 - Math.log(2 * Math.PI * each) / 2;
      }, 0),
    );
    const found = logProb(flow, x);
    found.dataSync().forEach((value, i) => {
      expect(value).toBeCloseTo(nats[i] as number, 2);
    });
    const direction = tf.randomNormal(x.shape, 0, 1, 'float32', 6);
    const along = (step: number) => logProb(flow, tf.add(x, tf.mul(direction, step)));
    const slope = tf.div(tf.sub(along(0.01), along(-0.01)), 0.02);
    const expected = tf.sum(tf.mul(score(flow, x), direction), [1, 2, 3]);
    expect(difference(slope, expected)).toBeLessThan(0.02 * Math.max(...tf.abs(slope).dataSync()));
    // The training loss takes a prior of variance 1, as the published code does.
    const published = tf.mul(lossGradient(flow, x), -3 * size);
    expect(difference(score(flow, x), published)).toBeGreaterThan(1);
  });
});

test('a fresh flow is near the identity, not at it', () => {
  tf.tidy(() => {
    const flow = createTarFlow(smallConfig, 3);
    const x = randomImages(flow, 2, 8);
    const moved = difference(forward(flow, x).z, patchify(smallConfig, x));
    expect(moved).toBeGreaterThan(0.01);
    expect(moved).toBeLessThan(2);
  });
});

test.each<[string, Partial<TarFlowConfig>, string]>([
  ['a patch that does not tile', { patchSize: 3 }, 'does not tile'],
  ['heads that do not divide', { headWidth: 5 }, 'headWidth 5'],
  ['a single token', { patchSize: 4 }, 'single token'],
  ['no block', { blocks: 0 }, 'blocks is 0'],
  ['a grey background', { background: 128 as never }, 'background is 128'],
])('a configuration that does not fit is refused: %s', (_, changes, message) => {
  expect(() => createTarFlow({ ...smallConfig, ...changes }, 0)).toThrow(message);
});
