import { checkCount } from '../../core/count.js';
import { UserError } from '../../core/errors.js';
import type { AutoregressiveBlock } from '../../flow/autoregressive.js';
import { ability } from '../../flow/flow.js';
import type { Model } from '../../flow/model.js';

/** Where an iteration starts: at the block's output z itself, or at z_0 followed by zeros. */
export type Start = 'latent' | 'zeros';

/**
 * What is compared with the tolerance: the largest change of a number between two iterates
 * (Zhang et al. 2025, arXiv 2505.24791, algorithm 1), or the Frobenius norm of the change divided by the
 * token width (the code of Liu and Qin 2025, arXiv 2505.12849). Both are of a token and all before it that
 * are not final, sample by sample. The published form takes them over a segment of the whole batch, and
 * divides the norm by the number of samples, too.
 */
export type ChangeNorm = 'largest' | 'frobenius';

/** Settings that all iterative solvers share. */
export interface IterationSettings {
  /**
   * A token is final once all before it were, or once the change of it and of all before it that are not
   * final, in `norm`, is at most this, on the scale of the block's tokens (images lie in [−1, 1]). 0 iterates
   * to the exact solution (the published form, whose largest change has to be below it, then goes on to
   * `maximum`). Default 1e-5. It bounds the change, not the error: what is left undone in a token grows in
   * those that depend on it, in a tough block of 1,024 tokens a thousandfold. `planSampling` measures the
   * error.
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
 * - `jacobi`: all tokens at once, again and again; after k iterations the first k tokens are exact, and one
 *   more where the first token passes through.
 * - `gaussSeidelJacobi`: segments of tokens one after the other, Jacobi iterations inside each.
 * - `slidingWindow`: Jacobi iterations on the next `window` tokens that are not yet final, all in one
 *   compiled loop: for one image or a few on a processor, where an evaluation of 8 to 16 tokens takes two
 *   or three times as long as that of one. A token is final once all before it changed by at most the
 *   tolerance. Needs a block that can be evaluated a few tokens at a time; its iterates are not shown.
 * - `publishedGaussSeidelJacobi`: the form with segments as the published code does it, so that published
 *   settings can be rerun. One stop for the whole batch, no token ever leaves the iteration, a
 *   finished segment's keys and values are those of the iterate before its last, and the number of
 *   segments divides the number of tokens. `clamp` bounds every iterate by ±clamp, which changes
 *   the solution where that is larger; the published code has 3. Selective Jacobi decoding is
 *   published as one segment without a clamp that starts at zeros, the first token too.
 * - `publishedBlockwiseJacobi`: as STARFlow's published code samples (Gu et al. 2025, arXiv
 *   2506.06276), for blocks with a start token: segments of `length` tokens, the last of what is left,
 *   each started at the latent. It stops for the whole batch where the mean square of the change is
 *   below `tolerance` times that of the tokens, which leaves errors of a tenth and more; the published
 *   settings are length 16, tolerance 1e-3 and at most 32 iterations.
 */
export type Solver =
  | { kind: 'sequential' }
  | ({ kind: 'jacobi' } & IterationSettings)
  | ({ kind: 'gaussSeidelJacobi'; segments: number } & IterationSettings)
  | ({ kind: 'slidingWindow'; window: number } & Pick<IterationSettings, 'tolerance' | 'start'>)
  | ({
      kind: 'publishedGaussSeidelJacobi';
      segments: number;
      maximum: number;
      clamp?: number;
      start?: Start | 'allZeros';
    } & Omit<IterationSettings, 'start'>)
  | { kind: 'publishedBlockwiseJacobi'; length: number; tolerance: number; maximum: number };

const kinds = [
  'sequential',
  'jacobi',
  'gaussSeidelJacobi',
  'slidingWindow',
  'publishedGaussSeidelJacobi',
  'publishedBlockwiseJacobi',
] as const satisfies readonly Solver['kind'][];

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
  blocks: readonly AutoregressiveBlock[],
  solver: Solver | readonly Solver[],
): readonly Solver[] {
  const solvers = Array.isArray(solver)
    ? (solver as readonly Solver[])
    : new Array<Solver>(blocks.length).fill(solver as Solver);
  if (solvers.length !== blocks.length) {
    throw new UserError(
      `${solvers.length} solvers came for a model of ${blocks.length} blocks`,
      'Give one for all, or one per block by its index from the data',
    );
  }
  blocks.forEach((block, index) => {
    checkSolver(block, solvers[index] as Solver);
  });
  return solvers;
}

/**
 * Checks a solver against a block.
 * @throws UserError for an unknown kind, and for settings that are out of range or do not fit
 */
export function checkSolver(block: AutoregressiveBlock, solver: Solver): void {
  const { tokens } = block;
  if (!kinds.includes(solver.kind)) {
    throw new UserError(
      `The solver is '${String((solver as { kind: unknown }).kind)}'`,
      `Expected one of ${kinds.join(', ')}`,
    );
  }
  if (solver.kind === 'sequential') return;
  if (solver.kind === 'publishedBlockwiseJacobi') {
    checkBlockwise(block, solver);
    return;
  }
  const { tolerance = defaultTolerance, start = 'latent' } = solver;
  if (!(Number.isFinite(tolerance) && tolerance >= 0)) {
    throw new UserError(
      `The tolerance is ${tolerance}`,
      'Expected a number of at least 0; 0 iterates to the exact solution',
    );
  }
  const starts = ['latent', 'zeros', ...(solver.kind === kindPublished ? ['allZeros'] : [])];
  if (!starts.includes(start)) {
    throw new UserError(`The start is '${start}'`, `Expected one of ${starts.join(', ')}`);
  }
  if (solver.kind === 'slidingWindow') {
    checkWindow(block, solver.window);
    return;
  }
  const { norm = 'largest' } = solver;
  if (!['largest', 'frobenius'].includes(norm)) {
    throw new UserError(`The norm is '${norm}'`, "Expected 'largest' or 'frobenius'");
  }
  if (solver.maximum !== undefined || solver.kind === kindPublished) {
    checkCount('The largest number of iterations', solver.maximum);
  }
  if (solver.kind === 'jacobi') return;
  const { segments } = solver;
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
  if (solver.clamp !== undefined && !(solver.clamp > 0)) {
    throw new UserError(`The clamp is ${solver.clamp}`, 'Expected a number above 0, or none');
  }
}

function checkWindow({ tokens, decoder }: AutoregressiveBlock, window: number): void {
  if (!decoder) {
    throw new UserError(
      "The solver 'slidingWindow' came for a block that cannot be evaluated a few tokens at a time",
      "Take 'jacobi' or 'gaussSeidelJacobi'",
    );
  }
  if (tokens < 2) {
    throw new UserError(
      "The solver 'slidingWindow' came for a block of one token",
      "There is nothing to iterate on; take 'sequential'",
    );
  }
  if (Number.isInteger(window) && window >= 1 && window < tokens) return;
  throw new UserError(
    `The window has ${window} tokens`,
    `Expected a whole number from 1 to ${tokens - 1}, one less than a block has`,
  );
}

function checkBlockwise(
  { given }: AutoregressiveBlock,
  { length, tolerance, maximum }: Extract<Solver, { kind: 'publishedBlockwiseJacobi' }>,
): void {
  if (given !== 0) {
    throw new UserError(
      "The solver 'publishedBlockwiseJacobi' came for a block without a start token",
      "Its first segment could not begin; take 'gaussSeidelJacobi'",
    );
  }
  checkCount('The length of a segment', length);
  checkCount('The largest number of iterations', maximum);
  if (Number.isFinite(tolerance) && tolerance >= 0) return;
  throw new UserError(`The tolerance is ${tolerance}`, 'Expected a number of at least 0');
}

/** A solver in a few words, for tables. */
export function solverText(solver: Solver): string {
  if (solver.kind === 'sequential') return 'sequential';
  if (solver.kind === 'publishedBlockwiseJacobi') {
    const { length, tolerance, maximum } = solver;
    return `published form, segments of ${length} tokens, to ${tolerance}, at most ${maximum}`;
  }
  const { tolerance = defaultTolerance, start = 'latent' } = solver;
  return [
    solver.kind === 'publishedGaussSeidelJacobi' ? 'published form' : 'Jacobi',
    ...('segments' in solver && solver.segments > 1 ? [`${solver.segments} segments`] : []),
    ...('window' in solver ? [`window of ${solver.window} tokens`] : []),
    `from ${start}`,
    `to ${Number(tolerance.toPrecision(2))}`,
    ...('maximum' in solver && solver.maximum !== undefined ? [`at most ${solver.maximum}`] : []),
    ...('clamp' in solver && solver.clamp !== undefined ? [`clamped at ${solver.clamp}`] : []),
  ].join(', ');
}

const kindPublished = 'publishedGaussSeidelJacobi';

/**
 * Jacobi iterations on all tokens of a block by the published rule of selective decoding (Zhang et al.
 * 2025, arXiv 2505.24791): from zeros, one stop for the batch at a largest change below 0.5.
 */
export function publishedJacobi(
  { tokens }: AutoregressiveBlock,
  settings: Omit<IterationSettings, 'start'> = {},
): Solver {
  return {
    kind: 'publishedGaussSeidelJacobi',
    segments: 1,
    // From zeros even the first token takes an iteration.
    maximum: tokens,
    start: 'allZeros',
    tolerance: 0.5,
    ...settings,
  };
}

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
 * @throws UserError for a model without blocks
 *
 * @example
 * ```ts
 * import { loadCheckpoint, sample, selectiveJacobi } from 'tarflow';
 *
 * const file = 'results/checkpoints/noise/fashion-mnist-gaussian-0.1-seed-1.safetensors';
 * const flow = await loadCheckpoint(file);
 * const solver = selectiveJacobi(flow, { tolerance: 1e-3 });
 * const images = await sample(flow, { count: 1, label: 3, solver });
 * console.log(images.shape); // [ 1, 1, 28, 28 ]
 * ```
 */
export function selectiveJacobi(
  model: Model,
  settings: IterationSettings & { published?: boolean } = {},
): Solver[] {
  const { published = false, ...iteration } = settings;
  const blocks = ability(model.family, 'blocks')(model);
  const parallel = (block: AutoregressiveBlock): Solver =>
    published ? publishedJacobi(block, iteration) : { kind: 'jacobi', ...iteration };
  return blocks.map((block, index) =>
    index === blocks.length - 1 ? { kind: 'sequential' } : parallel(block),
  );
}
