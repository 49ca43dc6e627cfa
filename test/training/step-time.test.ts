import { beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { tf } from '../../src/core/tf.js';
import { familyOf } from '../../src/models/registry.js';
import { checkSettings } from '../../src/training/settings.js';
import { secondsPerStep } from '../../src/training/step-time.js';
import { smallStarFlow } from '../models/starflow/cases.js';
import { smallConfig, smallSettings } from './small.js';

beforeAll(async () => {
  await startEngine();
});

const text = { entries: 4, width: 8 };

test.each([
  ['a flow', smallConfig, {}],
  [
    'a flow that reads captions, with means and a limit',
    { ...smallStarFlow, text, channels: 40, headWidth: 20 },
    { averageDecay: 0.9, clipNorm: 1 },
  ],
])('a training step of %s is timed, and nothing is left', async (_name, config, changes) => {
  const before = tf.memory().numTensors;
  const settings = checkSettings({ ...smallSettings, ...changes });
  const family = familyOf(config.kind);
  expect(await secondsPerStep({ family, config, settings, mode: 'graph' })).toBeGreaterThan(0);
  expect(tf.memory().numTensors).toBe(before);
});
