import { UserError } from '../backend/errors.js';
import { tf } from '../backend/tf.js';
import { type BlockCache, type FlowBlock, predict } from '../flow/block.js';
import { type FlowConfig, tokenCount } from '../flow/config.js';

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
  /** Rows of a cache per sample: those of all samples' first branch come before the second's. */
  branches: 1 | 2;
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
): GuidedBlock {
  const guided =
    guidance !== undefined &&
    guidance.weight > 0 &&
    (guidance.blocks?.includes(block.index) ?? true) &&
    !(guidanceIsIdle(block.config, guidance) || (!classes && (guidance.temperature ?? 1) === 1));
  const select = (samples: readonly number[]): GuidedBlock => {
    const rows = classes && tf.tidy(() => tf.gather(classes, tf.tensor1d([...samples], 'int32')));
    const selected = guidedBlock(block, samples.length, rows, guidance);
    return {
      ...selected,
      dispose: () => {
        selected.dispose();
        rows?.dispose();
      },
    };
  };
  if (!guided) {
    return {
      block,
      branches: 1,
      predict: (tokens, options) => predict(block, tokens, { ...options, classes }),
      select,
      dispose: () => undefined,
    };
  }

  const { weight, on = 'ab', temperature = 1, annealed = false } = guidance;
  const { config } = block;
  const steps = tokenCount(config) - 1;
  const owned: tf.Tensor[] = [];
  let mixtures: tf.Tensor2D | undefined;
  if (config.classes > 0) {
    mixtures = tf.tidy(() => {
      const absent = tf.fill([batch, config.classes], 1 / config.classes) as tf.Tensor2D;
      return tf.concat([classes ?? absent, absent], 0) as tf.Tensor2D;
    });
    owned.push(mixtures);
  }
  let temperatures: tf.Tensor4D | undefined;
  if (temperature !== 1) {
    temperatures = tf.tensor4d(
      Float32Array.from({ length: 2 * batch }, (_, row) => (row < batch ? 1 : temperature)),
      [2 * batch, 1, 1, 1],
    );
    owned.push(temperatures);
  }

  return {
    block,
    branches: 2,
    select,
    predict(tokens, options) {
      const both = predict(block, tf.concat([tokens, tokens], 0), {
        ...options,
        classes: mixtures,
        temperature: temperatures,
      });
      const count = tokens.shape[1];
      // The weight of a prediction goes by the index of its *input* token.
      const strength: tf.Tensor | number = annealed
        ? tf.tensor3d(
            Float32Array.from(
              { length: count },
              (_, i) => (weight * (options.start + i + 1)) / steps,
            ),
            [1, count, 1],
          )
        : weight;
      const extrapolate = (pair: tf.Tensor3D, apply: boolean): tf.Tensor3D => {
        const [conditional, weaker] = tf.split(pair, 2, 0) as [tf.Tensor3D, tf.Tensor3D];
        if (!apply) return conditional;
        return tf.add(conditional, tf.mul(tf.sub(conditional, weaker), strength)) as tf.Tensor3D;
      };
      return {
        a: extrapolate(both.a, on !== 'b'),
        b: extrapolate(both.b, on !== 'a'),
        cache: both.cache,
      };
    },
    dispose: () => tf.dispose(owned),
  };
}
