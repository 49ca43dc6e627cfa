import { tf, tidy } from '../../../core/tf.js';
import { type AutoregressiveBlock, firstPredicted } from '../../../flow/autoregressive.js';
import { cacheBytes, truncatedCache } from '../../../flow/cache.js';
import { emptyRecord, type Solution, type SolveContext, type SolveRecord } from '../definition.js';
import { callBlock, plainly } from '../execution.js';
import { givenTokens, solveSequentially } from '../sequential/steps.js';
import { defaultTolerance, type IterationSettings } from '../solver-settings.js';
import { floorTo, type Group, Groups } from './groups.js';
import { acceptedTokens, type ChangeNorm, jacobiUpdate, startingTokens } from './update.js';

/**
 * Where each segment ends, as the number of tokens known once it is solved.
 *
 * @param given tokens known from the start; with one, segments that divide the tokens are the
 *   published ones
 */
export function segmentEnds(tokens: number, segments: number, given: number): number[] {
  const ends = Array.from({ length: segments }, (_, segment) =>
    Math.min(Math.floor(((segment + 1) * tokens) / segments) + given, tokens),
  );
  // With as many segments as tokens and one of those given, the last segment is empty.
  return ends.filter((end, segment) => end > (ends[segment - 1] ?? given));
}

/**
 * Solves a block for its input by Jacobi iterations, segment by segment (Gauss–Seidel–Jacobi, Liu
 * and Qin 2025, arXiv 2505.12849); one segment is Jacobi iteration of the whole (Zhang et al.
 * 2025, arXiv 2505.24791).
 *
 * Unlike the published codes:
 * - A token is final once it is exact (all before it were final already), or once it and all
 *   before it that are not yet final change by at most the tolerance. Final tokens never change.
 *   The next evaluation gives their keys and values, which go to the cache as far as the tokens are
 *   final in every sample of the batch (where graphs are captured, in a few steps of equal length);
 *   tokens in the cache are not evaluated again: the work shrinks as this front advances. (Once per
 *   segment, samples that left at different times are brought to the same length of cache.)
 * - Each sample has its own front, and leaves the batch when its segment is final. (Where graphs are
 *   captured, it leaves together with others, so that the batch is halved, and is evaluated until
 *   then.) Its result does not depend on the batch, up to rounding.
 * - Nothing is clamped. Where an iterate is not finite, that sample's segment is solved token by
 *   token, which the record tells.
 *
 * @param z the block's output (batch, T, D), in the block's order
 */
export async function solveByIteration(
  block: AutoregressiveBlock,
  z: tf.Tensor3D,
  settings: IterationSettings & { segments: number },
  context: SolveContext,
): Promise<Solution> {
  const [batch, tokens] = z.shape;
  const { segments, start = 'latent', tolerance = defaultTolerance, norm = 'largest' } = settings;
  const record = emptyRecord(batch);
  // A graph is recorded per shape, so few shapes are used: the cache grows by whole grains, and
  // samples leave when half of the others have.
  const captured = context.execution.mode !== 'eager';
  const grain = captured ? Math.ceil(tokens / Math.max(8, 2 * segments)) : 1;
  const groups = new Groups(block, z, context.conditions, grain);
  let whole = groups.first(startingTokens(block, z, start));
  try {
    context.onIterate?.(whole.x, whole.samples);
    let known: number = block.given;
    for (const [segment, end] of segmentEnds(tokens, segments, block.given).entries()) {
      const maximum = settings.maximum ?? end - known;
      const rule = { segment, end, maximum, tolerance, norm };
      whole = groups.joined(await solveSegment(groups, whole, rule, record, context));
      known = end;
    }
    return { tokens: whole.x.clone(), record };
  } finally {
    groups.dispose();
  }
}

interface Segment {
  segment: number;
  /** Tokens known once it is solved. */
  end: number;
  /** Most iterations. */
  maximum: number;
  tolerance: number;
  norm: ChangeNorm;
}

/** Iterates on a segment until it is solved in every sample; samples leave as they are done. */
async function solveSegment(
  groups: Groups,
  whole: Group,
  rule: Segment,
  record: SolveRecord,
  context: SolveContext,
): Promise<Group[]> {
  const { segment, end, maximum } = rule;
  const solved: Group[] = [];
  let group = whole;
  for (let iteration = 1; ; iteration++) {
    const evaluated = end - 1 - group.cached;
    const rows = group.samples.map((_, row) => row);
    const open = rows.filter((row) => group.final[row]! < end);
    const { residual, broken } = await iterate(groups, group, rule, record, context);
    for (const row of open) record.sampleIterations[group.samples[row]!]!++;
    context.onIterate?.(group.x, group.samples);

    const unsolved = rows.filter((row) => !broken[row] && group.final[row]! < end);
    for (const row of iteration >= maximum ? unsolved.splice(0) : []) {
      group.final[row] = end;
      record.unconverged.push({ segment, sample: group.samples[row]! });
    }
    const final = Math.min(...group.final);
    const [samples, evaluatedSamples] = [open.length, rows.length];
    record.iterations.push({ segment, samples, evaluatedSamples, evaluated, residual, final });
    await context.onStep?.(final);

    const { staying, leaving, failing } = divided(rows, unsolved, broken, groups.grain);
    if (staying.length === rows.length) continue;
    if (leaving.length === rows.length) return [...solved, group];
    for (const row of failing) record.fallbacks.push({ segment, sample: group.samples[row]! });
    // Together go those of the same front, so that none depends on the others.
    for (const front of new Set(failing.map((row) => group.final[row]!))) {
      const alike = groups.part(
        group,
        failing.filter((row) => group.final[row] === front),
      );
      await finish(groups.block, alike, front, end, record, context);
      solved.push(alike);
    }
    if (leaving.length > 0) solved.push(groups.part(group, leaving));
    const rest = staying.length > 0 ? groups.part(group, staying) : undefined;
    groups.release(group);
    if (!rest) return solved;
    group = rest;
  }
}

/** Rows that go on, with some that wait for others where graphs are captured; that leave; that fail. */
function divided(
  rows: readonly number[],
  unsolved: readonly number[],
  broken: readonly boolean[],
  grain: number,
): Record<'staying' | 'leaving' | 'failing', number[]> {
  const failing = rows.filter((row) => broken[row]);
  const finished = rows.filter((row) => !broken[row] && !unsolved.includes(row));
  const size = grain === 1 ? unsolved.length : halved(rows.length, unsolved.length);
  const waiting = unsolved.length === 0 ? [] : finished.slice(0, size - unsolved.length);
  const staying = [...unsolved, ...waiting].sort((a, b) => a - b);
  return { staying, leaving: finished.filter((row) => !staying.includes(row)), failing };
}

/** The size of a batch that is halved, rounded up, as long as it holds so many samples. */
function halved(size: number, samples: number): number {
  const half = Math.ceil(size / 2);
  return half < size && half >= samples ? halved(half, samples) : size;
}

/**
 * One Jacobi iteration of a group on the tokens up to `end`, in place.
 *
 * @returns the largest change, and which rows are not finite, whose front stays where it was
 */
async function iterate(
  { block, grain }: Groups,
  group: Group,
  { end, tolerance, norm }: Segment,
  record: SolveRecord,
  { execution }: SolveContext,
): Promise<{ residual: number; broken: boolean[] }> {
  const { x, z, conditions, final, cache, cached: first } = group;
  const lowest = firstPredicted(block, { start: first, cache });
  const predicted = end - lowest;
  const mask = finalMask(final, lowest, predicted);
  const step = callBlock(
    block,
    execution,
    { name: 'iterate', description: [first, end, norm] },
    { iterate: { x, z, final: mask }, conditions, cache },
    (own, inputs) => {
      const stretch = { first, end, cache: inputs.cache };
      return jacobiUpdate(own, inputs.iterate, stretch, norm, (tokens) =>
        own.predict(tokens, {
          start: first,
          cache: inputs.cache,
          conditions: inputs.conditions,
          keepCache: true,
        }),
      );
    },
  );
  const sizes = await step.size.data<'float32'>();
  tf.dispose([mask, x, step.size]);
  group.x = step.x;
  const extended = step.cache ?? {};
  record.cacheBytes = Math.max(record.cacheBytes, cacheBytes(extended));
  // What was final before is so in this evaluation, and its keys and values with it.
  const cached = Math.max(first, floorTo(grain, Math.min(...final, end - 1)));
  if (cached > first) {
    tf.dispose(cache ?? []);
    group.cache = truncatedCache(block, extended, cached);
    group.cached = cached;
  }
  tf.dispose(extended);
  record.evaluations++;
  record.evaluatedTokens += final.length * (end - 1 - first);

  let residual = 0;
  const broken = final.map((known, row) => {
    if (known >= end) return false;
    const open = sizes.subarray(row * predicted + known - lowest, (row + 1) * predicted);
    const { accepted, change } = acceptedTokens(open, tolerance, norm, block.width);
    if (!Number.isFinite(change)) return true;
    residual = Math.max(residual, change);
    group.final[row] = known + accepted;
    return false;
  });
  return { residual, broken };
}

/** True (samples, count, 1) for the tokens from `first` that are final. */
function finalMask(final: readonly number[], first: number, count: number): tf.Tensor3D {
  const mask = new Uint8Array(final.length * count);
  final.forEach((known, row) => {
    mask.fill(1, row * count, row * count + Math.min(known - first, count));
  });
  return tf.tensor3d(mask, [final.length, count, 1], 'bool');
}

/** Solves the rest of a group's segment token by token; `known` tokens are final in each sample. */
async function finish(
  block: AutoregressiveBlock,
  group: Group,
  known: number,
  end: number,
  record: SolveRecord,
  context: SolveContext,
): Promise<void> {
  const { z, conditions } = group;
  // Of the last known token the prediction is needed again: it may have been part of the failure.
  const cached = Math.max(0, Math.min(group.cached, known - 1));
  const tokens = known > 0 ? tf.slice(group.x, [0, 0, 0], [-1, known, -1]) : givenTokens(block, z);
  const cache = group.cache && cached > 0 ? truncatedCache(block, group.cache, cached) : undefined;
  try {
    const result = await solveSequentially(block, z, { tokens, cache, cached }, end, {
      conditions,
      // One token more is another shape.
      execution: plainly(context.execution),
      onStep: context.onStep,
    });
    const x = tidy(() => tf.concat([result.tokens, tf.slice(group.x, [0, end, 0])], 1));
    tf.dispose([group.x, group.cache ?? [], result.tokens]);
    group.x = x;
    group.cached = end - 1;
    group.cache = end > 1 ? result.cache : undefined;
    if (end <= 1) tf.dispose(result.cache ?? []);
    group.final = group.final.map(() => end);
    record.evaluations += result.evaluations;
    record.evaluatedTokens += result.evaluatedTokens;
    record.cacheBytes = Math.max(record.cacheBytes, result.cacheBytes);
  } finally {
    tf.dispose([tokens, cache ?? []]);
  }
}
