import { beforeAll, describe, expect, test } from 'vitest';
import { startEngine } from '../../src/backend/engine.js';
import { UserError } from '../../src/backend/errors.js';
import { tf } from '../../src/backend/tf.js';
import { classMixture } from '../../src/conditions/labels.js';
import { blocksOf, dimensions, disposeModel, forward, logProbOf } from '../../src/flow/flow.js';
import { patchify, unpatchify } from '../../src/flow/patches.js';
import { blockForward } from '../../src/flow/through-blocks.js';
import { type TarFlowConfig, tokenCount, tokenWidth } from '../../src/models/tarflow/config.js';
import { createTarFlow, type TarFlow } from '../../src/models/tarflow/index.js';
import { inverse } from '../../src/sampling/inverse.js';
import {
  difference,
  randomImages,
  randomLatents,
  smallFlow,
  smallFlowConfig,
} from './small-flow.js';

const configurations: Record<string, Partial<TarFlowConfig>> = {
  'one block, patch 1': { blocks: 1 },
  'two blocks, patch 2, wide image': {
    image: { channels: 1, height: 4, width: 6 },
    patchSize: 2,
  },
  'three blocks, patch 4, tall image': {
    image: { channels: 1, height: 8, width: 4 },
    patchSize: 4,
    blocks: 3,
  },
  'conditional, colour': {
    image: { channels: 3, height: 4, width: 4 },
    patchSize: 2,
    classes: 3,
  },
  'one wide head, two layers': { headWidth: 16, layersPerBlock: 2 },
  'four heads, conditional': { headWidth: 4, classes: 2, blocks: 3 },
  'volume preserving': { volumePreserving: true, blocks: 3 },
  'volume preserving, conditional, patch 2': {
    volumePreserving: true,
    classes: 4,
    patchSize: 2,
    image: { channels: 1, height: 4, width: 6 },
  },
  'black background, conditional': { classes: 2, background: 0 },
  'white background': { background: 255 },
};

beforeAll(async () => {
  await startEngine();
});

describe.each(Object.entries(configurations))('a flow: %s', (_, changes) => {
  const batch = 3;
  const withFlow = async (f: (flow: TarFlow) => Promise<void> | void): Promise<void> => {
    const before = tf.memory().numTensors;
    const flow = smallFlow(changes);
    await f(flow);
    disposeModel(flow);
    expect(tf.memory().numTensors, 'tensors left').toBe(before);
  };
  const imagesOf = (flow: TarFlow): tf.Tensor4D => randomImages(flow, batch, 5);
  const labelsOf = ({ config: { classes } }: TarFlow): number[] | undefined =>
    classes > 0 ? [1, 0, 1] : undefined;

  test('maps images to latents and back', () =>
    withFlow(async (flow) => {
      const x = imagesOf(flow);
      const { z, logDet, outputs, logDets } = forward(flow, x, { label: labelsOf(flow) });
      expect(z.shape).toEqual([batch, tokenCount(flow.config), tokenWidth(flow.config)]);
      expect(logDet.shape).toEqual([batch]);
      const back = await inverse(flow, z, { label: labelsOf(flow) });
      expect(difference(back, x)).toBeLessThan(1e-4);

      // The background ends where single precision does: 3.8 below 0.
      const spread = flow.config.background !== undefined;
      const drawn = tf.tidy(() =>
        tf.mul(randomLatents(flow, batch, 6), spread ? 0.5 : 1),
      ) as tf.Tensor3D;
      const made = await inverse(flow, drawn, { label: labelsOf(flow) });
      const again = forward(flow, made, { label: labelsOf(flow) });
      expect(difference(again.z, drawn)).toBeLessThan(spread ? 1e-2 : 1e-4);
      tf.dispose([x, z, logDet, back, drawn, made]);
      tf.dispose([outputs, logDets, { ...again }]);
    }));

  test('each block has a triangular Jacobian in its own order', () =>
    withFlow((flow) => {
      tf.tidy(() => {
        const width = tokenWidth(flow.config);
        const classes = classMixture(flow.config, flow.config.classes > 0 ? 1 : undefined, 1);
        const u = randomLatents(flow, 1, 7);
        for (const block of blocksOf(flow)) {
          const rows = jacobian(
            (input: tf.Tensor3D) =>
              block.order(blockForward(block, block.order(input), { classes }).z),
            u,
          );
          let below = 0;
          rows.forEach((row, i) => {
            row.forEach((entry, j) => {
              const [target, source] = [Math.floor(i / width), Math.floor(j / width)];
              if (source > target || (source === target && i !== j)) expect(entry).toBe(0);
              if (i === j && (target === 0 || flow.config.volumePreserving)) {
                expect(entry).toBeCloseTo(1, 6);
              }
              if (source < target) below = Math.max(below, Math.abs(entry));
            });
          });
          expect(below, 'tokens depend on earlier ones').toBeGreaterThan(1e-3);
        }
      });
    }));

  test('the log-determinant is that of the dense Jacobian', () =>
    withFlow((flow) => {
      tf.tidy(() => {
        const { config } = flow;
        const x = tf.slice(imagesOf(flow), [0, 0, 0, 0], [1, -1, -1, -1]) as tf.Tensor4D;
        const label = config.classes > 0 ? 1 : undefined;
        const rows = jacobian((images: tf.Tensor4D) => forward(flow, images, { label }).z, x);
        const { logDet } = forward(flow, x, { label });
        expect(logDet.dataSync()[0]).toBeCloseTo(logDeterminant(rows), 4);
        if (config.volumePreserving) expect(Math.abs(logDet.dataSync()[0]!)).toBe(0);
      });
    }));

  test('a sample does not depend on the rest of the batch', () =>
    withFlow((flow) => {
      tf.tidy(() => {
        const x = imagesOf(flow);
        const labels = labelsOf(flow);
        const together = forward(flow, x, { label: labels });
        for (let i = 0; i < batch; i++) {
          const alone = forward(flow, tf.slice(x, [i, 0, 0, 0], [1, -1, -1, -1]) as tf.Tensor4D, {
            label: labels?.slice(i, i + 1),
          });
          expect(difference(alone.z, tf.slice(together.z, [i, 0, 0], [1, -1, -1]))).toBeLessThan(
            1e-4,
          );
          expect(difference(alone.logDet, tf.slice(together.logDet, i, 1))).toBeLessThan(1e-4);
        }
      });
    }));

  test('patches are put together as they were cut', () =>
    withFlow((flow) => {
      tf.tidy(() => {
        const x = imagesOf(flow);
        expect(difference(unpatchify(flow.config, patchify(flow.config, x)), x)).toBe(0);
      });
    }));

  test('labels: a dropped one is the mean of the class table, and each class differs', () =>
    withFlow((flow) => {
      tf.tidy(() => {
        const { classes } = flow.config;
        const x = imagesOf(flow);
        if (classes === 0) {
          expect(() => forward(flow, x, { label: 0 })).toThrow(UserError);
          return;
        }
        const absent = forward(flow, x).z;
        expect(difference(forward(flow, x, { label: -1 }).z, absent)).toBeLessThan(1e-4);
        const means = flow.parameters.blocks.map((block) => ({
          ...block,
          class_embed: tf.tile(tf.mean(block.class_embed!, 0, true), [
            classes,
            1,
            1,
          ]) as tf.Tensor3D,
        }));
        const averaged = { ...flow, parameters: { blocks: means } };
        expect(difference(forward(averaged, x, { label: 1 }).z, absent)).toBeLessThan(1e-4);
        expect(
          difference(forward(flow, x, { label: 0 }).z, forward(flow, x, { label: 1 }).z),
        ).toBeGreaterThan(1e-2);
      });
    }));
});

describe('patches', () => {
  test('inside a token the channel is slowest, then the row, then the column', () => {
    tf.tidy(() => {
      const config = {
        ...smallFlowConfig,
        image: { channels: 2, height: 2, width: 4 },
        patchSize: 2,
      };
      const x = tf.reshape(tf.range(0, 16), [1, 2, 2, 4]) as tf.Tensor4D;
      expect(patchify(config, x).arraySync()).toEqual([
        [
          [0, 1, 4, 5, 8, 9, 12, 13],
          [2, 3, 6, 7, 10, 11, 14, 15],
        ],
      ]);
    });
  });
});

describe('bad input to a flow', () => {
  test('images of another size are named', () => {
    const flow = smallFlow();
    const x = tf.zeros([2, 1, 4, 5]) as tf.Tensor4D;
    expect(() => forward(flow, x)).toThrow('(2, 1, 4, 5)');
    x.dispose();
    disposeModel(flow);
  });

  test.each([
    ['a label out of range', 4],
    ['a fraction', 0.5],
    ['too few labels', [0]],
  ])('%s', (_, label) => {
    const flow = smallFlow({ classes: 4 });
    const x = tf.zeros([2, 1, 4, 4]) as tf.Tensor4D;
    expect(() => forward(flow, x, { label })).toThrow(UserError);
    x.dispose();
    disposeModel(flow);
  });

  test.each<[string, Partial<TarFlowConfig>, string]>([
    ['a patch that does not tile', { patchSize: 3 }, 'does not tile'],
    ['heads that do not divide', { headWidth: 5 }, 'headWidth 5'],
    ['a single token', { patchSize: 4 }, 'single token'],
    ['no block', { blocks: 0 }, 'blocks is 0'],
    ['a grey background', { background: 128 as never }, 'background is 128'],
  ])('%s', (_, changes, message) => {
    expect(() => createTarFlow({ ...smallFlowConfig, ...changes }, 0)).toThrow(message);
  });
});

test('a fresh flow is near the identity, not at it', () => {
  tf.tidy(() => {
    const flow = createTarFlow(smallFlowConfig, 3);
    const x = randomImages(flow, 2, 8);
    const moved = difference(forward(flow, x).z, patchify(smallFlowConfig, x));
    expect(moved).toBeGreaterThan(0.01);
    expect(moved).toBeLessThan(2);
  });
});

test('the density of a flow of two numbers sums to one', () => {
  tf.tidy(() => {
    const image = { channels: 1, height: 1, width: 2 };
    const flow = smallFlow({ image, channels: 8, blocks: 3 }, 1, 0.5);
    expect(dimensions(flow.config)).toBe(2);
    const [reach, step] = [12, 0.08];
    const axis = Array.from({ length: (2 * reach) / step }, (_, i) => -reach + (i + 0.5) * step);
    const grid = axis.flatMap((first) => axis.flatMap((second) => [first, second]));
    const points = tf.tensor4d(grid, [axis.length ** 2, 1, 1, 2]);
    const total =
      tf.sum(tf.exp(logProbOf(flow, forward(flow, points)))).dataSync()[0]! * step * step;
    expect(total).toBeCloseTo(1, 3);
  });
});

/** The Jacobian of a function of one sample, by automatic differentiation, row by row. */
function jacobian<T extends tf.Tensor>(f: (input: T) => tf.Tensor, input: T): number[][] {
  const backward = tf.grad(f as (x: tf.Tensor) => tf.Tensor);
  const output = f(input);
  return Array.from({ length: output.size }, (_, row) => {
    const unit = new Float32Array(output.size);
    unit[row] = 1;
    return Array.from(backward(input, tf.tensor(unit, output.shape)).dataSync());
  });
}

/** log |det| by Gaussian elimination. */
function logDeterminant(matrix: readonly number[][]): number {
  const rows = matrix.map((row) => [...row]);
  let sum = 0;
  for (let k = 0; k < rows.length; k++) {
    const pivot = rows
      .slice(k)
      .reduce((best, row) => (Math.abs(row[k]!) > Math.abs(best[k]!) ? row : best));
    rows.splice(rows.indexOf(pivot), 1);
    rows.splice(k, 0, pivot);
    sum += Math.log(Math.abs(pivot[k]!));
    for (const row of rows.slice(k + 1)) {
      const factor = row[k]! / pivot[k]!;
      for (let j = k; j < rows.length; j++) row[j]! -= factor * pivot[j]!;
    }
  }
  return sum;
}
