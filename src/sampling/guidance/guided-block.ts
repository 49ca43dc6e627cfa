import { callCompiled } from '@tarflow/graph';
import { tf, tidy } from '../../core/tf.js';
import { type Leaves, leaves } from '../../core/tree.js';
import type {
  AutoregressiveBlock,
  Cache,
  Conditions,
  Place,
  Prediction,
} from '../../flow/autoregressive.js';
import type { Gaussian } from '../../flow/gaussian.js';
import { cacheLeaves, cacheOfLeaves } from './cache.js';
import { type Execution, plainExecution } from './execution.js';

/**
 * Guidance: each prediction moves away from that of a weaker model, a + w·(a − a_weaker), and b likewise
 * (TarFlow, section 3.4). The weaker model sees no label, and its attention has another temperature; the
 * latter alone guides an unconditional model.
 * Where neither makes a difference, `inverse` and `sample` refuse guidance: it would change nothing.
 */
export interface Guidance {
  /**
   * How both predictions become one. `linear`: mean and log-scale move away from the weaker ones
   * (TarFlow, section 3.4). `product`: the Gaussian in proportion to p^(1+w) / p_weaker^w, which is
   * stable at large weights (STARFlow, section 3.4); it always moves both and cannot be annealed (the
   * published code silently ignores annealing under this rule). Default linear.
   */
  rule?: 'linear' | 'product';
  /** w; 0 is no guidance, and the guided model has weight 1 + w. */
  weight: number;
  /** Which predictions move: the log-scale a, the mean b, or both. Only for the linear rule. Default both. */
  on?: 'a' | 'b' | 'ab';
  /** τ: divides the attention logits of the weaker model. Below 1 sharpens it. Default 1. */
  temperature?: number;
  /**
   * True to let the weight grow linearly along the tokens, from w/(T − 1) for the second to w for the
   * last, as for the papers' FID. Only for the linear rule. Default false.
   */
  annealed?: boolean;
  /** Which blocks are guided, by index from the data; default all. */
  blocks?: readonly number[];
}

/** What a stronger and a weaker prediction make together, at some weight (a tensor that broadcasts). */
type GuidanceRule = <T extends tf.Tensor>(
  strong: Gaussian<T>,
  weak: Gaussian<T>,
  weight: tf.Tensor,
) => Gaussian<T>;

/** TarFlow's rule: mean and log-scale, or one of them, move along the line through both. */
function linearRule(on: NonNullable<Guidance['on']>): GuidanceRule {
  return (strong, weak, weight) => {
    const moved = <T extends tf.Tensor>(from: T, other: T): T =>
      tf.add(from, tf.mul(tf.sub(from, other), weight));
    return {
      mean: on === 'a' ? strong.mean : moved(strong.mean, weak.mean),
      ...(strong.logScale &&
        weak.logScale && {
          logScale: on === 'b' ? strong.logScale : moved(strong.logScale, weak.logScale),
        }),
    };
  };
}

/**
 * STARFlow's rule: the Gaussian in proportion to p^(1+w) / p_weaker^w. With the ratio of variances
 * s = min(σ²/σ_weaker², 1) it has the mean μ + (μ − μ_weaker)·ws/(1 + w − ws) and the variance
 * σ²/(1 + w − ws). Where the weaker one is narrower it counts as no narrower (s = 1), which keeps the
 * variance positive at any weight: the result then has the stronger one's variance.
 *
 * `checkGuidance` refuses annealing with it. The published code takes that option and ignores it under
 * this rule, so what was sampled with it there has one weight for all tokens. A schedule of ours would go
 * by the same name and give other samples; ignoring it as they do would hide that nothing is annealed.
 */
export const productRule: GuidanceRule = <T extends tf.Tensor>(
  { mean, logScale = tf.zerosLike(mean) as T }: Gaussian<T>,
  { mean: weakMean, logScale: weakLogScale = tf.zerosLike(weakMean) as T }: Gaussian<T>,
  weight: tf.Tensor,
): Gaussian<T> => {
  const squaredRatio = tf.exp(tf.mul(tf.minimum(tf.sub(logScale, weakLogScale), 0), 2));
  const share = tf.mul(squaredRatio, weight);
  const precision = tf.sub(tf.add(weight, 1), share);
  const moved = tf.mul(tf.sub(mean, weakMean), tf.div(share, precision));
  return {
    mean: tf.add(mean, moved),
    logScale: tf.sub(logScale, tf.mul(tf.log(precision), 0.5)) as T,
  };
};

/**
 * Guided predictions from those of both branches.
 *
 * @param both predictions whose rows are those of the stronger branch and then those of the weaker
 */
export function guidedPrediction<T extends tf.Tensor>(
  { on = 'ab', rule = 'linear' }: Guidance,
  both: Gaussian<T>,
  weight: tf.Tensor,
): Gaussian<T> {
  const halves = (pair: T): [T, T] => tf.split(pair, 2, 0) as [T, T];
  const [mean, weakMean] = halves(both.mean);
  const [logScale, weakLogScale] = both.logScale ? halves(both.logScale) : [];
  const combined = rule === 'product' ? productRule : linearRule(on);
  return combined({ mean, logScale }, { mean: weakMean, logScale: weakLogScale }, weight);
}

/** Whether the weaker model's attention has another temperature than the stronger one's. */
export function changesAttention(
  { heads }: AutoregressiveBlock,
  { temperature = 1 }: Guidance,
): boolean {
  return heads > 0 && temperature !== 1;
}

/** Predictions of a block with guidance inside, for a solver that need not know of it. */
export interface GuidedBlock {
  block: AutoregressiveBlock;
  execution: Execution;
  /** Rows of a cache per sample: those of all samples' first branch come before the second's. */
  branches: 1 | 2;
  /** What the rows are predicted under. */
  conditions: Conditions;
  /** How the two branches are combined, where there are two. */
  guidance: Guidance | undefined;
  /** As `predict` of the block. The cache holds both branches. The caller tidies. */
  predict(tokens: tf.Tensor3D, place: GuidedPlace): Prediction;
  /** The same for some of the samples, by their place in the batch. The caller disposes of it. */
  select(samples: readonly number[]): GuidedBlock;
  dispose(): void;
}

/** Where the given tokens stand; the conditions are the guided block's. */
export type GuidedPlace = Omit<Place, 'conditions'> & { start: number };

/**
 * Joins a block and guidance. Both branches run as one batch of twice the size: half the calls,
 * and each weight is read once.
 *
 * @param conditions of the stronger branch, a row per sample; they stay the caller's
 * @param execution default: op by op in float32, also on the native engine
 * @returns a block that the caller disposes of
 */
export function guidedBlock(
  block: AutoregressiveBlock,
  batch: number,
  conditions: Conditions,
  guidance: Guidance | undefined,
  execution: Execution = plainExecution,
): GuidedBlock {
  const given = readConditions(block, conditions);
  const guided =
    guidance !== undefined &&
    guidance.weight > 0 &&
    (guidance.blocks?.includes(block.index) ?? true) &&
    (Object.keys(given).length > 0 || changesAttention(block, guidance));
  const owned = guided ? bothBranches(block, batch, given, guidance) : {};
  const made: GuidedBlock = {
    block,
    execution,
    branches: guided ? 2 : 1,
    conditions: guided ? owned : given,
    guidance: guided ? guidance : undefined,
    predict: (tokens, place) => predictAsExecuted(made, tokens, place),
    select(samples) {
      const rows = tidy(() => {
        const indices = tf.tensor1d([...samples], 'int32');
        const chosen = Object.entries(given).map(([name, leaf]) => [
          name,
          tf.gather(leaf, indices),
        ]);
        return Object.fromEntries(chosen) as Leaves;
      });
      const selected = guidedBlock(block, samples.length, rows, guidance, execution);
      return {
        ...selected,
        dispose: () => {
          selected.dispose();
          tf.dispose(rows);
        },
      };
    },
    dispose: () => {
      tf.dispose(owned);
    },
  };
  return made;
}

/** Conditions of the stronger branch's rows, followed by those of the weaker one's. */
function bothBranches(
  block: AutoregressiveBlock,
  batch: number,
  given: Leaves,
  { temperature = 1 }: Guidance,
): Leaves {
  return tidy(() => {
    const weaker = presentConditions(block.unconditional(batch));
    const joined = Object.entries(weaker).map(([name, absent]) => [
      name,
      tf.concat([given[name] ?? absent, absent], 0),
    ]);
    const temperatures = Float32Array.from({ length: 2 * batch }, (_, row) =>
      row < batch ? 1 : temperature,
    );
    return {
      ...(Object.fromEntries(joined) as Leaves),
      ...(changesAttention(block, { weight: 1, temperature }) && {
        temperature: tf.tensor4d(temperatures, [2 * batch, 1, 1, 1]),
      }),
    };
  });
}

/** Of some conditions those that a block reads: others do not change what it predicts. */
function readConditions(block: AutoregressiveBlock, conditions: Conditions): Leaves {
  const read = tidy(() => Object.keys(presentConditions(block.unconditional(1))));
  const given = Object.entries(presentConditions(conditions));
  return Object.fromEntries(given.filter(([name]) => read.includes(name)));
}

/** Conditions without those that are absent. */
export function presentConditions(conditions: Conditions): Leaves {
  const present = Object.entries(conditions).filter(([, leaf]) => leaf !== undefined);
  return Object.fromEntries(present) as Leaves;
}

/** The same block, computed op by op in the same precision. */
export function plainly(guided: GuidedBlock): GuidedBlock {
  const execution = { ...plainExecution, precision: guided.execution.precision };
  const plain: GuidedBlock = {
    ...guided,
    execution,
    predict: (tokens, place) => predictAsExecuted(plain, tokens, place),
  };
  return plain;
}

function predictAsExecuted(
  guided: GuidedBlock,
  tokens: tf.Tensor3D,
  place: GuidedPlace,
): Prediction {
  const { mode, precision } = guided.execution;
  const plain = mode === 'eager' && precision === 'float32';
  return plain ? predictGuided(guided, tokens, place) : predictCompiled(guided, tokens, place);
}

/** The first token that predictions at a place belong to. */
export function firstPredicted(
  { given }: AutoregressiveBlock,
  { start, cache }: Pick<GuidedPlace, 'start' | 'cache'>,
): number {
  return cache ? start + 1 : start + given;
}

/** A block's own predictions, moved by guidance where there is any. */
export function predictGuided(
  { block, conditions, guidance }: Pick<GuidedBlock, 'block' | 'conditions' | 'guidance'>,
  tokens: tf.Tensor3D,
  place: GuidedPlace,
  weights?: tf.Tensor,
): Prediction {
  const given = guidance ? tf.concat([tokens, tokens], 0) : tokens;
  const both = block.predict(given, { ...place, conditions });
  if (!guidance) return both;
  const count = both.next.mean.shape[1];
  const first = firstPredicted(block, place);
  const weight =
    weights ?? tf.tensor3d(guidanceWeights(block, guidance, first, count), [1, count, 1]);
  return { next: guidedPrediction(guidance, both.next, weight), cache: both.cache };
}

/** {@link predictGuided} as one graph, which is recorded per shape and place. */
function predictCompiled(guided: GuidedBlock, tokens: tf.Tensor3D, place: GuidedPlace): Prediction {
  const { keepCache = false } = place;
  const outputs = callGuided(
    guided,
    { name: 'predict', description: keepCache, ...place, count: tokens.shape[1] },
    { tokens },
    (predictTraced, given): Leaves => {
      const { next, cache } = predictTraced(given.tokens as tf.Tensor3D, keepCache);
      return {
        mean: next.mean,
        ...(next.logScale && { logScale: next.logScale }),
        ...(cache && cacheLeaves(cache)),
      };
    },
  );
  return {
    next: {
      mean: outputs.mean as tf.Tensor3D,
      logScale: outputs.logScale as tf.Tensor3D | undefined,
    },
    cache: keepCache ? cacheOfLeaves(outputs) : undefined,
  };
}

/** A computation with a block's predictions, recorded as one graph. */
interface GuidedCall {
  name: string;
  /** All that the computation depends on beside the block and the tensors. */
  description: unknown;
  /** Place and number of the tokens that predictions are asked for, and what came before. */
  start: number;
  count: number;
  cache?: Cache | undefined;
}

/**
 * Computes with a block's predictions in one call of a graph.
 *
 * @param inputs further tensors, by name
 * @param body what is computed; it may predict once, for `count` tokens from `start`
 * @returns what `body` returns; the caller frees it
 */
export function callGuided(
  { block, conditions, guidance, execution }: GuidedBlock,
  { name, description, start, count, cache }: GuidedCall,
  inputs: Leaves,
  body: (
    predictTraced: (tokens: tf.Tensor3D, keepCache: boolean) => Prediction,
    given: Leaves,
  ) => Leaves,
): Leaves {
  const first = firstPredicted(block, { start, cache });
  const predicted = start + count + 1 - first;
  const weights =
    guidance && tf.tensor3d(guidanceWeights(block, guidance, first, predicted), [1, predicted, 1]);
  const named = Object.keys(conditions);
  try {
    return callCompiled<Leaves, Leaves>({
      name,
      description: [
        ...[block.description, block.direction, start],
        ...[guidance ? guidanceKey(guidance) : '', description],
      ],
      parameters: leaves(block.parameters),
      instance: block.index,
      inputs: {
        ...inputs,
        ...(conditions as Leaves),
        ...(weights && { weights }),
        ...(cache && cacheLeaves(cache)),
      },
      body: (parameters, given) => {
        const traced = {
          block: block.withParameters(parameters),
          conditions: Object.fromEntries(named.map((name) => [name, given[name]])),
          guidance,
        };
        const before = cache && cacheOfLeaves(given);
        return body(
          (tokens, keepCache) =>
            predictGuided(traced, tokens, { start, cache: before, keepCache }, given.weights),
          given,
        );
      },
      // Wide and without a loop: XLA would compile every shape for nothing.
      mode: execution.mode === 'xla' ? 'graph' : execution.mode,
      precision: execution.precision,
    });
  } finally {
    weights?.dispose();
  }
}

/** What of guidance is part of a compiled call; the weight is an input of it. */
export function guidanceKey({ rule = 'linear', on = 'ab' }: Guidance): string {
  return rule === 'linear' ? on : rule;
}

/**
 * The guidance weight of each prediction, from that for token `first` on. An annealed one goes by
 * the index of the *input* token.
 */
export function guidanceWeights(
  { tokens }: AutoregressiveBlock,
  { weight, annealed = false }: Guidance,
  first: number,
  count: number,
): Float32Array {
  return Float32Array.from({ length: count }, (_, i) =>
    annealed ? (weight * (first + i)) / (tokens - 1) : weight,
  );
}
