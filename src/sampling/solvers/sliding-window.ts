import { advance, withSlice } from '@tarflow/graph';
import { consecutive } from '../../core/ops.js';
import { tf } from '../../core/tf.js';
import type { Leaves } from '../../core/tree.js';
import type { AutoregressiveBlock, Decoder } from '../../flow/autoregressive.js';
import { denormalise } from '../../flow/gaussian.js';
import { cacheLeaves, cacheOfLeaves } from '../guidance/cache.js';
import { type GuidedBlock, guidedPrediction } from '../guidance/guided-block.js';
import {
  keyLengths,
  type LoopRange,
  loopCacheBytes,
  runLoop,
  solvedTokens,
} from './compiled-loop.js';
import {
  emptyRecord,
  type IterationTrace,
  type SolveHooks,
  type SolveRecord,
} from './solve-record.js';
import { defaultTolerance, type Solver } from './solver.js';

type Settings = Omit<Extract<Solver, { kind: 'slidingWindow' }>, 'kind'>;

/**
 * Solves a block for its input by Jacobi iterations on a window of consecutive tokens, which moves on
 * with the first token that is not final. An evaluation of n tokens takes less than n times as long as
 * one of a single token, since weights are read once for all of them; where a round gains more tokens
 * than that, a window is faster than sequential sampling. All rounds are one compiled loop, the test of
 * the tolerance inside; op by op, where nothing is compiled, it is slower.
 *
 * A round evaluates the tokens of the window at their newest values and takes what this predicts for
 * the tokens that follow each. As long as predictions agree, from the first one on, with the values that
 * the round began with, to the tolerance, they are final, and so is the next one, since all before it
 * were as they will be. The first token of a window is always gained, and so a block of T tokens takes
 * at most T − 1 rounds, and gives the exact solution with tolerance 0. Keys and values in the cache are
 * those of a round's beginning: as far from the final ones as the tolerance allows.
 *
 * Samples that are solved together have one window, which begins where the slowest of them is.
 *
 * The idea is that of sliding windows in parallel sampling of diffusion models (Shih et al. 2023, arXiv
 * 2305.16317), applied to Jacobi decoding.
 *
 * @param z the block's output (batch, T, D), in the block's order
 * @param lengths numbers of tokens that rounds look at, ascending, the last one T; a call each
 * @param sizes numbers of samples that are solved side by side, all of the batch in sum
 * @returns the block's input (batch, T, D), in the block's order, which the caller frees
 */
export async function solveByWindow(
  guided: GuidedBlock,
  z: tf.Tensor3D,
  settings: Settings,
  { onStep }: Pick<SolveHooks, 'onStep'> = {},
  lengths: readonly number[] = keyLengths(guided, z.shape[0]),
  sizes?: readonly number[],
): Promise<{ tokens: tf.Tensor3D; record: SolveRecord }> {
  const [batch, tokens] = z.shape;
  const { window, tolerance = defaultTolerance, start = 'latent' } = settings;
  const rule = { window, start };
  const inputs = { tolerance: tf.scalar(tolerance) };
  const parts = await runLoop(
    guided,
    z,
    {
      ...{ name: 'slide', description: rule, count: window, inputs },
      ranges: rangesOf(lengths, window, tokens),
      rounds: (part, decoder, range, state) => slide(part, decoder, rule, range, state),
      results: ['solved', 'rounds', 'log', 'taken'],
      onCall: (_, live) => onStep?.(leastKnown(live)),
    },
    sizes,
  ).finally(() => inputs.tolerance.dispose());
  try {
    await onStep?.(tokens);
    const rounds = recordOf(parts, guided.block, window);
    const record = { ...rounds, cacheBytes: loopCacheBytes(guided, batch) };
    return { tokens: solvedTokens(parts), record: { ...emptyRecord(batch), ...record } };
  } finally {
    tf.dispose(parts);
  }
}

/** Rounds of which each begins with fewer than `end` tokens known, up to a number of them. */
interface Range extends LoopRange {
  end: number;
}

/**
 * A window that begins with the last known token reaches `window` entries of the cache from there. A
 * length that is good for a few rounds only is not worth compiling.
 */
function rangesOf(lengths: readonly number[], window: number, tokens: number): Range[] {
  const ranges: Range[] = [];
  let start = 0;
  for (const length of lengths) {
    const last = length === tokens;
    const end = last ? tokens : length - window + 2;
    if (!last && end - start < window) continue;
    ranges.push({ start, end, length });
    start = end;
  }
  return ranges;
}

function leastKnown(parts: readonly Leaves[]): number {
  const known = parts.flatMap((part) => [...(part.known as tf.Tensor1D).dataSync()]);
  return Math.min(...known);
}

const int = (value: number): tf.Scalar => tf.scalar(value, 'int32');

/** Guesses beyond this are set back to the latent: no trained model's tokens come near. */
const wild = 1e3;

/** What a round writes down: the largest change, the tokens known after it, and the samples open. */
const logged = 3;

/**
 * Some rounds.
 *
 * @param inputs as {@link CompiledLoop} has them, the `tolerance` among them; after the first call also `known`, the number of final
 *   tokens of each sample; `taken`, rounds that each took part in (both (samples) int32); `rounds` done;
 *   and a `log` (T, 3), a row for each
 */
function slide(
  { conditions, guidance }: GuidedBlock,
  decoder: Decoder,
  { window, start }: Required<Omit<Settings, 'tolerance'>>,
  range: Range,
  inputs: Leaves,
): Leaves {
  const latents = inputs.latents as tf.Tensor3D;
  const tokens = latents.shape[0];
  const begun = range.start === 0 ? firstState(inputs, start) : inputs;
  const cache = decoder.lengthened(cacheOfLeaves(inputs), range.length);
  const names = Object.keys(cache);
  const step = decoder.stepper(conditions);
  const state = ['solved', 'known', 'taken', 'rounds', 'log'];
  const carried = [...state.map((name) => begun[name] as tf.Tensor), ...Object.values(cache)];
  const first = tf.cast(tf.min(begun.known as tf.Tensor), 'int32') as tf.Scalar;
  const results = advance(first, range.end, carried, (least, [solved, known, ...others]) => {
    const [taken, rounds, log, ...leavesOfCache] = others as tf.Tensor[];
    const before = Object.fromEntries(names.map((name, i) => [name, leavesOfCache[i]])) as Leaves;
    // At the end the window stays where it has all of its tokens.
    const place = tf.minimum(tf.sub(least, int(1)), int(tokens - 1 - window)) as tf.Scalar;
    const given = rowsAt(solved as tf.Tensor3D, place, window);
    const both = step(place, guidance ? tf.concat([given, given], 0) : given, before);
    const next = tf.add(place, int(1)) as tf.Scalar;
    const predicted = guidance
      ? guidedPrediction(
          guidance,
          both.next,
          weightsAt(inputs.weights as tf.Tensor1D, next, window),
        )
      : both.next;
    const old = rowsAt(solved as tf.Tensor3D, next, window);
    const latent = rowsAt(latents, next, window);
    const places = tf.reshape(consecutive(next, window), [1, window]) as tf.Tensor2D;
    const { made, change, reached } = accepted(
      { places, old, latent, candidate: denormalise(latent, predicted) },
      known as tf.Tensor1D,
      inputs.tolerance as tf.Scalar,
    );
    const open = tf.cast(tf.less(known as tf.Tensor1D, int(tokens)), 'int32');
    const leastReached = tf.cast(tf.min(reached), 'int32') as tf.Scalar;
    const row = [
      tf.max(tf.where(tf.isFinite(change), change, tf.zerosLike(change))),
      tf.cast(leastReached, 'float32'),
      tf.cast(tf.sum(open), 'float32'),
    ];
    return {
      next: leastReached,
      carried: [
        withSlice(solved as tf.Tensor3D, 0, next, tf.transpose(made, [1, 0, 2])),
        reached,
        tf.add(taken as tf.Tensor1D, open),
        tf.add(rounds as tf.Scalar, int(1)),
        withSlice(
          log as tf.Tensor2D,
          0,
          rounds as tf.Scalar,
          tf.reshape(tf.stack(row), [1, logged]),
        ),
        ...names.map((name) => both.cache[name] as tf.Tensor),
      ],
    };
  });
  const after = Object.fromEntries(
    names.map((name, i) => [name, results[state.length + i] as tf.Tensor]),
  );
  const own = Object.fromEntries(state.map((name, i) => [name, results[i] as tf.Tensor]));
  return { ...own, ...cacheLeaves(after) };
}

/** What rounds carry before the first of them; see {@link slide}. */
function firstState({ solved, latents }: Leaves, start: Required<Settings>['start']): Leaves {
  const [tokens, samples] = (latents as tf.Tensor3D).shape;
  const token = tf.slice(solved as tf.Tensor3D, [0, 0, 0], [1, -1, -1]);
  const zeros = tf.zeros([tokens - 1, samples, token.shape[2]]);
  return {
    solved: start === 'zeros' ? tf.concat([token, zeros], 0) : (solved as tf.Tensor),
    known: tf.fill([samples], 1, 'int32'),
    taken: tf.zeros([samples], 'int32'),
    rounds: int(0),
    log: tf.zeros([tokens, logged]),
  };
}

/** Tokens of a window (samples, n, D) among those of (T, samples, D). */
function rowsAt(all: tf.Tensor3D, place: tf.Scalar, count: number): tf.Tensor3D {
  return tf.transpose(tf.gather(all, consecutive(place, count)), [1, 0, 2]);
}

function weightsAt(all: tf.Tensor1D, place: tf.Scalar, count: number): tf.Tensor3D {
  return tf.reshape(tf.gather(all, consecutive(place, count)), [1, count, 1]);
}

/** Tokens of a window, each (samples, n, D), and their `places` (1, n). */
interface Window {
  places: tf.Tensor2D;
  /** As the round began. */
  old: tf.Tensor3D;
  /** What the evaluation gives. */
  candidate: tf.Tensor3D;
  /** Of the block's output. */
  latent: tf.Tensor3D;
}

/**
 * Which tokens of a window a round makes final.
 *
 * @param known the number of final tokens of each sample (samples) int32
 * @returns the tokens that the next round begins with, the `change` of each (samples, n), and the
 *   number of final tokens that each sample has `reached`
 */
function accepted(
  { places, old, candidate, latent }: Window,
  known: tf.Tensor1D,
  tolerance: tf.Scalar,
): { made: tf.Tensor3D; change: tf.Tensor2D; reached: tf.Tensor1D } {
  const isFinal = (upTo: tf.Tensor1D): tf.Tensor3D =>
    tf.expandDims(tf.less(places, tf.expandDims(upTo, 1)), 2);
  const solved = isFinal(known);
  const fresh = tf.where(solved, old, candidate);
  // Zero for final tokens even where a diverging model has made them infinite: each round has to gain.
  const difference = tf.where(solved, tf.zerosLike(old), tf.sub(candidate, old));
  // The product carries what is not finite past a maximum that may drop it.
  const change = tf.add(
    tf.max(tf.abs(difference), 2),
    tf.mul(tf.sum(difference, 2), 0),
  ) as tf.Tensor2D;
  // What is not a number is not at most the tolerance. The first that changed is predicted from what did
  // not, and so it is final, too.
  const after = tf.add(places, int(1)) as tf.Tensor;
  const gained = tf.min(tf.where(tf.lessEqual(change, tolerance), tf.max(after), after), 1);
  const reached = tf.maximum(known, gained) as tf.Tensor1D;
  const sane = tf.lessEqual(tf.abs(fresh), wild);
  const guess = tf.where(sane, fresh, latent);
  return { made: tf.where(isFinal(reached), fresh, guess), change, reached };
}

/** What rounds of all parts, which run side by side, wrote down. */
function recordOf(
  parts: readonly Leaves[],
  { tokens, given }: AutoregressiveBlock,
  window: number,
): Partial<SolveRecord> {
  const written = parts.map(({ log, rounds, taken }) => ({
    samples: (taken as tf.Tensor1D).size,
    taken: [...(taken as tf.Tensor1D).dataSync()],
    rows: (log as tf.Tensor2D).arraySync().slice(0, (rounds as tf.Scalar).dataSync()[0]) as [
      number,
      number,
      number,
    ][],
  }));
  const count = Math.max(...written.map(({ rows }) => rows.length));
  const iterations = Array.from({ length: count }, (_, round): IterationTrace => {
    const live = written.filter(({ rows }) => round < rows.length);
    const rows = live.map((part) => part.rows[round] as [number, number, number]);
    return {
      ...{ segment: 0, evaluated: window },
      samples: rows.reduce((sum, [, , open]) => sum + open, 0),
      evaluatedSamples: live.reduce((sum, { samples }) => sum + samples, 0),
      residual: Math.max(...rows.map(([residual]) => residual)),
      final: Math.min(tokens, ...rows.map(([, final]) => final)),
    };
  });
  return {
    iterations,
    sampleIterations: written.flatMap(({ taken }) => taken),
    // A start token's prediction is an evaluation of its own, as in sequential sampling.
    evaluations: count + (given === 0 ? 1 : 0),
    evaluatedTokens: iterations.reduce((sum, one) => sum + one.evaluatedSamples * window, 0),
  };
}
