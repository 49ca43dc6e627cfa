import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import {
  attributeKinds,
  type BindingAttribute,
  type NativeBackend,
  nativeBackend,
  types,
} from './binding.js';

/** A matrix on the host, row by row, in double precision. */
export interface DoubleMatrix {
  rows: number;
  columns: number;
  data: Float64Array;
}

/**
 * a·b in double precision: by the native engine where that runs, else by ml-matrix, which takes ten
 * times as long.
 *
 * @param a (n, k), or (k, n) with `transposeA`
 * @param b (k, m), or (m, k) with `transposeB`
 * @returns (n, m)
 */
export function doubleProduct(
  a: DoubleMatrix,
  b: DoubleMatrix,
  { transposeA = false, transposeB = false }: { transposeA?: boolean; transposeB?: boolean } = {},
): DoubleMatrix {
  const native = nativeBackend();
  if (!native) {
    const [first, second] = [asMatrix(a), asMatrix(b)];
    const left = transposeA ? first.transpose() : first;
    return fromMatrix(left.mmul(transposeB ? second.transpose() : second));
  }
  return withDoubles(native, (doubles) => {
    const product = productOf(doubles, ...bothOf(doubles, a, b), { transposeA, transposeB });
    return {
      rows: transposeA ? a.columns : a.rows,
      columns: transposeB ? b.rows : b.columns,
      data: doubles.read(product),
    };
  });
}

/**
 * The sum of (scale·p + shift)³ over the entries p of a·bᵀ in double precision, by the same means as
 * {@link doubleProduct}; natively the product stays where it is.
 *
 * @param a (n, k)
 * @param b (m, k)
 */
export function sumOfCubes(
  a: DoubleMatrix,
  b: DoubleMatrix,
  { scale, shift }: { scale: number; shift: number },
): number {
  const native = nativeBackend();
  if (!native) {
    const { data } = doubleProduct(a, b, { transposeB: true });
    return data.reduce((sum, entry) => sum + (scale * entry + shift) ** 3, 0);
  }
  return withDoubles(native, (doubles) => {
    const run = (op: string, ...inputs: number[]) =>
      doubles.run(op, [elementType('T')], inputs, 1)[0]!;
    const number = (value: number) =>
      doubles.of({ rows: 1, columns: 1, data: Float64Array.of(value) });
    const product = productOf(doubles, ...bothOf(doubles, a, b), { transposeB: true });
    const base = run('AddV2', run('Mul', product, number(scale)), number(shift));
    const cubes = run('Mul', run('Square', base), base);
    // A row of ones times the cubes times a column of ones.
    const ones = (count: number) => new Float64Array(count).fill(1);
    const row = doubles.of({ rows: 1, columns: a.rows, data: ones(a.rows) });
    const column = doubles.of({ rows: b.rows, columns: 1, data: ones(b.rows) });
    const [sum = Number.NaN] = doubles.read(
      productOf(doubles, productOf(doubles, row, cubes), column),
    );
    return sum;
  });
}

/** A = V·diag(values)·Vᵀ of a symmetric matrix A, with the eigenvectors as the columns of V. */
export interface SymmetricEigen {
  /** Ascending. */
  values: Float64Array;
  vectors: DoubleMatrix;
}

/**
 * Eigenvalues and eigenvectors of a symmetric matrix in double precision, by the same means as
 * {@link doubleProduct}.
 *
 * @param options `vectors` false to leave them without numbers, which is several times faster
 */
export function symmetricEigen(
  matrix: DoubleMatrix,
  { vectors = true }: { vectors?: boolean } = {},
): SymmetricEigen {
  const native = nativeBackend();
  if (!native) {
    const found = new EigenvalueDecomposition(asMatrix(matrix), { assumeSymmetric: true });
    const values = Float64Array.from(found.realEigenvalues);
    return { values, vectors: fromMatrix(found.eigenvectorMatrix) };
  }
  return withDoubles(native, (doubles) => {
    const attributes = [elementType('T'), flag('compute_v', vectors)];
    const found = doubles.run('SelfAdjointEigV2', attributes, [doubles.of(matrix)], 2);
    const data = vectors ? doubles.read(found[1]!) : new Float64Array();
    return { values: doubles.read(found[0]!), vectors: { ...matrix, data } };
  });
}

function asMatrix({ rows, columns, data }: DoubleMatrix): Matrix {
  return Matrix.from1DArray(rows, columns, data);
}

function fromMatrix(matrix: Matrix): DoubleMatrix {
  const { rows, columns } = matrix;
  return { rows, columns, data: Float64Array.from(matrix.to1DArray()) };
}

/**
 * Tensors in double precision, which TensorFlow.js does not know, by their numbers in the binding. In
 * and out they go as the sum of two float32 numbers, which keeps 48 of the 53 bits of a double for
 * numbers from 1e-30 to 3e38.
 */
interface Doubles {
  of(matrix: DoubleMatrix): number;
  run(op: string, attributes: BindingAttribute[], inputs: number[], outputs: number): number[];
  read(id: number): Float64Array;
}

/** Calls `f`, and frees every tensor that it made. */
function withDoubles<R>({ binding }: NativeBackend, f: (doubles: Doubles) => R): R {
  const made: number[] = [];
  const run: Doubles['run'] = (op, attributes, inputs, outputs) => {
    const ids = binding.executeOp(op, attributes, inputs, outputs).map(({ id }) => id);
    made.push(...ids);
    return ids;
  };
  const cast = (id: number, from: number, to: number): number => {
    const attributes = [elementType('SrcT', from), elementType('DstT', to)];
    return run('Cast', [...attributes, flag('Truncate', false)], [id], 1)[0]!;
  };
  const single = ({ rows, columns }: DoubleMatrix, values: Float32Array): number => {
    const id = binding.createTensor([rows, columns], types.float32, values);
    made.push(id);
    return cast(id, types.float32, types.float64);
  };
  const combined = (op: string, a: number, b: number): number =>
    run(op, [elementType('T')], [a, b], 1)[0]!;
  try {
    return f({
      of(matrix) {
        const high = new Float32Array(matrix.data);
        const low = new Float32Array(high.length);
        // Loops: `from` with a function takes several times as long.
        let rounded = false;
        for (let i = 0; i < high.length; i++) {
          low[i] = (matrix.data[i] ?? 0) - (high[i] ?? 0);
          rounded ||= low[i] !== 0;
        }
        const leading = single(matrix, high);
        return rounded ? combined('AddV2', leading, single(matrix, low)) : leading;
      },
      run,
      read(id) {
        const high = cast(id, types.float64, types.float32);
        const rest = combined('Sub', id, cast(high, types.float32, types.float64));
        const numbers = (of: number) => binding.tensorDataSync(of) as Float32Array;
        const low = numbers(cast(rest, types.float64, types.float32));
        const sum = new Float64Array(numbers(high));
        for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (low[i] ?? 0);
        return sum;
      },
    });
  } finally {
    for (const id of made) binding.deleteTensor(id);
  }
}

/** Two matrices as tensors; the same one once. */
function bothOf(doubles: Doubles, a: DoubleMatrix, b: DoubleMatrix): [number, number] {
  const first = doubles.of(a);
  return [first, a === b ? first : doubles.of(b)];
}

function productOf(
  doubles: Doubles,
  a: number,
  b: number,
  { transposeA = false, transposeB = false } = {},
): number {
  const flags = [flag('transpose_a', transposeA), flag('transpose_b', transposeB)];
  return doubles.run('MatMul', [elementType('T'), ...flags], [a, b], 1)[0]!;
}

function elementType(name: string, value: number = types.float64): BindingAttribute {
  return { name, type: attributeKinds.type, value };
}

function flag(name: string, value: boolean): BindingAttribute {
  return { name, type: attributeKinds.bool, value };
}
