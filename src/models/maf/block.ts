import { droppedClasses } from '../../conditions/labels.js';
import { tf } from '../../core/tf.js';
import { type Leaves, leaf, withLeaves } from '../../core/tree.js';
import type {
  AutoregressiveBlock,
  BlockCost,
  Conditions,
  Place,
  Prediction,
} from '../../flow/autoregressive.js';
import { dimensions } from '../../flow/model.js';
import { type MadeParameters, made, maskedOutput } from '../../nn/made.js';
import type { MafConfig } from './config.js';

/**
 * A block of a MAF: a masked network predicts mean and log-scale of each number of an image from those
 * before it (Papamakarios et al. 2017, arXiv 1705.07057, section 3.1). Odd blocks read the numbers in
 * reverse. The first number is predicted, too, by biases and the class.
 */
export class MafBlock implements AutoregressiveBlock {
  readonly tokens: number;
  readonly width = 1;
  readonly given = 0;
  readonly cache = { lead: 0, width: 1, rows: 1 } as const;
  readonly cost: BlockCost;
  readonly heads = 0;
  readonly description: unknown;
  readonly direction: 'forward' | 'reverse';

  constructor(
    private readonly config: MafConfig,
    readonly parameters: MadeParameters,
    readonly index: number,
  ) {
    const { hidden, output } = parameters;
    this.tokens = dimensions(config);
    this.cost = {
      stack: config.blocks,
      work: [...hidden, output].reduce((sum, { weight }) => sum + weight.size, 0),
      depth: hidden.length,
    };
    this.direction = index % 2 === 0 ? 'forward' : 'reverse';
    this.description = config;
  }

  withParameters(parameters: Leaves): MafBlock {
    return new MafBlock(this.config, withLeaves(this.parameters, parameters), this.index);
  }

  /** Reversal is its own inverse. */
  order(x: tf.Tensor3D): tf.Tensor3D {
    return this.direction === 'reverse' ? tf.reverse(x, 1) : x;
  }

  /** The cache holds the numbers themselves (rows, 1, entries, 1). */
  predict(
    tokens: tf.Tensor3D,
    { start = 0, cache, conditions = {}, keepCache = false }: Place = {},
  ): Prediction {
    const [rows, count] = tokens.shape;
    const given = tf.reshape(tokens, [rows, 1, count, 1]);
    const seen = cache ? tf.concat([leaf(cache, 'tokens', 4), given], 2) : given;
    const next = made(this.parameters, tf.reshape(seen, [rows, start + count]), {
      tokens: this.tokens,
      first: cache ? start + 1 : 0,
      classes: conditions.classes,
    });
    return { next, cache: keepCache ? { tokens: seen } : undefined };
  }

  unconditional(rows: number): Conditions {
    return droppedClasses(this.config, rows);
  }

  /** Of all tokens, (T, units) each. */
  outputWeights(): { mean: tf.Tensor2D; logScale: tf.Tensor2D } {
    return maskedOutput(this.parameters, this.tokens);
  }
}
