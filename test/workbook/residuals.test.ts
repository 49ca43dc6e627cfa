import { expect, test } from 'vitest';
import { normal, randomKey, startEngine, tf } from '../../src/core/index.js';
import { unpatchify } from '../../src/flow/patches.js';
import { disposeModel, freshModel } from '../../src/flow/state-dict.js';
import { forward } from '../../src/index.js';
import { tarflow } from '../../src/models/tarflow/index.js';
import { smallTarFlow } from '../../workbook/experiments/experiment.js';
import { residuals } from '../../workbook/experiments/residuals.js';
import { difference, jacobian, logDeterminant } from '../models/cases.js';

const image = { channels: 1, height: 8, width: 8 };
const config = smallTarFlow({ image, channels: 32, blocks: 2, layersPerBlock: 2 });
const x = () => tf.tensor4d(normal(randomKey(3), 64), [1, 1, 8, 8]);

/** The flow of one of the arms, from the same seed. */
function arm(hidden: boolean, latent: boolean) {
  return freshModel(residuals, { ...config, kind: 'tarflow-residuals', hidden, latent }, 5);
}

test('a flow with both kinds of residual connection is a TarFlow', async () => {
  await startEngine();
  const [own, published] = [arm(true, true), freshModel(tarflow, config, 5)];
  const found = [own, published].map((model) => forward(model, x(), { label: 1 }).z);
  expect(difference(found[0]!, found[1]!)).toBe(0);
  [own, published].forEach(disposeModel);
});

test('with the residual of latents alone no pixel moves another at the beginning', () => {
  const besidesItself = (hidden: boolean, latent: boolean) => {
    const model = arm(hidden, latent);
    const matrix = jacobian((images: tf.Tensor4D) => {
      const { z } = forward(model, images, { label: 1 });
      return unpatchify(config, z);
    }, x());
    disposeModel(model);
    return Math.max(
      ...matrix.flatMap((row, i) => row.map((one, j) => (i === j ? 0 : Math.abs(one)))),
    );
  };
  for (const hidden of [true, false]) {
    expect(besidesItself(hidden, true)).toBe(0);
    expect(besidesItself(hidden, false)).toBeGreaterThan(0.01);
  }
});

test('layers without residual connections leave a flow causal, and others than with them', () => {
  const model = arm(false, false);
  const log = tf.tidy(() => {
    const { logDet } = forward(model, x(), { label: 1 });
    return logDet.dataSync()[0]!;
  });
  const matrix = jacobian((images: tf.Tensor4D) => forward(model, images, { label: 1 }).z, x());
  expect(logDeterminant(matrix)).toBeCloseTo(log, 3);
  disposeModel(model);
});
