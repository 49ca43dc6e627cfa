import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { resultsOf, rowsOf } from '../conformance/conform.js';
import { readGolden } from '../conformance/golden-file.js';

const folder = path.join(__dirname, '..', 'golden');

/** The golden files of whole models, of kinds `tarflow` and `starflow`. */
export const goldenFiles = fs
  .readdirSync(folder)
  .filter((name) => /^[ts]f\d_.*\.safetensors$/.test(name) && !name.includes('_gsj'));

/** Every output of a golden file is compared and passes, each that is altered fails, and nothing leaks. */
export async function expectConformity(name: string): Promise<void> {
  const golden = await readGolden(path.join(folder, name));
  const outputs = Object.entries(golden.description.tensors).filter(
    ([, { role }]) => role === 'output',
  );
  const before = tf.memory().numTensors;
  const results = await resultsOf(golden);
  expect(tf.memory().numTensors).toBe(before);
  const rows = rowsOf(golden, results);
  expect(rows.map(({ tensor }) => tensor)).toEqual(outputs.map(([tensor]) => tensor));
  const failed = () => rowsOf(golden, results).filter(({ pass }) => !pass);
  expect(failed()).toEqual([]);
  for (const [tensor, { against = tensor }] of outputs) {
    const reference = golden.tensors[against]!;
    golden.tensors[against] = {
      ...reference,
      data: reference.data.map((value) => Number(value) + 1),
    };
    expect(failed().map((row) => row.tensor)).toContain(tensor);
    golden.tensors[against] = reference;
  }
}
