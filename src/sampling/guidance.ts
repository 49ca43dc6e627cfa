import { UserError } from '../backend/errors.js';
import { callCompiled } from '../backend/program/index.js';
import { tf } from '../backend/tf.js';
import { type Leaves, leaves, withLeaves } from '../backend/tree.js';
import { type BlockCache, type FlowBlock, predict } from '../flow/block.js';
import { type FlowConfig, tokenCount } from '../flow/config.js';
import { cacheLeaves, cacheOfLeaves } from './cache.js';
import { type Execution, plainExecution } from './execution.js';

/**
 * Guidance: each prediction moves away from that of a weaker model, a + g·(a − a_u), and b
 * likewise (TarFlow, section 3.4). The weaker model sees no label, and its attention has another
 * temperature; the latter alone guides an unconditional model.
 */
export interface Guidance {
  /** w; 0 is no guidance, and the guided model has weight 1 + w. */
  weight: number;
  /** Which predictions move: the log-scale a, the shift b, or both. Default both. */
  on?: 'a' | 'b' | 'ab';
  /** τ: divides the attention logits of the weaker model. Below 1 sharpens it. Default 1. */
  temperature?: number;
  /**
   * True to let the weight grow linearly along the tokens, from w/(T−1) to w; the papers' FID
   * figures do. Default false.
   */
  annealed?: boolean;
  /** Which blocks are guided, by index from the data; default all. */
  blocks?: readonly number[];
}

/**
 * Checks guidance against a model.
 * @throws UserError for a negative weight, a temperature that is not positive, an unknown block or
 *   an unknown `on`
 */
export function checkGuidance(config: FlowConfig, guidance: Guidance): void {
  const { weight, on = 'ab', temperature = 1, blocks = [] } = guidance;
  if (!(Number.isFinite(weight) && weight >= 0)) {
    throw new UserError(`The guidance weight is ${weight}`, 'Expected a number of at least 0');
  }
  if (!['a', 'b', 'ab'].includes(on)) {
    throw new UserError(`Guidance is on '${on}'`, "Expected 'a', 'b' or 'ab'");
  }
  if (!(Number.isFinite(temperature) && temperature > 0)) {
    throw new UserError(
      `The attention temperature is ${temperature}`,
      'Expected a number above 0 (1 leaves attention as it is)',
    );
  }
  for (const block of blocks) {
    if (!Number.isInteger(block) || block < 0 || block >= config.blocks) {
      throw new UserError(
        `Guidance names block ${block}`,
        `This model has blocks 0 to ${config.blocks - 1}`,
      );
    }
  }
}

/** True where guidance changes nothing: no classes to leave away, and attention as it is. */
export function guidanceIsIdle(config: FlowConfig, guidance: Guidance): boolean {
  return guidance.weight > 0 && config.classes === 0 && (guidance.temperature ?? 1) === 1;
}

/** Predictions of a block with guidance inside, for a solver that need not know of it. */
export interface GuidedBlock {
  block: FlowBlock;
  execution: Execution;
  /** Rows of a cache per sample: those of all samples' first branch come before the second's. */
  branches: 1 | 2;
  /** What the rows are predicted under: mixture of classes (rows, classes), temperature (rows, 1, 1, 1). */
  conditions: { classes?: tf.Tensor2D; temperature?: tf.Tensor4D };
  /** How the two branches are combined, where there are two. */
  guidance: Guidance | undefined;
  /**
   * As `predict` in flow/: for each given token (in the block's order, from `start`), the a and b
   * of the token after it. The cache holds both branches. The caller tidies.
   */
  predict(
    tokens: tf.Tensor3D,
    options: { start: number; cache?: BlockCache | undefined; keepCache?: boolean },
  ): { a: tf.Tensor3D; b: tf.Tensor3D; cache: BlockCache | undefined };
  /** The same for some of the samples, by their place in the batch. The caller disposes of it. */
  select(samples: readonly number[]): GuidedBlock;
  dispose(): void;
}

/**
 * Joins a block and guidance. Both branches run as one batch of twice the size: half the calls,
 * and each weight is read once.
 *
 * @param classes mixture of classes (batch, classes) of the conditional branch
 */
export function guidedBlock(
  block: FlowBlock,
  batch: number,
  classes: tf.Tensor2D | undefined,
  guidance: Guidance | undefined,
  execution: Execution = plainExecution,
): GuidedBlock {
  const { config } = block;
  const guided =
    guidance !== undefined &&
    guidance.weight > 0 &&
    (guidance.blocks?.includes(block.index) ?? true) &&
    !(guidanceIsIdle(config, guidance) || (!classes && (guidance.temperature ?? 1) === 1));
  const owned: tf.Tensor[] = [];
  const conditions: GuidedBlock['conditions'] = {};
  if (!guided) {
    if (classes) conditions.classes = classes;
  } else {
    if (config.classes > 0) {
      conditions.classes = tf.tidy(() => {
        const absent = tf.fill([batch, config.classes], 1 / config.classes) as tf.Tensor2D;
        return tf.concat([classes ?? absent, absent], 0) as tf.Tensor2D;
      });
      owned.push(conditions.classes);
    }
    const { temperature = 1 } = guidance;
    if (temperature !== 1) {
      conditions.temperature = tf.tensor4d(
        Float32Array.from({ length: 2 * batch }, (_, row) => (row < batch ? 1 : temperature)),
        [2 * batch, 1, 1, 1],
      );
      owned.push(conditions.temperature);
    }
  }
  const made: GuidedBlock = {
    block,
    execution,
    branches: guided ? 2 : 1,
    conditions,
    guidance: guided ? guidance : undefined,
    predict: (tokens, options) => predictAsExecuted(made, tokens, options),
    select(samples) {
      const rows = classes && tf.tidy(() => tf.gather(classes, tf.tensor1d([...samples], 'int32')));
      const selected = guidedBlock(block, samples.length, rows, guidance, execution);
      return {
        ...selected,
        dispose: () => {
          selected.dispose();
          rows?.dispose();
        },
      };
    },
    dispose: () => tf.dispose(owned),
  };
  return made;
}

/** The same block, computed op by op in the same precision. */
export function plainly(guided: GuidedBlock): GuidedBlock {
  const execution = { ...plainExecution, precision: guided.execution.precision };
  const plain: GuidedBlock = {
    ...guided,
    execution,
    predict: (tokens, options) => predictAsExecuted(plain, tokens, options),
  };
  return plain;
}

type PredictStep = Parameters<GuidedBlock['predict']>[1];

function predictAsExecuted(
  guided: GuidedBlock,
  tokens: tf.Tensor3D,
  options: PredictStep,
): ReturnType<GuidedBlock['predict']> {
  const { mode, precision } = guided.execution;
  const plain = mode === 'eager' && precision === 'float32';
  return plain ? predictGuided(guided, tokens, options) : predictCompiled(guided, tokens, options);
}

function predictGuided(
  { block, conditions, guidance }: Pick<GuidedBlock, 'block' | 'conditions' | 'guidance'>,
  tokens: tf.Tensor3D,
  options: PredictStep,
  strength?: tf.Tensor,
): ReturnType<GuidedBlock['predict']> {
  const given = guidance ? tf.concat([tokens, tokens], 0) : tokens;
  const both = predict(block, given, { ...options, ...conditions });
  if (!guidance) return both;
  const { on = 'ab' } = guidance;
  const [start, count] = [options.start, tokens.shape[1]];
  const factor = strength ?? tf.tensor3d(strengths(block, guidance, start, count), [1, count, 1]);
  return {
    a: on === 'b' ? conditional(both.a) : extrapolated(both.a, factor, 0),
    b: on === 'a' ? conditional(both.b) : extrapolated(both.b, factor, 0),
    cache: both.cache,
  };
}

/** {@link predictGuided} as one graph, which is recorded per shape and place. */
function predictCompiled(
  guided: GuidedBlock,
  tokens: tf.Tensor3D,
  options: PredictStep,
): ReturnType<GuidedBlock['predict']> {
  const { keepCache = false } = options;
  const outputs = callGuided(
    guided,
    { name: 'predict', description: keepCache, ...options, count: tokens.shape[1] },
    { tokens },
    (predictTraced, given): Leaves => {
      const predicted = predictTraced(given.tokens as tf.Tensor3D, keepCache);
      const { a, b } = predicted;
      return { a, b, ...(predicted.cache && cacheLeaves(predicted.cache)) };
    },
  );
  return {
    a: outputs.a as tf.Tensor3D,
    b: outputs.b as tf.Tensor3D,
    cache: keepCache ? cacheOfLeaves(outputs, guided.block.config.layersPerBlock) : undefined,
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
  cache?: BlockCache | undefined;
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
    predictTraced: (tokens: tf.Tensor3D, keepCache: boolean) => ReturnType<GuidedBlock['predict']>,
    given: Leaves,
  ) => Leaves,
): Leaves {
  const strength = guidance && tf.tensor3d(strengths(block, guidance, start, count), [1, count, 1]);
  const { config, index } = block;
  try {
    return callCompiled<Leaves, Leaves>({
      name,
      description: [config, index % 2, start, guidance ? (guidance.on ?? 'ab') : '', description],
      parameters: leaves(block.parameters),
      instance: index,
      inputs: {
        ...inputs,
        ...conditions,
        ...(strength && { strength }),
        ...(cache && cacheLeaves(cache)),
      },
      body: (parameters, given) => {
        const { classes, temperature } = given as GuidedBlock['conditions'];
        const traced = {
          block: { ...block, parameters: withLeaves(block.parameters, parameters) },
          conditions: { ...(classes && { classes }), ...(temperature && { temperature }) },
          guidance,
        };
        const before = cache && cacheOfLeaves(given, cache.length);
        return body(
          (tokens, keepCache) =>
            predictGuided(traced, tokens, { start, cache: before, keepCache }, given.strength),
          given,
        );
      },
      // Wide and without a loop: XLA would compile every shape for nothing.
      mode: execution.mode === 'xla' ? 'graph' : execution.mode,
      precision: execution.precision,
    });
  } finally {
    strength?.dispose();
  }
}

/**
 * The guidance weight of each prediction. An annealed one goes by the index of the *input* token.
 */
export function strengths(
  { config }: FlowBlock,
  { weight, annealed = false }: Guidance,
  start: number,
  count: number,
): Float32Array {
  const steps = tokenCount(config) - 1;
  return Float32Array.from({ length: count }, (_, i) =>
    annealed ? (weight * (start + i + 1)) / steps : weight,
  );
}

/** conditional + strength·(conditional − weaker), of both branches joined along an axis. */
export function extrapolated<T extends tf.Tensor>(pair: T, strength: tf.Tensor, axis: number): T {
  const [stronger, weaker] = tf.split(pair, 2, axis) as [tf.Tensor, tf.Tensor];
  return tf.add(stronger, tf.mul(tf.sub(stronger, weaker), strength)) as T;
}

/** The first of both branches joined along an axis. */
export function conditional<T extends tf.Tensor>(pair: T, axis = 0): T {
  return tf.split(pair, 2, axis)[0] as T;
}
