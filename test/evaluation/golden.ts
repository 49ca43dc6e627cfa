import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect } from 'vitest';
import { tf } from '../../src/core/tf.js';
import { conform } from '../conformance/conform.js';

const folder = path.join(__dirname, '..', 'golden');

/** The golden files of whole models, of kinds `tarflow` and `starflow`. */
export const goldenFiles = fs
  .readdirSync(folder)
  .filter((name) => /^[ts]f\d_.*\.safetensors$/.test(name) && !name.includes('_gsj'));

/** Every output of a golden file is compared and passes, and nothing leaks. */
export async function expectConformity(name: string): Promise<void> {
  const file = path.join(folder, name);
  const description = JSON.parse(
    fs.readFileSync(file.replace('.safetensors', '.json'), 'utf8'),
  ) as { tensors: Record<string, { role: string }> };
  const outputs = Object.keys(description.tensors).filter(
    (tensor) => description.tensors[tensor]!.role === 'output',
  );
  const before = tf.memory().numTensors;
  const rows = await conform(file);
  expect(tf.memory().numTensors).toBe(before);
  expect(rows.map(({ tensor }) => tensor)).toEqual(outputs);
  expect(rows.filter(({ pass }) => !pass)).toEqual([]);
}
