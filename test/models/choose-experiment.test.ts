import { expect, test } from 'vitest';
import { type ChoiceOptions, chooseExperiment } from '../../src/models/choose-experiment.js';
import { tarflow } from '../../src/models/tarflow/index.js';
import { checkSettings } from '../../src/training/settings.js';

/** Pictures of a number and a size, in two classes. */
function pictures(length: number, side = 32, classes = ['cat', 'dog']) {
  return { name: 'pets', length, image: { channels: 3, height: side, width: side }, classes };
}

/** A machine on which a step of the smallest model takes so long. */
function machine(seconds: number): ChoiceOptions['timeOf'] {
  return async ({ channels, blocks, layersPerBlock }) =>
    (seconds * channels ** 2 * blocks * layersPerBlock) / (64 ** 2 * 8);
}

async function chosen(length: number, seconds: number, minutes?: number, side?: number) {
  const { experiment, because } = await chooseExperiment(pictures(length, side), 'folder:/pets', {
    minutes,
    timeOf: machine(seconds),
  });
  const { config, settings } = experiment;
  expect(tarflow.check(config)).toEqual(config);
  expect(checkSettings(settings)).toEqual(settings);
  return { config, settings, because, experiment };
}

test('few pictures get a small model, and are not learnt by heart', async () => {
  const { config, settings, because, experiment } = await chosen(180, 0.01);
  expect(experiment).toMatchObject({ name: 'pets', dataset: 'folder:/pets' });
  expect(config).toMatchObject({ channels: 64, classes: 2, classDeviation: 0.2, patchSize: 4 });
  expect(settings).toMatchObject({
    batchSize: 32,
    steps: 2200,
    dropLabel: 0.1,
    noise: { kind: 'gaussian', sigma: 0.05 },
  });
  expect(because).toMatch(
    /^\S+ for 180 pictures, 2200 steps of 32 at 0\.010 s: less than a minute of 30 \(400 times/,
  );
});

test('a larger model is taken where pictures and time are enough for it', async () => {
  expect((await chosen(50_000, 0.001)).config.channels).toBe(256);
  expect((await chosen(3_000, 0.001)).config.channels).toBe(128);
  expect((await chosen(50_000, 0.1)).config.channels).toBe(96);
  expect((await chosen(50_000, 0.1, 1000)).config.channels).toBe(256);
});

test('steps fill the time', async () => {
  const { settings, because } = await chosen(50_000, 0.1, 10);
  expect(settings).toMatchObject({ batchSize: 64, steps: 5100, validateEvery: 510 });
  expect(because).toMatch(/: 9 minutes of 10$/);
  expect((await chosen(50_000, 100, 1)).settings.steps).toBe(20);
});

test.each([
  [1, 1],
  [5, 5],
  [31, 8],
  [100, 16],
  [1000, 64],
])('of %i pictures a batch has %i', async (length, batch) => {
  expect((await chosen(length, 1)).settings.batchSize).toBe(batch);
});

test.each([
  [8, 2],
  [16, 2],
  [28, 4],
  [30, 2],
  [64, 4],
  [5, 1],
])('pictures of %i pixels have patches of %i', async (side, patch) => {
  expect((await chosen(100, 1, 30, side)).config.patchSize).toBe(patch);
});

test('one class is none, latents and no time are refused', async () => {
  const timeOf = machine(1);
  const one = await chooseExperiment(pictures(10, 32, ['cat']), 'folder:/pets', { timeOf });
  expect(one.experiment).toMatchObject({ config: { classes: 0 }, settings: { dropLabel: 0 } });
  const latents = { ...pictures(10), image: { channels: 4, height: 8, width: 8 } };
  await expect(chooseExperiment(latents, 'latents:/l', { timeOf })).rejects.toThrow(/4 channels/);
  await expect(chooseExperiment(pictures(10), '', { timeOf, minutes: 0 })).rejects.toThrow(/0 min/);
});
