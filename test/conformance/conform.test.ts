import * as path from 'node:path';
import { expect, test } from 'vitest';
import { expectConformity, goldenFiles } from '../evaluation/golden.js';
import { resultsOf, rowsOf } from './conform.js';
import { type GoldenFile, goldenSchema, readGolden } from './golden-file.js';

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

test('a file of a STARFlow without a condition is read', async () => {
  const golden = await readGolden(
    path.join(__dirname, '..', 'golden', 'sf1_class_c64.safetensors'),
  );
  const { config, ...rest } = golden.json as { config: { model: object } };
  const left = ([name]: [string, unknown]) => !/proj_txt|^jacobi|^(y|y_null|cond)$/.test(name);
  const json = {
    ...rest,
    config: { ...config, cond: 'none', model: { ...config.model, txt_size: 0, txt_dim: 0 } },
    jacobi_runs: [],
    tensors: Object.fromEntries(Object.entries(golden.description.tensors).filter(left)),
  };
  const file: GoldenFile = {
    ...{ ...golden, json, description: goldenSchema.parse(json) },
    tensors: Object.fromEntries(Object.entries(golden.tensors).filter(left)),
  };
  const results = await resultsOf(file, 'graph');
  const rows = rowsOf(file, results);
  // Its deep block reads no entry of a class before the tokens.
  expect(rows.flatMap(({ tensor, note }) => (note ? tensor : []))).toEqual(['rope.deep']);
  // It is another model: only its round trip and what needs no model agree.
  const agreeing = rows.filter(({ pass }) => pass).map(({ tensor }) => tensor);
  expect(agreeing).toEqual(expect.arrayContaining(['recon', 'guid.w2.0.mu']));
  expect(agreeing).not.toContain('z');
  expect(results['sample.g3.0']).toEqual(results['sample.g0']);
});
