import * as path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Context } from '../../../src/conditions/context.js';
import { leaves, normal, randomKey, tf, tidy, UserError } from '../../../src/core/index.js';
import { imageDataset } from '../../../src/data/index.js';
import { dimensions, disposeModel, forward } from '../../../src/flow/index.js';
import { loadCheckpoint } from '../../../src/models/load-checkpoint.js';
import { readStartingPoint } from '../../../src/models/read-starting-point.js';
import type { StarFlowConfig } from '../../../src/models/starflow/config.js';
import { starflow } from '../../../src/models/starflow/index.js';
import { tarflow } from '../../../src/models/tarflow/index.js';
import { inverse, sample } from '../../../src/sampling/index.js';
import { saveCheckpoint, train } from '../../../src/training/index.js';
import { expectNoTensorsLeft } from '../../leaks.js';
import { sharedFolder } from '../../temporary-folder.js';
import { smallConfig, smallSettings } from '../../training/small.js';
import { difference, jacobian, logDeterminant, movedModel, randomImages } from '../cases.js';
import { tarflowCases } from '../tarflow/cases.js';
import { smallStarFlow, starflowCases } from './cases.js';

const folder = sharedFolder();

const square: StarFlowConfig = {
  ...smallStarFlow,
  image: { channels: 2, height: 4, width: 4 },
  patchSize: 2,
  channels: 40,
  headWidth: 20,
  gridSide: 2,
};

/** The file of a model of square images that is far from the identity. */
async function savedModel(name: string, config: StarFlowConfig): Promise<string> {
  const file = path.join(folder, `${name}.safetensors`);
  const model = movedModel(starflowCases, config);
  await saveCheckpoint(model, file, { steps: 3 });
  disposeModel(model);
  return file;
}

describe('a STARFlow of square images, loaded for images of another size', () => {
  const batch = 2;
  const reads: [string, StarFlowConfig, () => Context][] = [
    ['nothing', square, () => ({})],
    ['classes', { ...square, classes: 3 }, () => ({ label: [2, 0] })],
    [
      'captions',
      { ...square, text: { entries: 3, width: 5 } },
      () => ({ text: tf.tensor3d(normal(randomKey(2), batch * 15), [batch, 3, 5]) }),
    ],
    [
      'nothing, without a start token',
      { ...square, startToken: false, firstDirection: 'forward' },
      () => ({}),
    ],
  ];
  const sizes = [
    { height: 4, width: 6 },
    { height: 8, width: 2 },
    // As the others, and square: `npm run nightly` sets TARFLOW_NIGHTLY.
    ...(process.env.TARFLOW_NIGHTLY ? [{ height: 6, width: 6 }] : []),
  ];

  test.each(
    reads.flatMap(([what, config, given]) =>
      sizes.map((size) => [what, `${size.height}×${size.width}`, config, given, size] as const),
    ),
  )(
    'is inverted, and its log-determinant right: reads %s, %s',
    async (what, _, config, given, size) => {
      const file = await savedModel(what, config);
      expectNoTensorsLeft();
      const model = await loadCheckpoint(file, { family: starflow, imageSize: size });
      expect(model.config).toEqual({ ...config, image: { channels: 2, ...size } });
      const told = given();
      const x = randomImages(model, batch, 5);
      const { z, logDet, ...rest } = forward(model, x, told);
      expect(z.shape).toEqual([batch, (size.height * size.width) / 4, 8]);
      // Recording takes long: the graph of one size, with captions, is enough.
      const recorded = told.text !== undefined && size.height === 4;
      for (const mode of recorded ? (['eager', 'graph'] as const) : (['eager'] as const)) {
        const back = await inverse(model, z, { ...told, mode });
        expect(difference(back, x), mode).toBeLessThan(1e-4);
        back.dispose();
      }
      tidy(() => {
        const one = tf.slice(x, [0, 0, 0, 0], [1, -1, -1, -1]);
        const { label, text } = told;
        const first = (count: number): Context => ({
          ...(label !== undefined && { label: (label as number[])[0] as number }),
          ...(text && { text: tf.tile(tf.slice(text, [0, 0, 0], [1, -1, -1]), [count, 1, 1]) }),
        });
        const z = (images: tf.Tensor4D) => forward(model, images, first(images.shape[0])).z;
        const rows = jacobian(z, one);
        expect(rows).toHaveLength(dimensions(model.config));
        expect(logDet.dataSync()[0]).toBeCloseTo(logDeterminant(rows), 3);
      });
      const drawn = await sample(model, { count: batch, ...told, mode: 'eager' });
      expect(drawn.shape).toEqual([batch, 2, size.height, size.width]);
      tf.dispose([x, z, logDet, drawn, told.text ?? [], Object.values(rest).flat()]);
      disposeModel(model);
    },
  );

  test('is itself at its own size, and keeps another one in its checkpoint', async () => {
    const file = await savedModel('own', square);
    const [own, wide] = [
      await loadCheckpoint(file, { imageSize: { height: 4, width: 4 } }),
      await loadCheckpoint(file, { imageSize: { height: 4, width: 6 } }),
    ];
    expect(own.config).toEqual(square);
    const again = path.join(folder, 'wide.safetensors');
    await saveCheckpoint(wide, again, wide.details);
    const loaded = await loadCheckpoint(again);
    expect([loaded.config, loaded.details]).toEqual([wide.config, { steps: 3 }]);
  });

  test('what does not fit is named, and frees what was read', async () => {
    const file = await savedModel('unfit', square);
    const fixed = path.join(folder, 'tarflow.safetensors');
    const other = movedModel(tarflowCases, smallConfig);
    await saveCheckpoint(other, fixed);
    disposeModel(other);
    expectNoTensorsLeft();
    const mistakes: [string, { height: number; width: number }, RegExp][] = [
      [file, { height: 4, width: 5 }, /2×2 does not tile an image of 4×5.*another size.*is 4×4/],
      [file, { height: 2, width: 2 }, /single token/],
      [file, { height: 0, width: 4 }, /size asked for is 0×4.*above 0/],
      [file, { height: 4, width: 4.5 }, /size asked for is 4×4\.5/],
      [fixed, { height: 4, width: 8 }, /'tarflow', which takes images of 4×4 alone/],
    ];
    for (const [from, imageSize, message] of mistakes) {
      const refused = loadCheckpoint(from, { imageSize });
      await expect(refused).rejects.toThrow(UserError);
      await expect(refused).rejects.toThrow(message);
    }
  });
});

describe('a run that goes on with larger images', () => {
  const data = (height: number, width: number) =>
    imageDataset({
      name: `made-up ${height}×${width}`,
      split: 'train',
      image: { channels: 1, height, width },
      classes: ['a', 'b', 'c'],
      pixels: Uint8Array.from({ length: 16 * height * width }, (_, i) => (i * 37) % 256),
      labels: Int32Array.from({ length: 16 }, (_, i) => i % 3),
      licence: 'none',
    });
  const config: StarFlowConfig = {
    ...smallStarFlow,
    ...{ classes: 3, channels: 40, headWidth: 20 },
  };
  const settings = { ...smallSettings, steps: 3, saveEvery: 3, warmupSteps: 1 };
  const first = path.join(folder, 'small-run');
  const wide = { ...config, image: { channels: 1, height: 6, width: 8 } };

  beforeAll(async () => {
    const { model } = await train({
      ...{ family: starflow, config, settings, data: data(4, 4), folder: first, mode: 'eager' },
    });
    disposeModel(model);
  });

  test('begins with all that was learnt, and its model is of the new size', async () => {
    expectNoTensorsLeft();
    const from = await readStartingPoint(first);
    const { model, records, details } = await train({
      ...{ family: starflow, config: wide, data: data(6, 8), from, mode: 'eager' },
      // A step that moves next to nothing: rates end at 1e-6.
      settings: { ...settings, steps: 1, peakLearningRate: 1e-12, weightDecay: 0 },
    });
    expect(model.config).toEqual(wide);
    expect(details.steps).toBe(4);
    expect(Number.isFinite(records[0]?.loss)).toBe(true);
    const large = await loadCheckpoint(path.join(first, 'checkpoint.safetensors'), {
      imageSize: { height: 6, width: 8 },
    });
    const found = leaves(model.parameters);
    for (const [name, leaf] of Object.entries(leaves(large.parameters))) {
      expect(difference(found[name] as tf.Tensor, leaf), name).toBeLessThan(1e-5);
    }
    const x = randomImages(large, 2, 3);
    const { z, ...rest } = forward(large, x, { label: 1 });
    const back = await inverse(large, z, { label: 1, mode: 'eager' });
    expect(difference(back, x)).toBeLessThan(1e-4);
    tf.dispose([x, z, back, from.state, Object.values(rest).flat()]);
    disposeModel(large);
    disposeModel(model);
  });

  test('keeps the grid that positions are scaled to, and its patches', async () => {
    const from = await readStartingPoint(first);
    const begun = (changed: StarFlowConfig) =>
      train({
        ...{ family: starflow, config: changed, settings, data: data(6, 8), from, mode: 'eager' },
      });
    await expect(begun({ ...wide, gridSide: 8 })).rejects.toThrow(
      /checkpoint to begin with has gridSide 4, the run 8/,
    );
    await expect(begun({ ...wide, patchSize: 2 })).rejects.toThrow(/has patchSize 1, the run 2/);
    await expect(begun({ ...wide, patchSize: 4 })).rejects.toThrow(/does not tile an image of 6×8/);
    const fixed = { ...smallConfig, image: { channels: 1, height: 6, width: 8 } };
    await expect(
      train({
        ...{ family: tarflow, config: fixed, settings, data: data(6, 8), mode: 'eager' },
        from: { ...from, config: smallConfig },
      }),
    ).rejects.toThrow(/has image\.height 4, the run 6/);
  });
});
