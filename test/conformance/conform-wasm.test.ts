import { beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { expectConformity, goldenFiles } from '../evaluation/golden.js';

// A test file has a process of its own, so this is the engine of nothing else.
beforeAll(async () => {
  process.env.TARFLOW_BACKEND = 'wasm';
  await startEngine();
});

test('WebAssembly runs', async () => {
  expect(await startEngine()).toMatchObject({ engine: 'wasm' });
});

test.each(goldenFiles)('%s conforms', { timeout: 300_000 }, expectConformity);
