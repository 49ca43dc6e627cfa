import { z } from 'zod';
import { attention, gelu } from '../../src/core/ops.js';
import { foldIn } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import type { Place, Prediction } from '../../src/flow/autoregressive.js';
import { forwardThroughBlocks } from '../../src/flow/forward.js';
import type { Family } from '../../src/flow/model.js';
import { projected } from '../../src/flow/transformer-block.js';
import { registerFamilies } from '../../src/models/registry.js';
import { TarFlowBlock } from '../../src/models/tarflow/block.js';
import { checkConfig, configName, tarflowSchema } from '../../src/models/tarflow/config.js';
import { tarflow, tokensOf } from '../../src/models/tarflow/index.js';
import { type TarFlowParameters, tarflowSpecs } from '../../src/models/tarflow/parameters.js';
import { linearSpecs, normed } from '../../src/nn/layers.js';
import type { LayerParameters } from '../../src/nn/transformer.js';
import type { Experiment } from '../../src/training/experiment.js';
import { likelihood } from '../../src/training/objectives/likelihood.js';
import { variant } from './design.js';
import { smallTarFlow } from './experiment.js';

const schema = z.strictObject({
  ...tarflowSchema.shape,
  kind: z.literal('tarflow-residuals'),
  /** Whether layers add what they make to what they read, as transformers do. */
  hidden: z.boolean(),
  /**
   * Whether blocks begin near the identity, their output weights at zero: then z begins as x, and each
   * block adds to it. Else these weights begin as those of other linear layers.
   */
  latent: z.boolean(),
});

/** A TarFlow with or without each of its two kinds of residual connection. */
export interface ResidualsConfig extends z.infer<typeof schema> {}

const flowConfig = ({ hidden, latent, ...config }: ResidualsConfig) =>
  ({ ...config, kind: 'tarflow' }) as const;

/** Attention of each token of h (rows, n, channels) to itself and those before it, added to nothing. */
function attended({ attention: layer }: LayerParameters, h: tf.Tensor3D, headWidth: number) {
  const [rows, n, channels] = h.shape;
  const heads = channels / headWidth;
  const split = tf.reshape(linearOf(layer.qkv, layer.norm, h), [rows, n, 3, heads, headWidth]);
  const [q, k, v] = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4])) as [
    tf.Tensor4D,
    tf.Tensor4D,
    tf.Tensor4D,
  ];
  const places = tf.range(0, n, 1, 'int32');
  const later = tf.greater(tf.reshape(places, [1, n]), tf.reshape(places, [n, 1]));
  const mask = tf.mul(tf.cast(later, 'float32'), -1e9);
  const mixed = attention(q, k, v, { scale: 1 / Math.sqrt(headWidth), mask });
  return projected(layer.proj, tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), h.shape));
}

/** A linear layer of normalised entries (rows, n, channels). */
function linearOf(
  layer: LayerParameters['attention']['qkv'],
  norm: LayerParameters['attention']['norm'],
  h: tf.Tensor3D,
): tf.Tensor3D {
  const [rows, n, channels] = h.shape;
  const flat = normed(norm, tf.reshape(h, [rows * n, channels]));
  return projected(layer, tf.reshape(flat, [rows, n, channels]));
}

/** A block whose layers pass on what they make alone. */
class BlockWithoutResiduals extends TarFlowBlock {
  constructor(
    private readonly shape: ResidualsConfig,
    ...[parameters, index]: BlockArguments
  ) {
    super(flowConfig(shape), parameters, index);
  }

  override predict(tokens: tf.Tensor3D, place: Place = {}): Prediction {
    const { proj_out, attn_blocks } = this.parameters;
    let { h } = this.entries(tokens, place);
    for (const layer of attn_blocks) {
      const between = attended(layer, h, this.shape.headWidth);
      const wide = gelu(linearOf(layer.mlp.main[0], layer.mlp.norm, between));
      h = projected(layer.mlp.main[2], wide);
    }
    return { next: this.gaussian(projected(proj_out, h), 2), cache: undefined };
  }
}

type BlockArguments = [parameters: TarFlowParameters['blocks'][number], index: number];

/** The family of claim A5's ablation. It is trained and validated, and not sampled. */
export const residuals: Family<ResidualsConfig, TarFlowParameters> = {
  kind: 'tarflow-residuals',
  schema,
  check(config) {
    checkConfig(flowConfig(config));
    return config;
  },
  title: (config) => configName(flowConfig(config)),
  specs(config, key) {
    const specs = tarflowSpecs(flowConfig(config), key);
    if (config.latent) return specs;
    const blocks = specs.parameters.blocks.map((block, index) => {
      const own = foldIn(foldIn(key, 'proj_out'), index);
      const [outputs = 0] = block.proj_out.weight.shape;
      return { ...block, proj_out: linearSpecs(own, outputs, config.channels) };
    });
    return { ...specs, parameters: { blocks } };
  },
  objectives: () => [likelihood()],
  prior: { shape: (config) => tarflow.prior?.shape(flowConfig(config)) ?? [0, 0] },
  flow: {
    forward({ config, parameters }, x, conditions) {
      const { tokens } = tokensOf(flowConfig(config), x);
      const blocks = parameters.blocks.map((block, index) =>
        config.hidden
          ? new TarFlowBlock(flowConfig(config), block, index)
          : new BlockWithoutResiduals(config, block, index),
      );
      return forwardThroughBlocks(blocks, tokens, conditions);
    },
    rows: (config) => tarflow.flow?.rows(flowConfig(config)) ?? 0,
    width: ({ channels }) => channels,
  },
};

registerFamilies([residuals]);

const arms = {
  both: [true, true],
  'hidden-alone': [true, false],
  'latent-alone': [false, true],
  none: [false, false],
} as const;

/** Four arms of claim A5: with both kinds of residual connection, with either, and with none. */
export const residualArms: readonly Experiment[] = Object.entries(arms).map(
  ([name, [hidden, latent]]) => ({
    ...variant(
      `residuals-${name}`,
      `residual connections: ${name.replaceAll('-', ' ')}`,
      {},
      { steps: 600, warmupSteps: 60, validateEvery: 60, saveEvery: 600 },
    ),
    config: { ...smallTarFlow({ layersPerBlock: 4 }), kind: 'tarflow-residuals', hidden, latent },
  }),
);
