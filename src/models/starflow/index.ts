import type { tf } from '../../core/tf.js';
import { forwardThroughBlocks } from '../../flow/forward.js';
import type { Family, ForwardResult, Model } from '../../flow/model.js';
import { patchify, tokenCount, tokenWidth, unpatchify } from '../../flow/patches.js';
import { likelihood } from '../../training/objectives/likelihood.js';
import { StarFlowBlock } from './block.js';
import { checkStarFlow, type StarFlowConfig, starflowSchema, starflowTitle } from './config.js';
import { published, type StarFlowParameters, starflowSpecs } from './parameters.js';

/**
 * A deep and several shallow autoregressive blocks over latents (Gu et al. 2025, arXiv 2506.06276).
 * Where it reads captions its buffer `empty_text` holds the states of the empty one.
 */
export type StarFlow = Model<StarFlowConfig, StarFlowParameters>;

/**
 * The family of STARFlows.
 *
 * @example
 * ```ts
 * import { starflow } from 'tarflow/models';
 *
 * console.log(starflow.kind, Object.keys(starflow.prior ?? {})); // starflow [ 'shape' ]
 * ```
 */
export const starflow: Family<StarFlowConfig, StarFlowParameters> = {
  kind: 'starflow',
  schema: starflowSchema,
  check: checkStarFlow,
  title: starflowTitle,
  specs: starflowSpecs,
  // Positions come from the grid, scaled to that of `gridSide`, and no weight depends on its size: a run on
  // larger images goes on with what one on smaller ones learnt, as the paper's of 512² with that of 256².
  trainingFields: ['image.height', 'image.width'],
  objectives: () => [likelihood()],
  prior: { shape: (config) => [tokenCount(config), tokenWidth(config)] },
  flow: {
    forward(model, x, conditions): ForwardResult {
      return forwardThroughBlocks(blocks(model), tokensOf(model.config, x), conditions);
    },
    rows: tokenCount,
    width: ({ channels }) => channels,
  },
  blocks,
  published,
  tokens: {
    of: (config, images) => ({ tokens: tokensOf(config, images) }),
    images: (config, tokens) => unpatchify(patchesOf(config), tokens),
  },
};

function blocks({ config, parameters, buffers }: StarFlow): StarFlowBlock[] {
  const { empty_text } = buffers as { empty_text?: tf.Tensor2D };
  return parameters.blocks.map((block, index) => {
    const reads = block.proj_txt !== undefined && empty_text !== undefined;
    return new StarFlowBlock(config, { ...block, ...(reads && { empty_text }) }, index);
  });
}

function patchesOf({ image, patchSize }: StarFlowConfig) {
  return { image, patchSize, slowest: 'pixel' } as const;
}

function tokensOf(config: StarFlowConfig, images: tf.Tensor4D): tf.Tensor3D {
  return patchify(patchesOf(config), images);
}
