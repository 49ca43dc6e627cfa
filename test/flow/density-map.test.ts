import { expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { logProb } from '../../src/flow/density.js';
import { disposeModel, logProbMap } from '../../src/flow/index.js';
import { createModel } from '../../src/models/index.js';
import { expectNoTensorsLeft } from '../leaks.js';
import { difference, randomImages, smallFlow } from './small-flow.js';

const image = { channels: 3, height: 4, width: 4 };
const flows = {
  'a conditional TarFlow': () => smallFlow({ image, patchSize: 2, classes: 3 }),
  'one that preserves volume': () =>
    smallFlow({ image, patchSize: 2, classes: 0, volumePreserving: true }),
  'one that spreads the background': () =>
    smallFlow({ image, patchSize: 2, classes: 0, background: 0 }),
  'a MAF': () =>
    createModel({ kind: 'maf', image, classes: 0, blocks: 2, hiddenLayers: 1, hiddenUnits: 8 }, 1),
};

test.each(Object.entries(flows))('%s: the map sums to log p, and patches are even', (_, made) => {
  expectNoTensorsLeft();
  const flow = made();
  tf.tidy(() => {
    const x = randomImages(flow, 2, 4);
    const label = flow.config.classes > 0 ? [0, 2] : undefined;
    const map = logProbMap(flow, x, { label });
    expect(map.shape).toEqual(x.shape);
    const sums = tf.sum(map, [1, 2, 3]);
    expect(difference(sums, logProb(flow, x, { label }))).toBeLessThan(1e-3);
    if (flow.config.kind !== 'tarflow') return;
    const corner = tf.slice(map, [0, 0, 0, 0], [1, 3, 2, 2]).dataSync();
    expect(Math.max(...corner) - Math.min(...corner)).toBeLessThan(1e-6);
  });
  disposeModel(flow);
});
