import { tf } from '../backend/tf.js';
import type { BlockCache } from '../flow/block.js';
import { cacheBytes, disposeCache } from './cache.js';
import { segmentEnds, startingTokens } from './gauss-seidel-jacobi.js';
import type { GuidedBlock } from './guidance.js';
import { defaultTolerance, type Solver } from './solver.js';
import { emptyRecord, type SolveHooks, type SolveRecord } from './trace.js';

type PublishedSolver = Extract<Solver, { kind: 'publishedGaussSeidelJacobi' }>;

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
  solver: PublishedSolver,
  hooks: SolveHooks = {},
): Promise<{ tokens: tf.Tensor3D; record: SolveRecord }> {
  const { segments, maximum, clamp, norm = 'largest', tolerance = defaultTolerance } = solver;
  const [batch, tokens, width] = z.shape;
  const samples = Array.from({ length: batch }, (_, sample) => sample);
  const record = emptyRecord(batch);
  const clamped = (x: tf.Tensor3D): tf.Tensor3D =>
    clamp === undefined ? x : tf.clipByValue(x, -clamp, clamp);

  let x = startingTokens(z, solver.start ?? 'latent');
  // The first token is z's; the published code clamps it in its one-segment mode only.
  const firstToken = (): tf.Tensor3D => {
    const token = tf.slice(z, [0, 0, 0], [-1, 1, -1]);
    return segments === 1 ? clamped(token) : token;
  };
  /** Of the finished segments, and with the segment's last evaluation. */
  let cache: BlockCache | undefined;
  let extended: BlockCache | undefined;
  try {
    hooks.onIterate?.(x, samples);
    /** Tokens that are final at the start: the first, unless it starts as what it does not stay. */
    const settled = tf.tidy(() => {
      const start = tf.slice(x, [0, 0, 0], [-1, 1, -1]);
      return tf.all(tf.equal(start, firstToken())).dataSync()[0] as number;
    });
    let first = 0;
    for (const [segment, end] of segmentEnds(tokens, segments).entries()) {
      const count = end - 1 - first;
      /** Iterations that always suffice. */
      const enough = segment === 0 ? end - settled : count;
      const final = (): number => Math.min(end - enough + iteration, end);
      let residual = Number.POSITIVE_INFINITY;
      let iteration = 0;
      // The papers' rules: a largest change is below the bound, a Frobenius norm at most the bound.
      const converged = (): boolean =>
        norm === 'largest' ? residual < tolerance : residual <= tolerance;
      while (iteration < maximum && !converged()) {
        const step = tf.tidy(() => {
          const known = tf.slice(x, [0, 0, 0], [-1, first + 1, -1]);
          const prediction = guided.predict(tf.slice(x, [0, first, 0], [-1, count, -1]), {
            start: first,
            cache,
            keepCache: true,
          });
          const target = tf.slice(z, [0, first + 1, 0], [-1, count, -1]);
          const moved = clamped(tf.add(tf.mul(target, tf.exp(prediction.a)), prediction.b));
          const before = segments === 1 ? firstToken() : known;
          const next = tf.concat([before, moved, tf.slice(x, [0, end, 0])], 1);
          const change = tf.sub(next, x);
          return {
            next,
            residual:
              norm === 'largest' ? tf.max(tf.abs(change)) : tf.div(tf.norm(change), batch * width),
            extended: prediction.cache,
          } as never;
        }) as unknown as { next: tf.Tensor3D; residual: tf.Scalar; extended: BlockCache };
        residual = step.residual.dataSync()[0] as number;
        step.residual.dispose();
        x.dispose();
        x = step.next;
        disposeCache(extended);
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
      disposeCache(cache);
      cache = extended;
      extended = undefined;
      first = end - 1;
      await hooks.onStep?.(end);
    }
    return { tokens: x.clone(), record };
  } finally {
    x.dispose();
    disposeCache(cache);
    disposeCache(extended);
  }
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
