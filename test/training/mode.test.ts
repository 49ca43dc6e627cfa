import { expect, test } from 'vitest';
import { checkConfig } from '../../src/flow/config.js';
import { fastestMode } from '../../src/training/mode.js';

test('XLA is for small layers, and in bfloat16 for smaller ones', () => {
  const config = checkConfig({
    image: { channels: 3, height: 32, width: 32 },
    patchSize: 4,
    channels: 128,
    blocks: 2,
    layersPerBlock: 2,
    headWidth: 64,
    classes: 0,
    volumePreserving: false,
  });
  const modes = (precision: 'float32' | 'bfloat16') =>
    [8, 32, 64, 128, 256].map((batchSize) => fastestMode(config, { batchSize, precision }));
  expect(modes('float32')).toEqual(['xla', 'xla', 'xla', 'xla', 'graph']);
  expect(modes('bfloat16')).toEqual(['xla', 'xla', 'graph', 'graph', 'graph']);
});
