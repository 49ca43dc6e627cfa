import { UserError } from '../backend/errors.js';
import { type FlowConfig, tokenCount } from '../flow/config.js';
import { checkCount } from './count.js';

/** Where an iteration starts: at the block's output z itself, or at z_0 followed by zeros. */
export type Start = 'latent' | 'zeros';

/**
 * What is compared with the tolerance: the largest change of a number between two iterates
 * (Zhang et al. 2025, arXiv 2505.24791, algorithm 1), or the change's Frobenius norm divided by
 * the number of samples and the token width (the code of Liu and Qin 2025, arXiv 2505.12849).
 */
export type ChangeNorm = 'largest' | 'frobenius';

/** Settings that all iterative solvers share. */
export interface IterationSettings {
  /**
   * Tokens whose change is at most this are taken as solved; 0 iterates to the exact solution. It
   * bounds the change, not the error: what is left undone in a token grows in those that depend on
   * it, in a tough block of 1,024 tokens a thousandfold. `planSampling` measures the error.
   */
  tolerance?: number;
  /** Default `largest`. */
  norm?: ChangeNorm;
  /**
   * Most iterations on a segment, after which its tokens stay as they are. Default: as many as it
   * has tokens, which always suffice.
   */
  maximum?: number;
  /** Default `latent`. */
  start?: Start;
}

/**
 * How to solve a block for its input, x = exp(a(x))·z + b(x), where a and b of a token depend on
 * earlier tokens only.
 *
 * - `sequential`: token by token with a key/value cache.
 * - `jacobi`: all tokens at once, again and again; token t is exact after t iterations.
 * - `gaussSeidelJacobi`: segments of tokens one after the other, Jacobi iterations inside each.
 * - `publishedGaussSeidelJacobi`: the latter as the published code does it, so that published
 *   settings can be rerun. One stop for the whole batch, no token ever leaves the iteration, a
 *   finished segment's keys and values are those of the iterate before its last, and the number of
 *   segments divides the number of tokens. `clamp` bounds every iterate by ±clamp, which changes
 *   the solution where that is larger; the published code has 3. Selective Jacobi decoding is
 *   published as one segment without a clamp that starts at zeros, the first token too.
 */
export type Solver =
  | { kind: 'sequential' }
  | ({ kind: 'jacobi' } & IterationSettings)
  | ({ kind: 'gaussSeidelJacobi'; segments: number } & IterationSettings)
  | ({
      kind: 'publishedGaussSeidelJacobi';
      segments: number;
      maximum: number;
      clamp?: number;
      start?: Start | 'allZeros';
    } & Omit<IterationSettings, 'start'>);

/**
 * The tolerance of a solver that names none. Changes of this size are of the order of float32
 * rounding in an image of range 2.
 */
export const defaultTolerance = 1e-5;

/**
 * One solver per block, by index from the data.
 *
 * @throws UserError for settings that do not fit the model, and where the number of solvers is not
 *   that of the blocks
 */
export function solversOfBlocks(
  config: FlowConfig,
  solver: Solver | readonly Solver[],
): readonly Solver[] {
  const solvers = Array.isArray(solver)
    ? (solver as readonly Solver[])
    : new Array<Solver>(config.blocks).fill(solver as Solver);
  if (solvers.length !== config.blocks) {
    throw new UserError(
      `${solvers.length} solvers came for a model of ${config.blocks} blocks`,
      'Give one for all, or one per block by its index from the data',
    );
  }
  for (const one of solvers) checkSolver(config, one);
  return solvers;
}

/**
 * Checks a solver against a model.
 * @throws UserError for an unknown kind, and for settings that are out of range or do not fit
 */
export function checkSolver(config: FlowConfig, solver: Solver): void {
  if (!['sequential', 'jacobi', 'gaussSeidelJacobi', kindPublished].includes(solver.kind)) {
    throw new UserError(
      `The solver is '${String((solver as { kind: unknown }).kind)}'`,
      `Expected 'sequential', 'jacobi', 'gaussSeidelJacobi' or '${kindPublished}'`,
    );
  }
  if (solver.kind === 'sequential') return;
  const { tolerance = defaultTolerance, norm = 'largest', start = 'latent' } = solver;
  if (!(Number.isFinite(tolerance) && tolerance >= 0)) {
    throw new UserError(
      `The tolerance is ${tolerance}`,
      'Expected a number of at least 0; 0 iterates to the exact solution',
    );
  }
  if (!['largest', 'frobenius'].includes(norm)) {
    throw new UserError(`The norm is '${norm}'`, "Expected 'largest' or 'frobenius'");
  }
  if (solver.maximum !== undefined || solver.kind === kindPublished) {
    checkCount('The largest number of iterations', solver.maximum);
  }
  const starts = ['latent', 'zeros', ...(solver.kind === kindPublished ? ['allZeros'] : [])];
  if (!starts.includes(start)) {
    throw new UserError(`The start is '${start}'`, `Expected one of ${starts.join(', ')}`);
  }
  if (solver.kind === 'jacobi') return;
  const { segments } = solver;
  const tokens = tokenCount(config);
  if (!Number.isInteger(segments) || segments < 1 || segments > tokens) {
    throw new UserError(
      `The number of segments is ${segments}`,
      `Expected a whole number from 1 to the number of tokens, ${tokens}`,
    );
  }
  if (solver.kind !== kindPublished) return;
  if (tokens % segments !== 0) {
    throw new UserError(
      `${segments} segments do not divide ${tokens} tokens`,
      "The published form leaves tokens unsolved then; use 'gaussSeidelJacobi', which takes any number",
    );
  }
  if (start === 'allZeros' && segments !== 1) {
    throw new UserError(
      `The start is 'allZeros' with ${segments} segments`,
      "Expected 'latent' or 'zeros', which keep the first token; only one segment sets it itself",
    );
  }
  if (solver.clamp !== undefined && !(solver.clamp > 0)) {
    throw new UserError(`The clamp is ${solver.clamp}`, 'Expected a number above 0, or none');
  }
}

const kindPublished = 'publishedGaussSeidelJacobi';

/**
 * Selective Jacobi decoding: the block inverted first token by token, since it depends most on near
 * tokens, and all others by Jacobi iterations (Zhang et al. 2025, arXiv 2505.24791, algorithm 1).
 *
 * The published rule stops at a largest change of 0.5, measured on images of range 2 whose
 * intermediate values reach ±3; where values are smaller, it stops too early.
 *
 * @param settings of the Jacobi iterations, those of our own by default; `published` reruns the
 *   paper's: one stop for the batch, at a largest change below 0.5, from zeros
 * @returns a solver per block, by index from the data
 */
export function selectiveJacobi(
  config: FlowConfig,
  settings: IterationSettings & { published?: boolean } = {},
): Solver[] {
  const { published = false, ...iteration } = settings;
  const parallel: Solver = published
    ? {
        kind: 'publishedGaussSeidelJacobi',
        segments: 1,
        // From zeros even the first token takes an iteration.
        maximum: tokenCount(config),
        start: 'allZeros',
        tolerance: 0.5,
        ...iteration,
      }
    : { kind: 'jacobi', ...iteration };
  return Array.from({ length: config.blocks }, (_, block) =>
    block === config.blocks - 1 ? { kind: 'sequential' } : parallel,
  );
}

/** The lists of the published code, in the order of sampling: entry 0 is the block inverted first. */
export interface PublishedLists {
  /** Segments; 0, or as many as there are tokens, is sequential. */
  segments: readonly number[];
  /** Most iterations on a segment. */
  maximum: readonly number[];
  /** 1 starts at zeros, 0 at the latent. */
  zeros: readonly number[];
  /** Bound on the change by its Frobenius norm. The published code's default is 1e-6. */
  tolerance?: number;
  /** Default 3, as published; `Infinity` is none. */
  clamp?: number;
}

/**
 * Solvers from lists as the published code takes them (Liu and Qin 2025, arXiv 2505.12849). The
 * flaw of that code in the block inverted eighth, which left its first segment unsolved, is not
 * rerun.
 *
 * @returns a solver per block, by index from the data
 * @throws UserError where a list's length is not the number of blocks
 */
export function publishedSolvers(config: FlowConfig, lists: PublishedLists): Solver[] {
  const { segments, maximum, zeros, tolerance = 1e-6, clamp = 3 } = lists;
  for (const [name, list] of Object.entries({ segments, maximum, zeros })) {
    if (list.length !== config.blocks) {
      throw new UserError(
        `The list ${name} has ${list.length} entries`,
        `This model has ${config.blocks} blocks, the one inverted first is entry 0`,
      );
    }
  }
  return Array.from({ length: config.blocks }, (_, block): Solver => {
    const entry = config.blocks - 1 - block;
    const count = segments[entry] as number;
    if (count === 0 || count === tokenCount(config)) return { kind: 'sequential' };
    return {
      kind: 'publishedGaussSeidelJacobi',
      segments: count,
      maximum: maximum[entry] as number,
      start: zeros[entry] === 1 ? 'zeros' : 'latent',
      norm: 'frobenius',
      tolerance,
      ...(Number.isFinite(clamp) && { clamp }),
    };
  });
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
