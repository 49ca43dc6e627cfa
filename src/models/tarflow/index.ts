import { UserError } from '../../core/errors.js';
import type { tf } from '../../core/tf.js';
import { leaf } from '../../core/tree.js';
import { cutImages, joinImages } from '../../flow/background.js';
import { forwardThroughBlocks } from '../../flow/forward.js';
import type { Family, ForwardResult, Model, Objective } from '../../flow/model.js';
import { patchify, tokenCount, tokenWidth, unpatchify } from '../../flow/patches.js';
import { freshModel } from '../../flow/state-dict.js';
import { likelihood } from '../../training/objectives/likelihood.js';
import { TarFlowBlock } from './block.js';
import { checkConfig, configName, type TarFlowConfig, tarflowSchema } from './config.js';
import { published, type TarFlowParameters, tarflowSpecs } from './parameters.js';

/**
 * A transformer autoregressive flow (Zhai et al. 2024, arXiv 2412.06329). Its buffer `var` is the
 * variance of the prior, (T, D) in raster order: ones unless the model is volume preserving.
 */
export type TarFlow = Model<TarFlowConfig, TarFlowParameters>;

/**
 * The family of TarFlows.
 *
 * @example
 * ```ts
 * import { createModel, disposeModel, startEngine, tarflow } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * console.log(flow.config.classes, tarflow.prior?.shape(config)); // 2 [ 16, 4 ]
 * disposeModel(flow);
 * ```
 */
export const tarflow: Family<TarFlowConfig, TarFlowParameters> = {
  kind: 'tarflow',
  schema: tarflowSchema,
  trainingFields: ['classDeviation'],
  check: checkConfig,
  title: configName,
  specs: tarflowSpecs,
  objectives: (config) => [objectiveOf(config)],
  prior: {
    shape: (config) => [tokenCount(config), tokenWidth(config)],
    variance: ({ config, buffers }) =>
      config.volumePreserving ? leaf(buffers, 'var', 2) : undefined,
  },
  flow: {
    forward(model, x, conditions): ForwardResult {
      const { tokens, logDet } = tokensOf(model.config, x);
      return forwardThroughBlocks(tarflowBlocks(model), tokens, conditions, logDet);
    },
    rows: tokenCount,
    width: ({ channels }) => channels,
  },
  blocks: tarflowBlocks,
  tokens: { of: tokensOf, images: imagesOf },
  published,
};

/**
 * A fresh TarFlow from a seed, as `createModel` makes it, but with its type. The caller frees it with
 * `disposeModel`.
 *
 * @throws UserError that names the value that does not fit
 */
export function createTarFlow(config: TarFlowConfig, seed: number): TarFlow {
  return freshModel(tarflow, config, seed);
}

function objectiveOf({ background, volumePreserving }: TarFlowConfig): Objective {
  const objective = likelihood({ runningVariance: volumePreserving });
  if (background === undefined) return objective;
  return {
    ...objective,
    feeds(config, raw, keys, settings) {
      if (settings.noise.kind !== 'uniform') {
        throw new UserError(
          `A model that spreads the background came with ${settings.noise.kind} noise`,
          'It reads grey levels with uniform noise: set noise=uniform, or background=none',
        );
      }
      return objective.feeds(config, raw, keys, settings);
    },
  };
}

function tarflowBlocks({ config, parameters }: TarFlow): TarFlowBlock[] {
  return parameters.blocks.map((block, index) => new TarFlowBlock(config, block, index));
}

/**
 * What the first block reads of images (batch, channels, height, width): their patches, with the
 * background spread where the model has one.
 *
 * @returns tokens (batch, T, D), and the log-determinant (batch) of spreading; the caller frees both
 */
export function tokensOf(
  config: TarFlowConfig,
  images: tf.Tensor4D,
): { tokens: tf.Tensor3D; logDet?: tf.Tensor1D } {
  return cutImages(config.background, images, (spread) => patchify(config, spread));
}

/** The way back of {@link tokensOf}: images (batch, channels, height, width) from tokens. */
export function imagesOf(config: TarFlowConfig, tokens: tf.Tensor3D): tf.Tensor4D {
  return joinImages(config.background, tokens, (spread) => unpatchify(config, spread));
}
