import { describe, expect, test } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { forward } from '../../src/flow/forward.js';
import { tokenCount, unpatchify } from '../../src/flow/patches.js';
import { inverse, samplingTrajectory } from '../../src/sampling/index.js';
import { followConvergence } from '../../workbook/measures/convergence.js';
import { difference, randomLatents, smallFlow } from '../flow/small-flow.js';
import { expectNoTensorsLeft } from '../leaks.js';

describe('the trajectory of a sampling run', () => {
  test('is what forward passes through, and ends at the images', async () => {
    const flow = smallFlow({ classes: 2, blocks: 3 });
    const label = [0, 1];
    const z = randomLatents(flow, 2, 1);
    expectNoTensorsLeft();
    const trajectory = await samplingTrajectory(flow, z, { label });
    const images = await inverse(flow, z, { label });
    const { outputs, logDets, ...result } = forward(flow, images, { label });
    trajectory.blocks.forEach((own, index) => {
      // Blocks 0 and 2 read in raster order, block 1 in reverse.
      const raster = tf.tidy(() => (index === 1 ? tf.reverse(own.z, 1) : own.z.clone()));
      expect(difference(raster, outputs[index]!)).toBeLessThan(1e-4);
      raster.dispose();
    });
    const made = unpatchify(flow.config, trajectory.blocks[0]!.x);
    expect(difference(made, images)).toBeLessThan(1e-5);
    tf.dispose([made, images, outputs, logDets, Object.values(result)]);
    trajectory.dispose();
  });

  test('is guided where it is asked to be', async () => {
    const flow = smallFlow({ classes: 2 });
    const z = randomLatents(flow, 2, 2);
    const guidance = { weight: 1 };
    const guided = await samplingTrajectory(flow, z, { label: 1, guidance });
    const images = await inverse(flow, z, { label: 1, guidance });
    const made = unpatchify(flow.config, guided.blocks[0]!.x);
    expect(difference(made, images)).toBeLessThan(1e-5);
  });
});

describe('the convergence of an iteration', () => {
  test('has the error of every iterate, and token t is exact after t iterations', async () => {
    const flow = smallFlow();
    const T = tokenCount(flow.config);
    const z = randomLatents(flow, 3, 3);
    const trajectory = await samplingTrajectory(flow, z);
    expectNoTensorsLeft();
    for (const own of trajectory.blocks) {
      const { tokenErrors, meanErrors, trace } = await followConvergence(own, {
        kind: 'jacobi',
        tolerance: 0,
      });
      expect(tokenErrors).toHaveLength(trace.iterations.length + 1);
      expect(meanErrors).toHaveLength(tokenErrors.length);
      // The start is the block's output.
      const start = difference(own.z, own.x);
      expect(Math.max(...tokenErrors[0]!)).toBeCloseTo(start, 5);
      const meanOfStart = tf.tidy(
        () => tf.sqrt(tf.mean(tf.squaredDifference(own.z, own.x))).dataSync()[0]!,
      );
      expect(meanErrors[0]).toBeCloseTo(meanOfStart, 5);
      tokenErrors.forEach((errors, iteration) => {
        expect(Math.max(...errors.subarray(0, iteration + 1))).toBeLessThan(1e-5);
      });
      // One iteration does not do: what comes later is wrong at first.
      expect(tokenErrors[1]![T - 1]).toBeGreaterThan(1e-3);
    }
  });

  test('a sample that is done keeps its last error', async () => {
    const flow = smallFlow();
    // A sample of small noise is done earlier.
    const z = tf.tidy(
      () => tf.mul(randomLatents(flow, 2, 4), tf.tensor3d([0.01, 1], [2, 1, 1])) as tf.Tensor3D,
    );
    const trajectory = await samplingTrajectory(flow, z);
    const { tokenErrors, trace } = await followConvergence(trajectory.blocks[1]!, {
      kind: 'jacobi',
      tolerance: 0.01,
    });
    expect(trace.iterations.some(({ samples }) => samples === 1)).toBe(true);
    expect(tokenErrors).toHaveLength(trace.iterations.length + 1);
    for (const errors of tokenErrors) expect(Number.isFinite(Math.max(...errors))).toBe(true);
    expect(Math.max(...tokenErrors.at(-1)!)).toBeLessThan(0.02);
  });
});
