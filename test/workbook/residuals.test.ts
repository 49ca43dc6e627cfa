import { expect, test } from 'vitest';
import { normal, randomKey, startEngine, tf } from '../../src/core/index.js';
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

test('blocks begin near the identity by the residual of latents alone', () => {
  const moved = ([hidden, latent]: [boolean, boolean]) => {
    const model = arm(hidden, latent);
    const { outputs } = forward(model, x(), { label: 1 });
    const change = difference(outputs[1]!, outputs[0]!);
    disposeModel(model);
    return change;
  };
  const near = [moved([true, true]), moved([false, true])];
  const far = [moved([true, false]), moved([false, false])];
  expect(Math.max(...near) * 2).toBeLessThan(Math.min(...far));
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
