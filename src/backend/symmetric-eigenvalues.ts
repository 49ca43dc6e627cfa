/**
 * The eigenvalues of a symmetric matrix in double precision, in no order: Householder reflections
 * to a tridiagonal matrix, then the QL method with implicit shifts (Golub and Van Loan, Matrix
 * Computations, sections 8.3.1 and 8.3.3). Takes 4/3·n³ multiplications.
 *
 * @param matrix n · n numbers, row by row; only the lower triangle is read
 */
export function symmetricEigenvalues(matrix: Float64Array, n: number): Float64Array {
  const { diagonal, below } = tridiagonal(matrix.slice(), n);
  for (let first = 0; first < n; first++) {
    for (let sweep = 0; ; sweep++) {
      // The part from `first` that no negligible element below the diagonal cuts off.
      let last = first;
      while (last < n - 1) {
        const scale = Math.abs(diagonal[last] as number) + Math.abs(diagonal[last + 1] as number);
        if (Math.abs(below[last] as number) <= Number.EPSILON * scale) break;
        last++;
      }
      if (last === first) break;
      if (sweep === 60) throw new Error('The eigenvalues of a matrix do not converge.');
      qlSweep(diagonal, below, first, last);
    }
  }
  return diagonal;
}

/** The diagonal, and below[i] = T[i+1, i], of a tridiagonal matrix similar to a. Overwrites a. */
function tridiagonal(a: Float64Array, n: number): { diagonal: Float64Array; below: Float64Array } {
  const below = new Float64Array(n);
  const vector = new Float64Array(n);
  const product = new Float64Array(n);
  for (let k = 0; k < n - 2; k++) {
    let norm = 0;
    for (let i = k + 1; i < n; i++) norm = Math.hypot(norm, a[i * n + k] as number);
    const head = a[(k + 1) * n + k] as number;
    const alpha = head > 0 ? -norm : norm;
    below[k] = alpha;
    let square = 0;
    for (let i = k + 1; i < n; i++) {
      const value = (a[i * n + k] as number) - (i === k + 1 ? alpha : 0);
      vector[i] = value;
      square += value * value;
    }
    if (square === 0) continue;
    const beta = 2 / square;
    // p = βAv from the lower triangle, and K = β/2·vᵀp.
    product.fill(0);
    for (let i = k + 1; i < n; i++) {
      for (let j = k + 1; j <= i; j++) {
        const value = a[i * n + j] as number;
        product[i] = (product[i] as number) + beta * value * (vector[j] as number);
        if (j < i) product[j] = (product[j] as number) + beta * value * (vector[i] as number);
      }
    }
    let half = 0;
    for (let i = k + 1; i < n; i++) {
      half += (beta / 2) * (vector[i] as number) * (product[i] as number);
    }
    for (let i = k + 1; i < n; i++) {
      product[i] = (product[i] as number) - half * (vector[i] as number);
    }
    for (let i = k + 1; i < n; i++) {
      for (let j = k + 1; j <= i; j++) {
        a[i * n + j] =
          (a[i * n + j] as number) -
          (vector[i] as number) * (product[j] as number) -
          (product[i] as number) * (vector[j] as number);
      }
    }
  }
  if (n > 1) below[n - 2] = a[(n - 1) * n + n - 2] as number;
  return { diagonal: Float64Array.from({ length: n }, (_, i) => a[i * n + i] as number), below };
}

/** One QL step with Wilkinson's shift on rows first … last; changes both arrays. */
function qlSweep(diagonal: Float64Array, below: Float64Array, first: number, last: number): void {
  const gap =
    ((diagonal[first + 1] as number) - (diagonal[first] as number)) /
    (2 * (below[first] as number));
  const root = Math.hypot(gap, 1);
  let g =
    (diagonal[last] as number) -
    (diagonal[first] as number) +
    (below[first] as number) / (gap + (gap < 0 ? -root : root));
  let [sine, cosine, shift] = [1, 1, 0];
  for (let i = last - 1; i >= first; i--) {
    const f = sine * (below[i] as number);
    const b = cosine * (below[i] as number);
    const r = Math.hypot(f, g);
    below[i + 1] = r;
    if (r === 0) {
      // The rotation vanished: the matrix falls apart here.
      diagonal[i + 1] = (diagonal[i + 1] as number) - shift;
      below[last] = 0;
      return;
    }
    sine = f / r;
    cosine = g / r;
    g = (diagonal[i + 1] as number) - shift;
    const t = ((diagonal[i] as number) - g) * sine + 2 * cosine * b;
    shift = sine * t;
    diagonal[i + 1] = g + shift;
    g = cosine * t - b;
  }
  diagonal[first] = (diagonal[first] as number) - shift;
  below[first] = g;
  below[last] = 0;
}
