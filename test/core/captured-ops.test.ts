import * as fs from 'node:fs';
import * as path from 'node:path';
import { createProgram, tensorSpec } from '@tarflow/graph';
import { expect, test } from 'vitest';
import { normal, randomKey, tf } from '../../src/core/index.js';
import * as ops from '../../src/core/ops.js';
import { affineStep } from '../../src/flow/gaussian.js';

const root = path.resolve(__dirname, '../..');

const row = (w: tf.Tensor2D) => tf.reshape(tf.slice(w, [0, 0], [1, 4]), [4]);
const rows = (x: tf.Tensor3D) => tf.reshape(x, [6, 4]);
const heads = (x: tf.Tensor3D) => tf.reshape(x, [2, 1, 3, 4]);

/** The library's own operations, as functions of an input (2, 3, 4) and a variable (4, 4). */
const cases: Record<string, (x: tf.Tensor3D, w: tf.Tensor2D) => tf.Tensor> = {
  layerNorm: (x, w) => ops.layerNorm(rows(x), row(w), row(w)),
  rmsNorm: (x, w) => ops.rmsNorm(rows(x), row(w)),
  groupNorm: (x, w) => ops.groupNorm(heads(x), row(w), row(w), 2),
  gelu: (x) => ops.gelu(x),
  silu: (x) => ops.silu(x),
  relu: (x) => ops.relu(x),
  attention: (x) => ops.attention(heads(x), heads(x), heads(x), { scale: 0.5, mask: causalMask() }),
  linear: (x, w) => ops.linear(rows(x), w, row(w)),
  affineStep: (x, w) => affineStep(x, tf.sin(x), tf.mul(x, tf.sum(w))),
};

function causalMask(): tf.Tensor2D {
  return tf.tensor2d([0, -1e9, -1e9, 0, 0, -1e9, 0, 0, 0], [3, 3]);
}

test.each([
  ['graph', 1e-6],
  ['xla', 3e-6],
] as const)('mode %s agrees with eager execution in values and gradients', (mode, tolerance) => {
  const numbers = (seed: number, shape: number[]) =>
    tf.tensor(normal(randomKey(seed), tf.util.sizeFromShape(shape)), shape);
  /** Weights that differ, so that no gradient is hidden by symmetry. */
  const total = (value: tf.Tensor) =>
    tf.sum(tf.mul(value, tf.reshape(tf.cos(tf.range(0, value.size)), value.shape)));
  const body = (variables: Record<string, tf.Tensor>, inputs: { x: tf.Tensor }) => {
    const outputs: Record<string, tf.Tensor> = {};
    for (const [name, f] of Object.entries(cases)) {
      const call = (x: tf.Tensor, w: tf.Tensor) => f(x as tf.Tensor3D, w as tf.Tensor2D);
      const w = variables.w as tf.Tensor;
      const result = call(inputs.x, w);
      outputs[name] = result;
      // The other term lets an operation depend on one argument only.
      const value = (x: tf.Tensor, w: tf.Tensor) =>
        tf.add(total(call(x, w)), tf.mul(1e-3, tf.add(tf.sum(x), tf.sum(w))));
      const [byX, byW] = tf.grads(value)([inputs.x, w]) as [tf.Tensor, tf.Tensor];
      outputs[`${name}, by x`] = byX;
      outputs[`${name}, by w`] = byW;
    }
    return { outputs };
  };
  tf.tidy(() => {
    const functions = { all: { inputs: { x: tensorSpec([2, 3, 4]) }, body } };
    const [x, w] = [numbers(1, [2, 3, 4]), numbers(2, [4, 4])];
    const [expected, actual] = (['eager', mode] as const).map((way) => {
      const program = createProgram({ variables: { w }, functions, mode: way });
      const found: Record<string, tf.Tensor> = program.run.all({ x });
      return found;
    });
    for (const [name, tensor] of Object.entries(expected ?? {})) {
      const [wanted, got] = [tensor.dataSync(), actual?.[name]?.dataSync() ?? []];
      expect(got.length, name).toBe(wanted.length);
      const scale = Math.max(1, ...wanted.map(Math.abs));
      wanted.forEach((value, i) => {
        expect(Math.abs((got[i] as number) - value) / scale, name).toBeLessThan(tolerance);
      });
    }
  });
});

/** What the library calls of TensorFlow.js and needs no case, since a program records none of it. */
const notOperations: Record<string, readonly string[]> = {
  'frees memory, or does not': ['dispose', 'keep'],
  'differentiates; what that runs is recorded': ['engine', 'grad', 'valueAndGrad'],
  'says what an engine can': ['getBackend', 'getKernel'],
  'makes numbers on the host, which become constants': [
    ...['ones', 'scalar', 'tensor', 'tensor1d', 'tensor2d', 'tensor3d', 'tensor4d', 'zeros'],
  ],
};

/** What a source calls of TensorFlow.js, its comments apart: `mul`, `linalg.bandPart`. */
function called(source: string): string[] {
  const code = source.replace(/\/\*\*.*?\*\//gs, '');
  const calls = code.matchAll(/\btf\s*\.\s*([a-z][\w.]*)\(/g);
  return [...new Set([...calls].map(([, name]) => name as string))];
}

/** The sources of what may run in a program. */
function librarySources(): string {
  const rooms = /^(nn|flow|models|sampling|training|core[\\/](ops|tree))\b/;
  const src = path.join(root, 'src');
  return fs
    .readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && rooms.test(name))
    .map((name) => fs.readFileSync(path.join(src, name), 'utf8'))
    .join();
}

test('every operation that the library runs has a case, here or among those of the package', () => {
  const file = path.join(root, 'packages', 'graph', 'test', 'operations.test.ts');
  const used = called(librarySources());
  expect(used).toContain('matMul');
  const exceptions = Object.values(notOperations).flat();
  const listed = new Set([...called(fs.readFileSync(file, 'utf8')), ...exceptions]);
  expect(used.filter((name) => !listed.has(name))).toEqual([]);
  // An exception that nothing needs would hide a missing case later.
  expect(exceptions.filter((name) => !used.includes(name))).toEqual([]);
  expect(Object.keys(ops).filter((name) => !(name in cases))).toEqual([]);
});
