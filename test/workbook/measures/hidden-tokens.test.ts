import { describe, expect, test } from 'vitest';
import { tf } from '../../../src/core/tf.js';
import { tokenCount } from '../../../src/flow/patches.js';
import {
  type BlockTrajectory,
  samplingTrajectory,
} from '../../../src/sampling/study/trajectories.js';
import { solveWithoutNearest } from '../../../workbook/measures/hidden-tokens.js';
import { difference, randomLatents, smallFlow } from '../../flow/small-flow.js';
import { expectNoTensorsLeft } from '../../leaks.js';

/** What z_t·exp(a) + b is with a and b from `past` with its last `hidden` tokens read as told. */
function byDefinition(
  { block, conditions, z }: BlockTrajectory,
  past: tf.Tensor3D,
  token: number,
  hidden: number,
  readAs: 'zeros' | 'latent',
): tf.Tensor {
  const visible = Math.max(token - hidden, 0);
  const seen = tf.slice(past, [0, 0, 0], [-1, visible, -1]);
  const latents = tf.slice(z, [0, visible, 0], [-1, token - visible, -1]);
  const gap = readAs === 'latent' ? latents : tf.zerosLike(latents);
  const input = (visible === 0 ? gap : tf.concat([seen, gap], 1)) as tf.Tensor3D;
  const { mean, logScale } = block.predict(input, { conditions }).next;
  const last = (pair: tf.Tensor3D) => tf.slice(pair, [0, token - 1, 0], [-1, 1, -1]);
  const target = tf.slice(z, [0, token, 0], [-1, 1, -1]);
  return tf.add(tf.mul(target, tf.exp(last(logScale!))), last(mean));
}

describe('solving with the nearest tokens hidden', () => {
  test.each([
    ['plain', undefined],
    ['guided', { weight: 1, annealed: true }],
  ] as const)('nothing hidden is exact, %s', async (_name, guidance) => {
    const flow = smallFlow({ classes: 2 });
    const z = randomLatents(flow, 2, 1);
    const trajectory = await samplingTrajectory(flow, z, { label: [0, 1], guidance });
    expectNoTensorsLeft();
    for (const own of trajectory.blocks) {
      const solved = await solveWithoutNearest(own, own.z, 0);
      expect(difference(solved, own.x)).toBeLessThan(1e-5);
      solved.dispose();
    }
  });

  test.each([
    [1, 'zeros'],
    [99, 'zeros'],
    [5, 'latent'],
  ] as const)('%i hidden tokens read as %s', async (hidden, readAs) => {
    const flow = smallFlow();
    const T = tokenCount(flow.config);
    const z = randomLatents(flow, 2, 2);
    const trajectory = await samplingTrajectory(flow, z);
    const own = trajectory.blocks[1]!;
    expectNoTensorsLeft();
    const solved = await solveWithoutNearest(own, own.z, hidden, { readAs });
    for (let token = 1; token < T; token++) {
      const error = tf.tidy(() =>
        difference(
          tf.slice(solved, [0, token, 0], [-1, 1, -1]),
          byDefinition(own, solved, token, hidden, readAs),
        ),
      );
      expect(error).toBeLessThan(1e-5);
    }
    expect(difference(solved, own.x)).toBeGreaterThan(1e-3);
    solved.dispose();
  });

  test('reports each token, and stops by throwing with nothing left behind', async () => {
    const flow = smallFlow();
    const z = randomLatents(flow, 1, 3);
    const trajectory = await samplingTrajectory(flow, z);
    const own = trajectory.blocks[0]!;
    const steps: number[] = [];
    const whole = await solveWithoutNearest(own, own.z, 2, {
      onStep: (solved) => {
        steps.push(solved);
      },
    });
    expect(steps).toEqual(Array.from({ length: 13 }, (_, i) => 4 + i));
    whole.dispose();
    expectNoTensorsLeft();
    const stopped = solveWithoutNearest(own, own.z, 2, {
      onStep: (solved) => {
        if (solved === 6) throw new Error('stopped');
      },
    });
    await expect(stopped).rejects.toThrow('stopped');
  });

  test.each([-1, 0.5, Number.NaN])('%d tokens cannot be hidden', async (hidden) => {
    const flow = smallFlow();
    const z = randomLatents(flow, 1, 4);
    const trajectory = await samplingTrajectory(flow, z);
    const own = trajectory.blocks[0]!;
    await expect(solveWithoutNearest(own, own.z, hidden)).rejects.toThrow('hidden tokens');
  });
});
