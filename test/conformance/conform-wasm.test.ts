import { beforeAll, expect, test } from 'vitest';
import { startEngine } from '../../src/core/engine.js';
import { expectConformity, goldenFiles } from '../evaluation/golden.js';

beforeAll(async () => {
  await startEngine({ engine: 'wasm' });
});

test('WebAssembly runs', async () => {
  expect(await startEngine()).toMatchObject({ engine: 'wasm' });
});

// A kernel that is wrong is so in these as in the others: `npm run nightly` sets TARFLOW_NIGHTLY.
const byDay = /^(tf1|tf3|sf2)_/;
test.each(goldenFiles.filter((name) => process.env.TARFLOW_NIGHTLY || byDay.test(name)))(
  '%s conforms',
  expectConformity,
);
