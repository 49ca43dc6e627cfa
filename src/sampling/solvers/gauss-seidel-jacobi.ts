import { tf, tidy } from '../../core/tf.js';
import type { Leaves } from '../../core/tree.js';
import type { Cache, Prediction } from '../../flow/autoregressive.js';
import { denormalise } from '../../flow/gaussian.js';
import {
  cacheBytes,
  cacheLeaves,
  cacheOfLeaves,
  joinedCache,
  selectedCache,
  truncatedCache,
} from '../guidance/cache.js';
import { callGuided, firstPredicted, type GuidedBlock, plainly } from '../guidance/guided-block.js';
import { givenTokens, solveSequentially } from './sequential.js';
import { emptyRecord, type SolveHooks, type SolveRecord } from './solve-record.js';
import { type ChangeNorm, defaultTolerance, type IterationSettings, type Start } from './solver.js';

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

/** The first iterate from the block's output, of which `given` tokens are exact. */
export function startingTokens(
  z: tf.Tensor3D,
  start: Start | 'allZeros',
  given: number,
): tf.Tensor3D {
  switch (start) {
    case 'latent':
      return z.clone();
    case 'allZeros':
      return tf.zerosLike(z);
    case 'zeros':
      if (given === 0) return tf.zerosLike(z);
      return tidy(() => {
        const first = tf.slice(z, [0, 0, 0], [-1, given, -1]);
        return tf.pad(first, [
          [0, 0],
          [0, z.shape[1] - given],
          [0, 0],
        ]);
      });
  }
}

/** Samples that iterate together. */
interface Group {
  /** Their places in the batch. */
  samples: number[];
  guided: GuidedBlock;
  /** The block's output (samples, T, D). */
  z: tf.Tensor3D;
  /** The iterate (samples, T, D). */
  x: tf.Tensor3D;
  /** Per sample the number of tokens, from the first, that are final. */
  final: number[];
  /** Keys and values of the first `cached` tokens, all of them final. */
  cache: Cache | undefined;
  cached: number;
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
 * @returns the block's input (batch, T, D), in the block's order, which the caller frees
 */
export async function solveByIteration(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  settings: IterationSettings & { segments: number },
  hooks: SolveHooks = {},
): Promise<{ tokens: tf.Tensor3D; record: SolveRecord }> {
  const [batch, tokens] = z.shape;
  const { given } = guided.block;
  const record = emptyRecord(batch);
  // A graph is recorded per shape, so few shapes are used: the cache grows by whole grains, and
  // samples leave when half of the others have.
  const captured = guided.execution.mode !== 'eager';
  const grain = captured ? Math.ceil(tokens / Math.max(8, 2 * settings.segments)) : 1;
  const groups = new Groups(guided, z, grain);
  let whole = groups.first(startingTokens(z, settings.start ?? 'latent', given));
  try {
    hooks.onIterate?.(whole.x, whole.samples);
    let known: number = given;
    for (const [segment, end] of segmentEnds(tokens, settings.segments, given).entries()) {
      const maximum = settings.maximum ?? end - known;
      const solved = await solveSegment(groups, whole, { segment, end, maximum }, settings, {
        record,
        hooks,
      });
      whole = groups.joined(solved);
      known = end;
    }
    return { tokens: whole.x.clone(), record };
  } finally {
    groups.dispose();
  }
}

/** The groups of a batch that are under way. */
class Groups {
  private readonly live = new Set<Group>();

  constructor(
    readonly guided: GuidedBlock,
    private readonly z: tf.Tensor3D,
    readonly grain: number,
  ) {}

  /** All samples together, from a first iterate, which the group owns. */
  first(x: tf.Tensor3D): Group {
    const samples = Array.from({ length: x.shape[0] }, (_, sample) => sample);
    const { guided, z } = this;
    const final = samples.map(() => guided.block.given as number);
    return this.own({ samples, guided, z, x, final, cache: undefined, cached: 0 });
  }

  /** Some rows of a group as a group of their own. */
  part(group: Group, rows: readonly number[]): Group {
    const indices = tf.tensor1d([...rows], 'int32');
    const taken = this.own({
      samples: rows.map((row) => group.samples[row] as number),
      guided: group.guided.select(rows),
      z: tf.gather(group.z, indices),
      x: tf.gather(group.x, indices),
      final: rows.map((row) => group.final[row] as number),
      cache: group.cache && selectedCache(group.cache, group.guided.branches, rows),
      cached: group.cached,
    });
    indices.dispose();
    return taken;
  }

  /** The whole batch again, from groups that are released. */
  joined(parts: readonly Group[]): Group {
    const [only] = parts;
    if (parts.length === 1 && only?.z === this.z) return only;
    const whole = this.own(join(parts, this.guided, this.z, this.grain));
    for (const group of parts) this.release(group);
    return whole;
  }

  release(group: Group): void {
    this.live.delete(group);
    group.x.dispose();
    freeCache(group);
    if (group.z !== this.z) {
      group.z.dispose();
      group.guided.dispose();
    }
  }

  dispose(): void {
    for (const group of this.live) this.release(group);
  }

  private own(group: Group): Group {
    this.live.add(group);
    return group;
  }
}

interface Segment {
  segment: number;
  /** Tokens known once it is solved. */
  end: number;
  /** Most iterations. */
  maximum: number;
}

/** Where a solver writes what it does. */
interface Reports {
  record: SolveRecord;
  hooks: SolveHooks;
}

/** Iterates on a segment until it is solved in every sample; samples leave as they are done. */
async function solveSegment(
  groups: Groups,
  whole: Group,
  { segment, end, maximum }: Segment,
  { tolerance = defaultTolerance, norm = 'largest' }: IterationSettings,
  { record, hooks }: Reports,
): Promise<Group[]> {
  const solved: Group[] = [];
  let group = whole;
  for (let iteration = 1; ; iteration++) {
    const evaluated = end - 1 - group.cached;
    const rows = group.samples.map((_, row) => row);
    const open = rows.filter((row) => group.final[row]! < end);
    const { residual, broken } = iterate(group, end, tolerance, norm, groups.grain, record);
    for (const row of open) record.sampleIterations[group.samples[row]!]!++;
    hooks.onIterate?.(group.x, group.samples);

    const unsolved = rows.filter((row) => !broken[row] && group.final[row]! < end);
    for (const row of iteration >= maximum ? unsolved.splice(0) : []) {
      group.final[row] = end;
      record.unconverged.push({ segment, sample: group.samples[row]! });
    }
    const final = Math.min(...group.final);
    const [samples, evaluatedSamples] = [open.length, rows.length];
    record.iterations.push({ segment, samples, evaluatedSamples, evaluated, residual, final });
    await hooks.onStep?.(final);

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
      await finish(alike, front, end, record, hooks);
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
  const staying =
    unsolved.length === 0
      ? []
      : [...unsolved, ...finished.slice(0, size - unsolved.length)].sort((a, b) => a - b);
  const leaving = finished.filter((row) => !staying.includes(row));
  return { staying, leaving, failing };
}

/**
 * One Jacobi iteration of a group on the tokens up to `end`, in place.
 *
 * @returns the largest change, and which rows are not finite, whose front stays where it was
 */
function iterate(
  group: Group,
  end: number,
  tolerance: number,
  norm: ChangeNorm,
  grain: number,
  record: SolveRecord,
): { residual: number; broken: boolean[] } {
  const { guided, z, x, final, cached: first } = group;
  const [rows, , width] = x.shape;
  const { block } = guided;
  const count = end - 1 - first;
  const lowest = firstPredicted(block, { start: first, cache: group.cache });
  const predicted = end - lowest;
  // What was final before is so in this evaluation, and its keys and values with it.
  const cached = Math.max(first, floorTo(grain, Math.min(...final, end - 1)));

  const place = { start: first, count, cache: group.cache };
  const mask = finalMask(final, lowest, predicted);
  const step =
    guided.execution.mode === 'eager'
      ? tidy(() =>
          iteration({ x, z, final: mask }, { first, lowest, end, norm }, (tokens) =>
            guided.predict(tokens, { ...place, keepCache: true }),
          ),
        )
      : callGuided(
          guided,
          { name: 'iterate', description: [end, norm], ...place },
          { x, z, final: mask },
          (predict, given) =>
            iteration(given as unknown as Iterate, { first, lowest, end, norm }, (tokens) =>
              predict(tokens, true),
            ),
        );
  mask.dispose();
  const extended = cacheOfLeaves(step);
  const sizes = (step.size as tf.Tensor2D).dataSync();
  record.cacheBytes = Math.max(record.cacheBytes, cacheBytes(extended));
  x.dispose();
  group.x = step.x as tf.Tensor3D;
  if (cached > first) {
    freeCache(group);
    group.cache = truncatedCache(extended, cached + block.lead);
    group.cached = cached;
  }
  tf.dispose(extended);
  step.size?.dispose();
  record.evaluations++;
  record.evaluatedTokens += rows * count;

  let residual = 0;
  const broken = final.map((known, row) => {
    let [change, front] = [0, known];
    for (let token = known; token < end; token++) {
      const size = sizes[row * predicted + token - lowest]!;
      change = norm === 'largest' ? Math.max(change, size) : change + size;
      const measure = norm === 'largest' ? change : Math.sqrt(change) / width;
      // The first of them had only final tokens before it, so it is exact.
      if (token === known || measure <= tolerance) front = token + 1;
    }
    const measure = norm === 'largest' ? change : Math.sqrt(change) / width;
    // NaN fails this comparison too.
    if (!(measure < Number.POSITIVE_INFINITY)) return true;
    residual = Math.max(residual, measure);
    group.final[row] = front;
    return false;
  });
  return { residual, broken };
}

/** What an iteration is made of: the iterate and the block's output (samples, T, D), and a mask. */
interface Iterate {
  x: tf.Tensor3D;
  z: tf.Tensor3D;
  /** True (samples, count, 1) where a token is final. */
  final: tf.Tensor3D;
}

/** The next iterate `x`, the `size` of its tokens' changes (samples, predicted), and the cache. */
function iteration(
  { x, z, final }: Iterate,
  { first, lowest, end, norm }: { first: number; lowest: number; end: number; norm: ChangeNorm },
  evaluate: (tokens: tf.Tensor3D) => Prediction,
): Leaves {
  const { next, cache } = evaluate(tf.slice(x, [0, first, 0], [-1, end - 1 - first, -1]));
  const before = tf.slice(x, [0, lowest, 0], [-1, end - lowest, -1]);
  const target = tf.slice(z, [0, lowest, 0], [-1, end - lowest, -1]);
  const after = tf.where(final, before, denormalise(target, next));
  const change = tf.sub(after, before);
  // The product carries what is not finite past a maximum that may drop it.
  const size =
    norm === 'largest'
      ? tf.add(tf.max(tf.abs(change), 2), tf.mul(tf.sum(change, 2), 0))
      : tf.sum(tf.square(change), 2);
  const parts = lowest > 0 ? [tf.slice(x, [0, 0, 0], [-1, lowest, -1]), after] : [after];
  // Nothing follows the last segment.
  if (end < x.shape[1]) parts.push(tf.slice(x, [0, end, 0]));
  return { x: tf.concat(parts, 1), size, ...cacheLeaves(cache ?? {}) };
}

/** The greatest multiple of a grain that is not above a number. */
function floorTo(grain: number, value: number): number {
  return value - (value % grain);
}

/** The size of a batch that is halved, rounded up, as long as it holds so many samples. */
function halved(size: number, samples: number): number {
  const half = Math.ceil(size / 2);
  return half < size && half >= samples ? halved(half, samples) : size;
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
  group: Group,
  known: number,
  end: number,
  record: SolveRecord,
  hooks: SolveHooks,
): Promise<void> {
  // Of the last known token the prediction is needed again: it may have been part of the failure.
  const cached = Math.max(0, Math.min(group.cached, known - 1));
  const { block } = group.guided;
  const tokens =
    known > 0 ? tf.slice(group.x, [0, 0, 0], [-1, known, -1]) : givenTokens(block, group.z);
  const cache = cached > 0 ? truncatedCache(group.cache as Cache, cached + block.lead) : undefined;
  freeCache(group);
  group.cache = cache;
  const { guided, z } = group;
  // Op by op: one token more is another shape.
  const result = await solveSequentially(
    plainly(guided),
    z,
    { tokens, cache, cached },
    end,
    hooks.onStep,
  );
  tokens.dispose();
  if (cache) tf.dispose(cache);
  group.cached = end - 1;
  if (group.cached > 0) group.cache = result.cache;
  else if (result.cache) tf.dispose(result.cache);
  const x = tidy(() => tf.concat([result.tokens, tf.slice(group.x, [0, end, 0])], 1));
  tf.dispose([group.x, result.tokens]);
  group.x = x;
  group.final = group.final.map(() => end);
  record.evaluations += result.evaluations;
  record.evaluatedTokens += result.evaluatedTokens;
  record.cacheBytes = Math.max(record.cacheBytes, result.cacheBytes);
}

function freeCache({ cache }: Group): void {
  if (cache) tf.dispose(cache);
}

/** The whole batch again, from its parts, in its own order. */
function join(parts: readonly Group[], guided: GuidedBlock, z: tf.Tensor3D, grain: number): Group {
  const samples = parts.flatMap((group) => group.samples);
  const cached = floorTo(grain, Math.min(...parts.map((group) => group.cached)));
  const places = new Int32Array(samples.length);
  samples.forEach((sample, place) => {
    places[sample] = place;
  });
  const joined = tidy(() => {
    const caches =
      cached > 0 &&
      parts.map((group) => ({
        samples: group.samples,
        cache: truncatedCache(group.cache as Cache, cached + guided.block.lead),
      }));
    return {
      x: tf.gather(
        tf.concat(
          parts.map((group) => group.x),
          0,
        ),
        tf.tensor1d(places, 'int32'),
      ),
      cache: caches ? joinedCache(caches, guided.branches) : undefined,
    };
  });
  const final = Array.from(places, (place) => parts.flatMap((group) => group.final)[place]!);
  return { samples: Array.from(places, (_, s) => s), guided, z, final, cached, ...joined };
}
