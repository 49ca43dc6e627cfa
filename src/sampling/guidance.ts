import { z } from 'zod';
import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import type { Leaves } from '../core/tree.js';
import {
  type AutoregressiveBlock,
  type Conditions,
  type Decoder,
  firstPredicted,
} from '../flow/autoregressive.js';
import type { Gaussian } from '../flow/gaussian.js';

const aboveZero = 'expected a number above 0; 1 leaves attention as it is';

/** The settings of guidance. */
export const guidanceSchema = z.strictObject({
  /**
   * How both predictions become one. `linear`: mean and log-scale move away from the weaker ones
   * (TarFlow, section 3.4). `product`: the Gaussian in proportion to p^(1+w) / p_weaker^w, which is
   * stable at large weights (STARFlow, section 3.4); it always moves both and cannot be annealed (the
   * published code silently ignores annealing under this rule). Default linear.
   */
  rule: z.enum(['linear', 'product']).optional(),
  /** w; 0 is no guidance, and the guided model has weight 1 + w. */
  weight: z.number().min(0),
  /** Which predictions move: the log-scale a, the mean b, or both. Only for the linear rule. Default both. */
  on: z.enum(['a', 'b', 'ab']).optional(),
  /** τ: divides the attention logits of the weaker model. Below 1 sharpens it. Default 1. */
  temperature: z.number(aboveZero).positive(aboveZero).optional(),
  /**
   * True to let the weight grow linearly along the tokens, from w/(T − 1) for the second to w for the
   * last, as for the papers' FID. Only for the linear rule. Default false.
   */
  annealed: z.boolean().optional(),
  /** Which blocks are guided, by index from the data; default all. */
  blocks: z.array(z.int().min(0)).readonly().optional(),
});

/**
 * Guidance: each prediction moves away from that of a weaker model, a + w·(a − a_weaker), and b likewise
 * (TarFlow, section 3.4). The weaker model sees no label, and its attention has another temperature; the
 * latter alone guides an unconditional model.
 * Where neither makes a difference, `inverse` and `sample` refuse guidance: it would change nothing.
 */
export type Guidance = z.infer<typeof guidanceSchema>;

/**
 * TarFlow's rule: mean and log-scale, or one of them, move along the line through both predictions.
 *
 * @param weight a tensor that broadcasts
 */
function linearRule<T extends tf.Tensor>(
  on: NonNullable<Guidance['on']>,
  strong: Gaussian<T>,
  weak: Gaussian<T>,
  weight: tf.Tensor,
): Gaussian<T> {
  const moved = (from: T, other: T): T => tf.add(from, tf.mul(tf.sub(from, other), weight));
  const { mean, logScale } = strong;
  return {
    mean: on === 'a' ? mean : moved(mean, weak.mean),
    logScale: on === 'b' || !logScale || !weak.logScale ? logScale : moved(logScale, weak.logScale),
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
export function productRule<T extends tf.Tensor>(
  { mean, logScale = tf.zerosLike(mean) as T }: Gaussian<T>,
  { mean: weakMean, logScale: weakLogScale = tf.zerosLike(weakMean) as T }: Gaussian<T>,
  weight: tf.Tensor,
): Gaussian<T> {
  const squaredRatio = tf.exp(tf.mul(tf.minimum(tf.sub(logScale, weakLogScale), 0), 2));
  const share = tf.mul(squaredRatio, weight);
  const precision = tf.sub(tf.add(weight, 1), share);
  const moved = tf.mul(tf.sub(mean, weakMean), tf.div(share, precision));
  return {
    mean: tf.add(mean, moved),
    logScale: tf.sub(logScale, tf.mul(tf.log(precision), 0.5)) as T,
  };
}

/**
 * Guided predictions from those of both branches.
 *
 * @param both predictions whose rows are those of the stronger branch and then those of the weaker
 */
export function guidedPrediction<T extends tf.Tensor>(
  { on = 'ab', rule = 'linear' }: Pick<Guidance, 'rule' | 'on'>,
  both: Gaussian<T>,
  weight: tf.Tensor,
): Gaussian<T> {
  const [mean, weakMean] = tf.split(both.mean, 2, 0);
  const [logScale, weakLogScale] = both.logScale ? tf.split(both.logScale, 2, 0) : [];
  const [strong, weak] = [
    { mean, logScale },
    { mean: weakMean, logScale: weakLogScale },
  ];
  if (rule === 'product') return productRule(strong, weak, weight);
  return linearRule(on, strong, weak, weight);
}

/** Whether the weaker model's attention has another temperature than the stronger one's. */
export function changesAttention(
  { heads }: AutoregressiveBlock,
  { temperature = 1 }: Guidance,
): boolean {
  return heads > 0 && temperature !== 1;
}

/** What solvers invert: a block, and the conditions that it is given. */
export interface ConditionedBlock {
  block: AutoregressiveBlock;
  conditions: Conditions;
}

/**
 * A block as sampling inverts it: guided, where guidance makes a difference in it. To a solver a guided
 * block is a block like any other, whose conditions hold the weights.
 *
 * @param conditions a row per sample; they stay the caller's
 * @returns the block, and those conditions that it reads, which the caller frees
 */
export function withGuidance(
  block: AutoregressiveBlock,
  batch: number,
  conditions: Conditions,
  guidance?: Guidance,
): ConditionedBlock {
  return tidy(() => {
    const read = Object.keys(presentConditions(block.unconditional(1)));
    const known = Object.fromEntries(
      Object.entries(presentConditions(conditions))
        .filter(([name]) => read.includes(name))
        .map(([name, leaf]) => [name, leaf.clone()]),
    );
    const isGuided =
      guidance !== undefined &&
      guidance.weight > 0 &&
      (guidance.blocks?.includes(block.index) ?? true) &&
      (Object.keys(known).length > 0 || changesAttention(block, guidance));
    if (!isGuided) return { block, conditions: known };
    const { temperature = 1 } = guidance;
    return {
      block: guidedBlock(block, guidance),
      conditions: {
        ...known,
        guidance: guidanceWeights(block, batch, guidance),
        ...(changesAttention(block, guidance) && {
          temperature: tf.fill<tf.Rank.R4>([batch, 1, 1, 1], temperature),
        }),
      },
    };
  });
}

/**
 * The weight of each prediction (batch, T, 1). An annealed one goes by the index of the *input* token.
 */
function guidanceWeights(
  { tokens }: AutoregressiveBlock,
  batch: number,
  { weight, annealed = false }: Guidance,
): tf.Tensor3D {
  const weights = Array.from({ length: tokens }, (_, token) =>
    annealed ? (weight * token) / (tokens - 1) : weight,
  );
  return tf.tile(tf.tensor3d(weights, [1, tokens, 1]), [batch, 1, 1]);
}

/**
 * A block whose predictions are those of another one moved by guidance. Both branches run as one batch
 * of twice the size: half the calls, and each weight is read once. Its cache holds both branches. Of its
 * conditions `guidance` are the weights, `temperature` is that of the weaker model, and all others are
 * those of the stronger model.
 */
function guidedBlock(
  block: AutoregressiveBlock,
  rule: Pick<Guidance, 'rule' | 'on'>,
): AutoregressiveBlock {
  const decoder = block.decoder?.bind(block);
  const guided: Partial<AutoregressiveBlock> = {
    cache: { ...block.cache, rows: 2 },
    // The weight and the temperature are inputs of a compiled call.
    description: [block.description, rule.rule === 'product' ? 'product' : (rule.on ?? 'ab')],
    withParameters: (parameters) => guidedBlock(block.withParameters(parameters), rule),
    predict(tokens, place = {}) {
      const conditions = bothBranches(block, place.conditions, tokens.shape[0]);
      const both = block.predict(tf.concat([tokens, tokens], 0), { ...place, conditions });
      const count = both.next.mean.shape[1];
      const weights = tf.slice(
        weightsOf(place.conditions),
        [0, firstPredicted(block, place), 0],
        [-1, count, -1],
      );
      return { next: guidedPrediction(rule, both.next, weights), cache: both.cache };
    },
    ...(decoder && {
      decoder: (rows, places) => guidedDecoder(block, decoder(2 * rows, places), rule),
    }),
  };
  // All else is the block's own.
  return Object.assign(Object.create(block), guided);
}

/** The same in a loop over tokens. */
function guidedDecoder(
  block: AutoregressiveBlock,
  decoder: Decoder,
  rule: Pick<Guidance, 'rule' | 'on'>,
): Decoder {
  return {
    ...decoder,
    emptyCache: (rows, length) => decoder.emptyCache(2 * rows, length),
    stepper(conditions) {
      const byToken = tf.transpose(weightsOf(conditions), [1, 0, 2]);
      const step = decoder.stepper(bothBranches(block, conditions, byToken.shape[1] ?? 0));
      return (t, token, before) => {
        const { next, cache } = step(t, tf.concat([token, token], 0), before);
        const weights = tf.gather(byToken, tf.add(t, tf.scalar(1, 'int32')));
        return { next: guidedPrediction(rule, next, weights), cache };
      };
    },
  };
}

function weightsOf({ guidance }: Conditions = {}): tf.Tensor3D {
  if (guidance) return guidance;
  throw new UserError(
    'A guided block came without the weights of its guidance',
    'Give the conditions that withGuidance returns beside it',
  );
}

/** Conditions of the stronger branch's rows, followed by those of the weaker one's. */
function bothBranches(
  block: AutoregressiveBlock,
  conditions: Conditions = {},
  rows: number,
): Conditions {
  const { temperature } = conditions;
  const known = presentConditions(conditions);
  const weaker = Object.entries(presentConditions(block.unconditional(rows)));
  return {
    ...Object.fromEntries(
      weaker.map(([name, absent]) => [name, tf.concat([known[name] ?? absent, absent], 0)]),
    ),
    ...(temperature && { temperature: tf.concat([tf.onesLike(temperature), temperature], 0) }),
  };
}

/** Conditions without those that are absent. */
export function presentConditions(conditions: Conditions): Leaves {
  const present: Leaves = {};
  for (const [name, leaf] of Object.entries(conditions)) if (leaf) present[name] = leaf;
  return present;
}
