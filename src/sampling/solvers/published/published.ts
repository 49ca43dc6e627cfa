import { z } from 'zod';
import { UserError } from '../../../core/errors.js';
import { tf } from '../../../core/tf.js';
import type { AutoregressiveBlock } from '../../../flow/autoregressive.js';
import { count } from '../../../flow/model.js';
import type { SolverDefinition } from '../definition.js';
import { checkSegments } from '../gauss-seidel-jacobi/gauss-seidel-jacobi.js';
import { segmentEnds } from '../gauss-seidel-jacobi/solve-by-iteration.js';
import type { Sequential } from '../sequential/sequential.js';
import {
  defaultTolerance,
  type IterationSettings,
  iterationSettings,
  iterationText,
  tolerance,
} from '../solver-settings.js';
import { solveAsPublished } from './solve-as-published.js';

/** The lists of the published code, in the order of sampling: entry 0 is the block inverted first. */
export interface PublishedLists {
  /** Segments; 0, or as many as there are tokens, is sequential. */
  segments: readonly number[];
  /** Most iterations on a segment. */
  maximum: readonly number[];
  /** 1 starts at zeros, 0 at the latent. */
  zeros: readonly number[];
  /** Bound on the change by its Frobenius norm. Default 1e-6, as published. */
  tolerance?: number;
  /** Default 3, as published; `Infinity` is none. */
  clamp?: number;
}

/**
 * The strategies of Liu and Qin 2025, each tuned for one published model of eight blocks; the names
 * are those of the models.
 */
export const publishedStrategies: Readonly<Record<string, PublishedLists>> = {
  Img128cond: {
    segments: [1, 8, 1, 1, 1, 1, 1, 1],
    maximum: [10, 32, 10, 10, 10, 10, 10, 10],
    zeros: [0, 1, 0, 0, 0, 0, 1, 0],
  },
  AFHQ: {
    segments: [8, 1, 1, 1, 1, 1, 1, 1],
    maximum: [32, 10, 10, 10, 10, 10, 10, 10],
    zeros: [0, 0, 0, 0, 0, 1, 1, 0],
  },
  Img64uncond: {
    segments: [1, 8, 1, 1, 1, 1, 1, 8],
    maximum: [20, 32, 20, 20, 20, 20, 20, 32],
    zeros: [0, 1, 0, 0, 1, 0, 1, 1],
  },
  Img64cond: {
    segments: [8, 1, 1, 1, 1, 1, 1, 0],
    maximum: [13, 6, 6, 6, 6, 6, 6, 1],
    zeros: [1, 0, 0, 0, 0, 1, 1, 1],
  },
};

const schema = z.strictObject({
  kind: z.literal('publishedGaussSeidelJacobi'),
  segments: count,
  ...iterationSettings,
  maximum: count,
  start: z.enum(['latent', 'zeros', 'allZeros']).optional(),
  /** Bounds every iterate by ±clamp, which changes the solution where that is larger; published is 3. */
  clamp: z.number().positive().optional(),
});

/**
 * Gauss–Seidel–Jacobi iteration as the published code does it, so that published settings can be rerun
 * (Liu and Qin 2025, arXiv 2505.12849). One stop for the whole batch, no token ever leaves the iteration,
 * a finished segment's keys and values are those of the iterate before its last, and the number of
 * segments divides the number of tokens. Selective Jacobi decoding is published as one segment without a
 * clamp that starts at zeros, the first token too (Zhang et al. 2025, arXiv 2505.24791).
 */
export type PublishedGaussSeidelJacobi = z.infer<typeof schema>;

export const publishedGaussSeidelJacobi: SolverDefinition<PublishedGaussSeidelJacobi> = {
  kind: 'publishedGaussSeidelJacobi',
  schema,
  check(block, { segments, start }) {
    checkSegments(block, segments);
    if (block.tokens % segments !== 0) {
      throw new UserError(
        `${segments} segments do not divide ${block.tokens} tokens`,
        'The published form leaves tokens unsolved then; Gauss-Seidel-Jacobi iterations of our own ' +
          "(solver 'gaussSeidelJacobi') take any number",
      );
    }
    if (start === 'allZeros' && segments !== 1) {
      throw new UserError(
        `The start is 'allZeros' with ${segments} segments`,
        "Expected 'latent' or 'zeros', which keep the first token; only one segment sets it itself",
      );
    }
  },
  text: (solver) => iterationText('published form', solver),
  showsIterates: true,
  solve(block, z, { segments, maximum, start = 'latent', clamp, norm, ...solver }, context) {
    const bound = solver.tolerance ?? defaultTolerance;
    const frobenius = norm === 'frobenius';
    const rule = {
      ends: segmentEnds(block.tokens, segments, block.given),
      whole: segments === 1,
      maximum,
      start,
      clamp,
      residual: (change: tf.Tensor3D): tf.Tensor =>
        frobenius
          ? tf.div(tf.norm(change), change.shape[0] * change.shape[2])
          : tf.max(tf.abs(change)),
      // The papers' rules: a largest change is below the bound, a Frobenius norm at most the bound.
      converged: (residual: number) => (frobenius ? residual <= bound : residual < bound),
    };
    return solveAsPublished(block, z, rule, context);
  },
  strategies: {
    ...Object.fromEntries(
      Object.entries(publishedStrategies).map(([name, lists]) => [
        name,
        (blocks: readonly AutoregressiveBlock[]) => solversOfLists(blocks, lists),
      ]),
    ),
    SeJD: (blocks) => selectively(blocks, (block) => publishedJacobi(block)),
  },
};

const blockwiseSchema = z.strictObject({
  kind: z.literal('publishedBlockwiseJacobi'),
  /** Tokens of a segment; the last one has what is left. */
  length: count,
  tolerance,
  maximum: count,
});

/**
 * As STARFlow's published code samples (Gu et al. 2025, arXiv 2506.06276), for blocks with a start token:
 * segments of `length` tokens, each started at the latent. It stops for the whole batch where the mean
 * square of the change is below `tolerance` times that of the tokens, which leaves errors of a tenth and
 * more; the published settings are length 16, tolerance 1e-3 and at most 32 iterations.
 */
export type PublishedBlockwiseJacobi = z.infer<typeof blockwiseSchema>;

export const publishedBlockwiseJacobi: SolverDefinition<PublishedBlockwiseJacobi> = {
  kind: 'publishedBlockwiseJacobi',
  schema: blockwiseSchema,
  check({ given }) {
    if (given === 0) return;
    throw new UserError(
      "The solver 'publishedBlockwiseJacobi' came for a block without a start token",
      "Its first segment could not begin; take 'gaussSeidelJacobi'",
    );
  },
  text: ({ length, tolerance: bound, maximum }) =>
    `published form, segments of ${length} tokens, to ${bound}, at most ${maximum}`,
  showsIterates: true,
  solve(block, z, { length, tolerance: bound, maximum }, context) {
    const { tokens } = block;
    const rule = {
      ends: Array.from({ length: Math.ceil(tokens / length) }, (_, i) =>
        Math.min((i + 1) * length, tokens),
      ),
      whole: length >= tokens,
      maximum,
      start: 'latent' as const,
      residual: (change: tf.Tensor3D, next: tf.Tensor3D): tf.Tensor =>
        tf.div(tf.mean(tf.square(change)), tf.mean(tf.square(next))),
      converged: (residual: number) => residual < bound,
    };
    return solveAsPublished(block, z, rule, context);
  },
};

/** The solvers of blocks from lists, see `publishedSolvers`. */
export function solversOfLists(
  blocks: readonly AutoregressiveBlock[],
  lists: PublishedLists,
): (Sequential | PublishedGaussSeidelJacobi)[] {
  const { segments, maximum, zeros, tolerance: bound = 1e-6, clamp = 3 } = lists;
  for (const [name, list] of Object.entries({ segments, maximum, zeros })) {
    if (list.length !== blocks.length) {
      throw new UserError(
        `The list ${name} has ${list.length} entries`,
        `This model has ${blocks.length} blocks, the one inverted first is entry 0`,
      );
    }
  }
  return blocks.map(({ tokens }, block) => {
    const entry = blocks.length - 1 - block;
    const number = segments[entry] ?? 0;
    if (number === 0 || number === tokens) return { kind: 'sequential' };
    return {
      kind: 'publishedGaussSeidelJacobi',
      segments: number,
      maximum: maximum[entry] ?? 1,
      start: zeros[entry] === 1 ? 'zeros' : 'latent',
      norm: 'frobenius',
      tolerance: bound,
      ...(Number.isFinite(clamp) && { clamp }),
    };
  });
}

/**
 * Jacobi iterations on all tokens of a block by the published rule of selective decoding (Zhang et al.
 * 2025, arXiv 2505.24791): from zeros, one stop for the batch at a largest change below 0.5.
 */
export function publishedJacobi(
  { tokens }: AutoregressiveBlock,
  settings: Omit<IterationSettings, 'start' | 'maximum'> & { maximum?: number | undefined } = {},
): PublishedGaussSeidelJacobi {
  return {
    kind: 'publishedGaussSeidelJacobi',
    segments: 1,
    start: 'allZeros',
    ...settings,
    tolerance: settings.tolerance ?? 0.5,
    // From zeros even the first token takes an iteration.
    maximum: settings.maximum ?? tokens,
  };
}

/** The block inverted first token by token, and all others by another solver. */
export function selectively<S>(
  blocks: readonly AutoregressiveBlock[],
  other: (block: AutoregressiveBlock) => S,
): (Sequential | S)[] {
  return blocks.map((block, index) =>
    index === blocks.length - 1 ? { kind: 'sequential' } : other(block),
  );
}
