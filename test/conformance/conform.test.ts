import { expect, test } from 'vitest';
import { expectConformity, goldenFiles } from '../evaluation/golden.js';

test('there are two golden files of STARFlow and five of TarFlow', () => {
  expect(goldenFiles.map((name) => name.slice(0, 3))).toEqual([
    ...['sf1', 'sf2', 'tf1', 'tf2', 'tf3', 'tf4', 'tf5'],
  ]);
});

test.each(goldenFiles)('%s conforms', expectConformity);

// `npm run nightly` sets TARFLOW_NIGHTLY.
test.each([
  'tf5_cond_p2_c48_gsj.safetensors',
  ...(process.env.TARFLOW_NIGHTLY ? ['tf4_uncond_p1_c32_gsj.safetensors'] : []),
])('%s conforms: runs, iterates of a block, selective Jacobi, IGM and CRM', expectConformity);
