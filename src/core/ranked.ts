/**
 * TensorFlow.js with types that know ranks. Its own leave the rank of most results to the caller, which
 * takes a cast at every step. What is declared here stands in the place of the function of the same
 * name; it is the same function, and all others are TensorFlow.js as it is.
 */

import type { Scalar, Tensor, TensorLike } from '@tensorflow/tfjs-core';
import * as core from '@tensorflow/tfjs-core';

export * from '@tensorflow/tfjs-core';

type Any = Tensor | TensorLike;

/** Tensors by their number of axes. */
export interface Ranked {
  0: Scalar;
  1: core.Tensor1D;
  2: core.Tensor2D;
  3: core.Tensor3D;
  4: core.Tensor4D;
  5: core.Tensor5D;
  6: Tensor<core.Rank.R6>;
}

/** Shapes whose length is known. */
export type Shape =
  | readonly []
  | readonly [number]
  | readonly [number, number]
  | readonly [number, number, number]
  | readonly [number, number, number, number]
  | readonly [number, number, number, number, number]
  | readonly [number, number, number, number, number, number];

type Shaped<S extends Shape> = Ranked[S['length']];

/** The number of axes of a tensor whose rank is known. */
type Axes<T extends Tensor> = {
  [N in keyof Ranked]: Ranked[N]['rankType'] extends T['rankType'] ? N : never;
}[keyof Ranked];

type OneMore<T extends Tensor> = Tensor extends T
  ? Tensor
  : Ranked[{ 0: 1; 1: 2; 2: 3; 3: 4; 4: 5; 5: 6; 6: never }[Axes<T>]];

type OneLess<T extends Tensor> = Tensor extends T
  ? Tensor
  : Ranked[{ 0: never; 1: 0; 2: 1; 3: 2; 4: 3; 5: 4; 6: 5 }[Axes<T>]];

/** What is left where the listed axes go. */
export type Without<T extends Tensor, L extends Shape> = L extends readonly [
  number,
  ...infer Rest extends Shape,
]
  ? Without<OneLess<T>, Rest>
  : T;

/** The one with more axes, to whose shape broadcasting brings both. */
type Wider<A extends Tensor, B extends Tensor> = Tensor extends A | B
  ? Tensor
  : Axes<A> extends Narrower[Axes<B>]
    ? B
    : A;

interface Narrower {
  0: never;
  1: 0;
  2: 0 | 1;
  3: 0 | 1 | 2;
  4: 0 | 1 | 2 | 3;
  5: 0 | 1 | 2 | 3 | 4;
  6: 0 | 1 | 2 | 3 | 4 | 5;
}

/** Functions of TensorFlow.js, all of one type. */
type All<F> = Record<keyof typeof core, F>;

// In what follows a second type parameter, `R extends …`, lets the context say the rank where the
// arguments do not, and only there.

interface Broadcasting {
  <T extends Tensor, R extends T = T>(a: T, b: T | number): R;
  <T extends Tensor, R extends T = T>(a: number, b: T): R;
  <A extends Tensor, B extends Tensor>(a: A, b: B): Wider<A, B>;
  <R extends Tensor>(a: Any, b: Any): R;
}
export const { add, sub, mul, div, minimum, maximum, squaredDifference, less, lessEqual, greater } =
  core as unknown as All<Broadcasting>;

interface Reduction {
  (x: Any): Scalar;
  <T extends Tensor>(x: T, axis: number | readonly number[] | undefined, keepDims: true): T;
  <T extends Tensor, R extends OneLess<T> = OneLess<T>>(x: T, axis: number): R;
  <T extends Tensor, const L extends Shape, R extends Without<T, L> = Without<T, L>>(
    x: T,
    axes: L,
  ): R;
  <R extends Tensor>(x: Any, axis?: number | number[], keepDims?: boolean): R;
}
export const { sum, mean, max, min } = core as unknown as All<Reduction>;

interface Moments<T> {
  mean: T;
  variance: T;
}

interface Filled<A extends unknown[]> {
  <const S extends Shape>(shape: S, ...options: A): Shaped<S>;
  <R extends core.Rank>(shape: core.ShapeMap[R], ...options: A): Tensor<R>;
}
export const { zeros, ones } = core as unknown as All<Filled<[dtype?: core.DataType]>>;

interface SameRank<A extends unknown[]> {
  <T extends Tensor, R extends T = T>(x: T, ...options: A): R;
  <R extends Tensor>(x: Any, ...options: A): R;
}

interface WithRanks {
  moments: {
    (x: Any): Moments<Scalar>;
    <T extends Tensor, const L extends Shape>(x: T, axes: L): Moments<Without<T, L>>;
    (x: Any, axes: number | number[], keepDims?: boolean): Moments<Tensor>;
  };
  reshape: {
    <const S extends Shape>(x: Any, shape: S): Shaped<S>;
    <R extends core.Rank>(x: Any, shape: core.ShapeMap[R]): Tensor<R>;
  };
  fill: Filled<[value: number, dtype?: core.DataType]>;
  randomNormal: Filled<
    [mean?: number, deviation?: number, dtype?: 'float32' | 'int32', seed?: number]
  >;
  randomUniform: Filled<
    [low?: number, high?: number, dtype?: core.DataType, seed?: number | string]
  >;
  transpose: SameRank<[order?: number[]]>;
  slice: SameRank<[begin: number | number[], size?: number | number[]]>;
  tile: SameRank<[repetitions: number[]]>;
  cast: SameRank<[dtype: core.DataType]>;
  softmax: SameRank<[axis?: number]>;
  matMul: {
    <T extends Tensor, R extends T = T>(a: T, b: T, transposeA?: boolean, transposeB?: boolean): R;
    <R extends Tensor>(a: Any, b: Any, transposeA?: boolean, transposeB?: boolean): R;
  };
  gather: {
    <T extends Tensor, R extends T = T>(x: T, places: core.Tensor1D | number[], axis?: number): R;
    <T extends Tensor, R extends OneLess<T> = OneLess<T>>(x: T, place: Scalar, axis?: number): R;
    <R extends Tensor>(x: Any, places: Any, axis?: number, batchDims?: number): R;
  };
  split: {
    <T extends Tensor, R extends T = T>(x: T, parts: 2, axis?: number): [R, R];
    <T extends Tensor, R extends T = T>(x: T, parts: 3, axis?: number): [R, R, R];
    <T extends Tensor, const S extends readonly number[]>(
      x: T,
      sizes: S,
      axis?: number,
    ): { -readonly [K in keyof S]: T };
    <R extends Tensor>(x: Any, parts: number | number[], axis?: number): R[];
  };
  unstack: <T extends Tensor>(x: T, axis?: number) => OneLess<T>[];
  concat: <T extends Tensor>(tensors: readonly T[], axis?: number) => T;
  addN: <T extends Tensor>(tensors: readonly T[]) => T;
  stack: <T extends Tensor>(tensors: readonly T[], axis?: number) => OneMore<T>;
  expandDims: {
    <T extends Tensor, R extends OneMore<T> = OneMore<T>>(x: T, axis?: number): R;
    <R extends Tensor>(x: Any, axis?: number): R;
  };
  squeeze: {
    <T extends Tensor, const L extends Shape, R extends Without<T, L> = Without<T, L>>(
      x: T,
      axes: L,
    ): R;
    <R extends Tensor>(x: Any, axes?: number[]): R;
  };
  grad: <X extends Tensor>(f: (x: X) => Tensor) => (x: X, dy?: Tensor) => X;
  valueAndGrad: <X extends Tensor, Y extends Tensor>(
    f: (x: X) => Y,
  ) => (x: X, dy?: Y) => { value: Y; grad: X };
}

export const {
  moments,
  reshape,
  fill,
  randomNormal,
  randomUniform,
  transpose,
  slice,
  tile,
  cast,
  softmax,
  matMul,
  gather,
  split,
  unstack,
  concat,
  addN,
  stack,
  expandDims,
  squeeze,
  grad,
  valueAndGrad,
} = core as unknown as WithRanks;
