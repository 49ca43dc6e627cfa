import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect } from 'vitest';
import { currentEngine } from '../../src/core/engine.js';
import { tf } from '../../src/core/tf.js';
import { resultsOf, rowsOf } from '../conformance/conform.js';
import { readGolden } from '../conformance/golden-file.js';

const folder = path.join(__dirname, '..', 'golden');

/** The golden files of whole models, of kinds `tarflow` and `starflow`. */
export const goldenFiles = fs
  .readdirSync(folder)
  .filter((name) => /^[ts]f\d_.*\.safetensors$/.test(name) && !name.includes('_gsj'));

/**
 * By day loops over tokens are no more compiled than the other graphs, but for a file in the tests of the
 * command: `npm run nightly` sets TARFLOW_NIGHTLY.
 */
const mode = () =>
  process.env.TARFLOW_NIGHTLY || currentEngine().engine !== 'tensorflow' ? undefined : 'graph';

/** Every output of a golden file is compared and passes, each that is altered fails, and nothing leaks. */
export async function expectConformity(name: string): Promise<void> {
  const golden = await readGolden(path.join(folder, name));
  const outputs = Object.entries(golden.description.tensors).filter(
    ([, { role }]) => role === 'output',
  );
  const before = tf.memory().numTensors;
  const results = await resultsOf(golden, mode());
  expect(tf.memory().numTensors).toBe(before);
  const rows = rowsOf(golden, results);
  expect(rows.map(({ tensor }) => tensor)).toEqual(outputs.map(([tensor]) => tensor));
  expect(rows.filter(({ pass }) => !pass)).toEqual([]);
  for (const [name, tensor] of outputs) {
    const { against = name } = tensor;
    const reference = golden.tensors[against]!;
    const data = reference.data.map((value) => Number(value) + 1);
    const altered = {
      ...golden,
      description: { ...golden.description, tensors: { [name]: tensor } },
      tensors: { [against]: { ...reference, data } },
    };
    expect(rowsOf(altered, results)).toMatchObject([{ tensor: name, pass: false }]);
  }
}
