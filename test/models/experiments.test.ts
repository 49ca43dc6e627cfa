import { describe, expect, test } from 'vitest';
import { optionTexts, withOverrides } from '../../src/models/experiments.js';
import { familyOf } from '../../src/models/registry.js';
import type { Noise } from '../../src/training/batches/index.js';
import type { Experiment } from '../../src/training/experiment.js';
import { checkSettings } from '../../src/training/settings.js';
import { experiments, findExperiment, noiseExperiment } from '../../workbook/experiments/index.js';
import { smallStarFlow } from './starflow/cases.js';

describe.each(experiments.map((experiment) => [experiment.name, experiment] as const))(
  'the experiment %s',
  (_, experiment) => {
    test('fits its family and the settings of training', () => {
      const { config, settings } = experiment;
      const family = familyOf(config.kind);
      expect(family.check(family.schema.parse(config))).toEqual(config);
      expect(checkSettings(settings)).toEqual(settings);
    });

    test('is the same with all of its values set to what they are', () => {
      const texts = optionTexts(experiment);
      expect(texts.some((text) => text.startsWith('image.height='))).toBe(true);
      expect(withOverrides(experiment, texts)).toEqual(experiment);
    });
  },
);

test('keys are those of the family, and the nearest one is named', () => {
  const experiment = findExperiment('fashion-mnist-maf');
  const changed = withOverrides(experiment, ['hiddenUnits=64', 'settings.steps=20']);
  expect(changed.config).toEqual({ ...experiment.config, hiddenUnits: 64 });
  expect(changed.settings).toEqual({ ...experiment.settings, steps: 20 });
  expect(() => withOverrides(experiment, ['hidenUnits=64'])).toThrow('Did you mean hiddenUnits?');
  expect(() => withOverrides(experiment, ['patchSize=2'])).toThrow("no option 'patchSize'");
  expect(() => withOverrides(experiment, ['kind=coupling'])).toThrow("no option 'kind'");
});

test.each([
  ['hiddenUnits=wide', "hiddenUnits is 'wide'. Expected a number"],
  ['flip=yes', "flip is 'yes'. Expected true or false"],
  ['precision=half', "precision is 'half'. Expected float32, bfloat16"],
  ['noise=pink', "noise is 'pink'. Expected 'uniform'"],
  ['steps=none', "steps is 'none'. Expected a number"],
  ['steps', "'steps' is not key=value"],
])('a value that does not fit is refused: %s', (override, message) => {
  expect(() => withOverrides(findExperiment('fashion-mnist-maf'), [override])).toThrow(message);
});

test('a background is set, changed and taken away', () => {
  const experiment = findExperiment('fashion-mnist-conditional');
  const given = withOverrides(experiment, ['background=255']);
  expect(given.config).toEqual({ ...experiment.config, background: 255 });
  expect(optionTexts(given)).toContain('background=255');
  expect(withOverrides(given, ['config.background=0']).config).toMatchObject({ background: 0 });
  expect(withOverrides(given, ['background=none'])).toEqual(experiment);
  expect(withOverrides(experiment, ['background=none'])).toEqual(experiment);
  expect(withOverrides(experiment, ['background=255', 'background=none'])).toEqual(experiment);
  expect(optionTexts(experiment)).toContain('background=none');
  expect(() => withOverrides(experiment, ['background=black'])).toThrow(/'black'.*0, 255 or none/s);
});

test('the shape of captions is changed where there is one', () => {
  const maf = findExperiment('fashion-mnist-maf');
  const config = { ...smallStarFlow, text: { entries: 3, width: 5 } };
  const captions: Experiment = { ...maf, config };
  const changed = withOverrides(captions, ['text.entries=8', 'config.text.width=7']);
  expect(changed.config).toEqual({ ...config, text: { entries: 8, width: 7 } });
  const without: Experiment = { ...maf, config: smallStarFlow };
  expect(optionTexts(without).some((text) => text.startsWith('text'))).toBe(false);
  expect(() => withOverrides(without, ['text.entries=8'])).toThrow("no option 'text.entries'");
});

const gaussian: Noise = { kind: 'gaussian', sigma: 0.1 };

test.each(['fashion-mnist', 'emoji-base-32'])(
  'runs on %s differ in noise and seed alone',
  (name) => {
    const first = noiseExperiment(name, gaussian, 1);
    const second = noiseExperiment(name, { kind: 'uniform' }, 2);
    expect(second).toEqual({
      ...first,
      settings: { ...first.settings, noise: { kind: 'uniform' }, seed: 2 },
    });
    expect(first.settings).toMatchObject({ noise: gaussian, seed: 1 });
  },
);

test('the command line trains the same runs by --set', () => {
  const named = withOverrides(findExperiment('fashion-mnist-noise'), ['noise=uniform', 'seed=3']);
  expect(named).toEqual(noiseExperiment('fashion-mnist', { kind: 'uniform' }, 3));
});

test('another data set is refused, with the names there are', () => {
  expect(() => noiseExperiment('mnist-10k-subset', gaussian)).toThrow(
    /mnist-10k-subset.*fashion-mnist or emoji-base-32/,
  );
});
