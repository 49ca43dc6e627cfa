import { spawnSync } from 'node:child_process';
import * as path from 'node:path';
import { expect, test } from 'vitest';

const script = `
  const { startEngine, random } = require('./test/engine.ts');
  const { createProgram, tensorSpec } = require('./src/index.ts');
  (async () => {
    await startEngine('tensorflow');
    const { tf } = require('./src/tf.ts');
    const factors = { a: random(1, [3, 64]), b: random(2, [64, 4]) };
    const rounded = (x) => tf.tensor(Array.from(x.dataSync(), (value) => {
      const bits = new Uint32Array(Float32Array.of(value).buffer);
      bits[0] = (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) & 0xffff0000;
      return new Float32Array(bits.buffer)[0];
    }), x.shape);
    const expected = rounded(tf.matMul(rounded(factors.a), rounded(factors.b)));
    const found = ['eager', 'graph', 'xla'].map((mode) => {
      const { run } = createProgram({
        mode,
        precision: 'bfloat16',
        variables: {},
        functions: { product: {
          inputs: { a: tensorSpec([3, 64]), b: tensorSpec([64, 4]) },
          body: (_, { a, b }) => ({ outputs: { product: tf.matMul(a, b) } }),
        } },
      });
      return Array.from(run.product(factors).product.dataSync());
    });
    console.log(JSON.stringify({ expected: Array.from(expected.dataSync()), found }));
  })();`;

// TensorFlow cuts products off without oneDNN, and on a processor without AVX-512 with it.
test.each(['1', '0'])('products are rounded to the nearest number, with oneDNN %s', (oneDnn) => {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--require', 'tsx/cjs', '--eval', script],
    {
      cwd: path.join(__dirname, '..'),
      encoding: 'utf8',
      env: { ...process.env, TF_ENABLE_ONEDNN_OPTS: oneDnn },
    },
  );
  expect(stdout, stderr).not.toBe('');
  const { expected, found } = JSON.parse(stdout);
  expect(found).toEqual([expected, expected, expected]);
});
