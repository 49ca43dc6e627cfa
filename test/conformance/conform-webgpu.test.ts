import { beforeAll, describe, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { webGpuIsAbsent, webGpuTitle } from '../core/webgpu-device.js';
import { expectConformity, goldenFiles } from '../evaluation/golden.js';

const absent = webGpuIsAbsent();

describe.skipIf(absent !== undefined)(webGpuTitle('on WebGPU', absent), () => {
  beforeAll(async () => {
    await startEngine({ engine: 'webgpu' });
  });

  // A software device takes its time.
  test.each(goldenFiles)('%s conforms', { timeout: 1_800_000 }, expectConformity);
});
