import type { Notebook } from './measurement.js';

/** Notebook 06: a block as a system of equations. */
export const gaussSeidelJacobi = {
  notebook: '06-gauss-seidel-jacobi',
  question: 'Sampling as a triangular system: Gauss–Seidel–Jacobi iteration',
  measurements: [],
} satisfies Notebook;
