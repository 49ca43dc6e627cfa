import { beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { expectConformity, goldenFiles } from '../evaluation/golden.js';

beforeAll(async () => {
  await startEngine({ engine: 'wasm' });
});

test('WebAssembly runs', async () => {
  expect(await startEngine()).toMatchObject({ engine: 'wasm' });
});

test.each(goldenFiles)('%s conforms', expectConformity);
