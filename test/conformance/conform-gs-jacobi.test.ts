import { beforeAll, test, vi } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { expectConformity } from '../evaluation/golden.js';

// Seconds each, but machines can be busy.
vi.setConfig({ testTimeout: 300_000 });

beforeAll(async () => {
  await startEngine();
});

test.each(['tf4_uncond_p1_c32_gsj.safetensors', 'tf5_cond_p2_c48_gsj.safetensors'])(
  '%s conforms: runs, iterates of a block, selective Jacobi, IGM and CRM',
  expectConformity,
);
