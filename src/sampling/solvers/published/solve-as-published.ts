import { tf, tidy } from '../../../core/tf.js';
import {
  type AutoregressiveBlock,
  type Cache,
  firstPredicted,
} from '../../../flow/autoregressive.js';
import { cacheBytes } from '../../../flow/cache.js';
import { denormalise } from '../../../flow/gaussian.js';
import { emptyRecord, type Solution, type SolveContext, type Start } from '../definition.js';
import { predictBy } from '../execution.js';
import { between, type Stretch, startingTokens } from '../gauss-seidel-jacobi/update.js';
import { givenTokens } from '../sequential/steps.js';

/** What a published form says of its iteration. */
interface PublishedRule {
  /** Where each segment ends, as the number of tokens known once it is solved. */
  ends: readonly number[];
  /** Most iterations on a segment. */
  maximum: number;
  start: Start | 'allZeros';
  clamp?: number | undefined;
  /** One segment holds all tokens: the published code then clamps the first one, too. */
  whole: boolean;
  /** Of a change and of the next iterate of the tokens that can change, both (batch, tokens, D). */
  residual(change: tf.Tensor3D, next: tf.Tensor3D): tf.Tensor;
  converged(residual: number): boolean;
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
  block: AutoregressiveBlock,
  z: tf.Tensor3D,
  rule: PublishedRule,
  context: SolveContext,
): Promise<Solution> {
  const [batch] = z.shape;
  const samples = [...Array(batch).keys()];
  const record = emptyRecord(batch);
  const { given } = block;
  const { maximum } = rule;
  let x = startingTokens(block, z, rule.start);
  /** Of the finished segments, and with the segment's last evaluation. */
  let cache: Cache | undefined;
  let extended: Cache | undefined;
  try {
    context.onIterate?.(x, samples);
    /** Tokens that are final at the start: the first, unless it starts as what it does not stay. */
    const settled = tidy(() => {
      const same = tf.equal(givenTokens(block, x), firstToken(block, z, rule));
      return given * Number(tf.all(same).dataSync()[0]);
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
        const step = publishedStep(block, { x, z }, { first, end, cache }, rule, context);
        residual = step.residual.dataSync()[0] as number;
        tf.dispose([step.residual, x, extended ?? []]);
        ({ next: x, extended } = step);

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
        context.onIterate?.(x, samples);
        await context.onStep?.(final());
      }
      record.sampleIterations = record.sampleIterations.map((sum) => sum + iteration);
      const open =
        iteration < enough && !converged() ? samples : samplesNotFinite(x, end, residual);
      record.unconverged.push(...open.map((sample) => ({ segment, sample })));
      tf.dispose(cache ?? []);
      [cache, extended, first] = [extended, undefined, end - 1];
      await context.onStep?.(end);
    }
    return { tokens: x.clone(), record };
  } finally {
    tf.dispose([x, cache ?? [], extended ?? []]);
  }
}

/** The token that z tells. The published code clamps it in its one-segment mode only. */
function firstToken(
  block: AutoregressiveBlock,
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
  block: AutoregressiveBlock,
  { x, z }: { x: tf.Tensor3D; z: tf.Tensor3D },
  { first, end, cache }: Stretch,
  rule: PublishedRule,
  { conditions, execution }: SolveContext,
): { next: tf.Tensor3D; residual: tf.Tensor; extended: Cache | undefined } {
  const lowest = firstPredicted(block, { start: first, cache });
  return tidy(() => {
    const place = { start: first, cache, conditions, keepCache: true };
    const prediction = predictBy(execution, block, between(x, first, end - 1), place);
    const moved = clamped(denormalise(between(z, lowest, end), prediction.next), rule.clamp);
    const known = between(x, 0, lowest);
    const before = rule.whole && block.given > 0 ? firstToken(block, z, rule) : known;
    const next = tf.concat([before, moved, tf.slice(x, [0, end, 0])], 1);
    // The first token changes where it is clamped or started elsewhere.
    const from = rule.whole ? 0 : lowest;
    const changing = between(next, from, end);
    const residual = rule.residual(tf.sub(changing, between(x, from, end)), changing);
    return { next, residual, extended: prediction.cache };
  });
}

/**
 * The samples that have a number among their first `end` tokens that is not finite. Where the last
 * change was finite, there is none.
 */
function samplesNotFinite(x: tf.Tensor3D, end: number, residual: number): number[] {
  if (Number.isFinite(residual)) return [];
  const values = x.dataSync();
  const [batch, tokens, width] = x.shape;
  const known = (sample: number) =>
    values.subarray(sample * tokens * width, (sample * tokens + end) * width);
  return [...Array(batch).keys()].filter((sample) => !known(sample).every(Number.isFinite));
}
