import { expect, test } from 'vitest';
import { checkConfig } from '../../src/models/tarflow/config.js';
import { tarflow } from '../../src/models/tarflow/index.js';
import { fastestMode } from '../../src/training/program.js';

test('XLA is for small products, and in bfloat16 for smaller ones', () => {
  const modes = (precision: 'float32' | 'bfloat16', channels = 128) => {
    const config = checkConfig({
      kind: 'tarflow',
      image: { channels: 3, height: 32, width: 32 },
      patchSize: 4,
      channels,
      blocks: 2,
      layersPerBlock: 2,
      headWidth: 64,
      classes: 0,
      volumePreserving: false,
    });
    return [8, 16, 32, 64, 128].map((batchSize) =>
      fastestMode({ family: tarflow, config }, { batchSize, precision }),
    );
  };
  expect(modes('float32')).toEqual(['xla', 'xla', 'xla', 'xla', 'graph']);
  expect(modes('bfloat16')).toEqual(['xla', 'xla', 'graph', 'graph', 'graph']);
  expect(modes('float32', 256)).toEqual(['xla', 'xla', 'graph', 'graph', 'graph']);
});
