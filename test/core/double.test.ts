import { type DoubleMatrix, doubleProduct, sumOfCubes, symmetricEigen } from '@tarflow/graph';
import { afterAll, describe, expect, test } from 'vitest';
import { normal, randomKey, startEngine } from '../../src/core/index.js';
import { expectNoTensorsLeft } from '../leaks.js';

/** Numbers that no float32 holds. */
function random(seed: number, rows: number, columns: number): DoubleMatrix {
  const values = normal(randomKey(seed), 2 * rows * columns);
  const data = Float64Array.from(
    { length: rows * columns },
    (_, i) => (values[2 * i] as number) + 1e-8 * (values[2 * i + 1] as number),
  );
  return { rows, columns, data };
}

const at = ({ data, columns }: DoubleMatrix, i: number, j: number) =>
  data[i * columns + j] as number;

const engines = ['tensorflow', 'wasm'] as const;
afterAll(async () => {
  await startEngine({ engine: 'tensorflow' });
});

describe.each(engines)('matrices in double precision, %s', (engine) => {
  test('products, of matrices and their transposes', async () => {
    await startEngine({ engine });
    expectNoTensorsLeft();
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        const a = transposeA ? random(1, 7, 5) : random(1, 5, 7);
        const b = transposeB ? random(2, 3, 7) : random(2, 7, 3);
        const product = doubleProduct(a, b, { transposeA, transposeB });
        expect([product.rows, product.columns]).toEqual([5, 3]);
        for (let i = 0; i < 5; i++) {
          for (let j = 0; j < 3; j++) {
            let sum = 0;
            for (let k = 0; k < 7; k++) {
              sum +=
                (transposeA ? at(a, k, i) : at(a, i, k)) * (transposeB ? at(b, j, k) : at(b, k, j));
            }
            expect(at(product, i, j)).toBeCloseTo(sum, 12);
          }
        }
      }
    }
  });

  test('sums of cubes of scaled and shifted products', async () => {
    await startEngine({ engine });
    expectNoTensorsLeft();
    const [a, b] = [random(4, 5, 7), random(5, 3, 7)];
    for (const other of [b, a]) {
      let sum = 0;
      for (const entry of doubleProduct(a, other, { transposeB: true }).data) {
        sum += (entry / 7 + 1) ** 3;
      }
      expect(sumOfCubes(a, other, { scale: 1 / 7, shift: 1 })).toBeCloseTo(sum, 11);
    }
  });

  test('eigenvalues ascend, and with the vectors make the matrix', async () => {
    await startEngine({ engine });
    const factor = random(3, 12, 12);
    const matrix = doubleProduct(factor, factor, { transposeB: true });
    const { values, vectors } = symmetricEigen(matrix);
    expect([...values]).toEqual([...values].sort((a, b) => a - b));
    symmetricEigen(matrix, { vectors: false }).values.forEach((value, i) => {
      expect(value).toBeCloseTo(values[i] as number, 10);
    });
    for (let i = 0; i < 12; i++) {
      for (let j = 0; j < 12; j++) {
        const sum = values.reduce(
          (total, value, k) => total + value * at(vectors, i, k) * at(vectors, j, k),
          0,
        );
        expect(sum).toBeCloseTo(at(matrix, i, j), 10);
      }
    }
  });
});
