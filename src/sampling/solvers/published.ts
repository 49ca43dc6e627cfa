import { tf, tidy } from '../../core/tf.js';
import type { Cache } from '../../flow/autoregressive.js';
import { denormalise } from '../../flow/gaussian.js';
import { cacheBytes } from '../guidance/cache.js';
import { firstPredicted, type GuidedBlock } from '../guidance/guided-block.js';
import { segmentEnds, startingTokens } from './gauss-seidel-jacobi.js';
import { givenTokens } from './sequential.js';
import { emptyRecord, type SolveHooks, type SolveRecord } from './solve-record.js';
import { defaultTolerance, type Solver } from './solver.js';

type PublishedSolver = Extract<Solver, { kind: 'publishedGaussSeidelJacobi' }>;
type BlockwiseSolver = Extract<Solver, { kind: 'publishedBlockwiseJacobi' }>;

/** What both published forms say of an iteration. */
interface PublishedRule {
  ends: number[];
  maximum: number;
  start: NonNullable<PublishedSolver['start']>;
  clamp?: number | undefined;
  /** One segment holds all tokens: the published code then clamps the first one, too. */
  whole: boolean;
  /** Of a change and of the next iterate of the tokens that can change, both (batch, tokens, D). */
  residual(change: tf.Tensor3D, next: tf.Tensor3D): tf.Tensor;
  converged(residual: number): boolean;
}

function ruleOf(
  solver: PublishedSolver | BlockwiseSolver,
  tokens: number,
  given: number,
): PublishedRule {
  if (solver.kind === 'publishedBlockwiseJacobi') {
    const { length, tolerance, maximum } = solver;
    const count = Math.ceil(tokens / length);
    return {
      ends: Array.from({ length: count }, (_, i) => Math.min((i + 1) * length, tokens)),
      ...{ maximum, start: 'latent', whole: count === 1 },
      residual: (change, next) => tf.div(tf.mean(tf.square(change)), tf.mean(tf.square(next))),
      converged: (residual) => residual < tolerance,
    };
  }
  const { segments, maximum, norm = 'largest', tolerance = defaultTolerance, clamp } = solver;
  return {
    ends: segmentEnds(tokens, segments, given),
    ...{ maximum, start: solver.start ?? 'latent', clamp, whole: segments === 1 },
    residual: (change) =>
      norm === 'largest'
        ? tf.max(tf.abs(change))
        : tf.div(tf.norm(change), change.shape[0] * change.shape[2]),
    // The papers' rules: a largest change is below the bound, a Frobenius norm at most the bound.
    converged: (residual) => (norm === 'largest' ? residual < tolerance : residual <= tolerance),
  };
}

/**
 * Solves a block for its input as the published codes do (Liu and Qin 2025, arXiv 2505.12849; one
 * segment without a clamp: Zhang et al. 2025, arXiv 2505.24791), for comparison.
 *
 * Their first segment in the block inverted eighth is solved here like any other; the published
 * code leaves it at its start.
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @returns the block's input (batch, T, D), in the block's order, which the caller frees
 */
export async function solveAsPublished(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  solver: PublishedSolver | BlockwiseSolver,
  hooks: SolveHooks = {},
): Promise<{ tokens: tf.Tensor3D; record: SolveRecord }> {
  const [batch, tokens] = z.shape;
  const samples = Array.from({ length: batch }, (_, sample) => sample);
  const record = emptyRecord(batch);
  const { given } = guided.block;
  const rule = ruleOf(solver, tokens, given);
  const { maximum } = rule;
  let x = startingTokens(z, rule.start, given);
  /** Of the finished segments, and with the segment's last evaluation. */
  let cache: Cache | undefined;
  let extended: Cache | undefined;
  try {
    hooks.onIterate?.(x, samples);
    /** Tokens that are final at the start: the first, unless it starts as what it does not stay. */
    const settled = tidy(() => {
      if (given === 0) return 0;
      const start = givenTokens(guided.block, x);
      return tf.all(tf.equal(start, firstToken(guided, z, rule))).dataSync()[0] as number;
    });
    let first = 0;
    for (const [segment, end] of rule.ends.entries()) {
      const count = end - 1 - first;
      /** Iterations that always suffice. */
      const enough = segment === 0 ? end - settled : count;
      const final = (): number => Math.min(end - enough + iteration, end);
      let residual = Number.POSITIVE_INFINITY;
      let iteration = 0;
      const converged = (): boolean => rule.converged(residual);
      while (iteration < maximum && !converged()) {
        const step = publishedStep(guided, { x, z }, { first, end, cache }, rule);
        residual = step.residual.dataSync()[0] as number;
        step.residual.dispose();
        x.dispose();
        x = step.next;
        freeCache(extended);
        extended = step.extended;

        iteration++;
        record.evaluations++;
        record.evaluatedTokens += batch * count;
        record.cacheBytes = Math.max(record.cacheBytes, cacheBytes(extended));
        record.iterations.push({
          segment,
          samples: batch,
          evaluatedSamples: batch,
          evaluated: count,
          residual,
          final: final(),
        });
        hooks.onIterate?.(x, samples);
        await hooks.onStep?.(final());
      }
      record.sampleIterations = record.sampleIterations.map((sum) => sum + iteration);
      const open =
        iteration < enough && !converged() ? samples : samplesNotFinite(x, end, residual);
      record.unconverged.push(...open.map((sample) => ({ segment, sample })));
      freeCache(cache);
      cache = extended;
      extended = undefined;
      first = end - 1;
      await hooks.onStep?.(end);
    }
    return { tokens: x.clone(), record };
  } finally {
    x.dispose();
    freeCache(cache);
    freeCache(extended);
  }
}

/** The token that z tells. The published code clamps it in its one-segment mode only. */
function firstToken(
  { block }: GuidedBlock,
  z: tf.Tensor3D,
  { whole, clamp }: PublishedRule,
): tf.Tensor3D {
  const token = givenTokens(block, z);
  return whole ? clamped(token, clamp) : token;
}

function clamped(x: tf.Tensor3D, clamp: number | undefined): tf.Tensor3D {
  return clamp === undefined ? x : tf.clipByValue(x, -clamp, clamp);
}

/** The next iterate on the tokens up to `end`, its change, and the cache of this evaluation. */
function publishedStep(
  guided: GuidedBlock,
  { x, z }: { x: tf.Tensor3D; z: tf.Tensor3D },
  { first, end, cache }: { first: number; end: number; cache: Cache | undefined },
  rule: PublishedRule,
): { next: tf.Tensor3D; residual: tf.Tensor; extended: Cache | undefined } {
  const { block } = guided;
  const lowest = firstPredicted(block, { start: first, cache });
  return tidy(() => {
    const given = tf.slice(x, [0, first, 0], [-1, end - 1 - first, -1]);
    const prediction = guided.predict(given, { start: first, cache, keepCache: true });
    const target = tf.slice(z, [0, lowest, 0], [-1, end - lowest, -1]);
    const moved = clamped(denormalise(target, prediction.next), rule.clamp);
    const known = tf.slice(x, [0, 0, 0], [-1, lowest, -1]);
    const before = rule.whole && block.given > 0 ? firstToken(guided, z, rule) : known;
    const next = tf.concat([before, moved, tf.slice(x, [0, end, 0])], 1);
    // The first token changes where it is clamped or started elsewhere.
    const from = rule.whole ? 0 : lowest;
    const changing = (tokens: tf.Tensor3D): tf.Tensor3D =>
      tf.slice(tokens, [0, from, 0], [-1, end - from, -1]);
    const residual = rule.residual(tf.sub(changing(next), changing(x)), changing(next));
    return { next, residual, extended: prediction.cache };
  });
}

function freeCache(cache: Cache | undefined): void {
  if (cache) tf.dispose(cache);
}

/**
 * The samples that have a number among their first `end` tokens that is not finite. Where the last
 * change was finite, there is none.
 */
function samplesNotFinite(x: tf.Tensor3D, end: number, residual: number): number[] {
  if (Number.isFinite(residual)) return [];
  const values = x.dataSync();
  const [batch, tokens, width] = x.shape;
  return Array.from({ length: batch }, (_, sample) => sample).filter((sample) => {
    const first = sample * tokens * width;
    return !values.subarray(first, first + end * width).every(Number.isFinite);
  });
}
