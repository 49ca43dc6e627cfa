import { emptyCaption } from '../../conditions/given.js';
import { foldIn, type RandomKey } from '../../core/random.js';
import type { tf } from '../../core/tf.js';
import { type LinearParameters, linearSpecs } from '../../nn/layers.js';
import { type LeafSpec, normals, type Specs, zeros } from '../../nn/specs.js';
import { type AnyLayerParameters, layerSpecs } from '../../nn/transformer.js';
import { prefixEntries, prefixWidth, type StarFlowConfig, starflowWidth } from './config.js';

/** One block. The keys are those of the published state dicts. */
export type StarFlowBlockParameters = {
  /** The start token (1, 1, D), among tokens and not yet projected. */
  sos_embed?: tf.Tensor3D;
  proj_in: LinearParameters;
  /** From a class or a caption's states to channels; in the deep block of a model that reads them. */
  proj_txt?: LinearParameters;
  attn_blocks: AnyLayerParameters[];
  /** The scale less 1 of a normalisation by the root mean square. */
  final_norm?: { weight: tf.Tensor1D };
  /** (2·D, channels): what scales are made of above means. */
  proj_out: LinearParameters;
};

/** All trained parameters of a STARFlow. */
export type StarFlowParameters = { blocks: StarFlowBlockParameters[] };

/**
 * Fresh parameters: linear layers uniform within ±1/√inputs, start tokens standard normal, the output
 * weight zero. The buffer `empty_text` holds the states of the empty caption: those of the data from
 * the beginning of a training on, zeros before.
 */
export function starflowSpecs(
  config: StarFlowConfig,
  key: RandomKey,
): { parameters: Specs<StarFlowParameters>; buffers: Record<string, LeafSpec> } {
  const { text, layersPerBlock } = config;
  const blocks = layersPerBlock.map((_, index) =>
    blockSpecs(config, index, foldIn(foldIn(key, 'block'), index)),
  );
  return {
    parameters: { blocks },
    buffers: text ? { [emptyCaption]: zeros([text.entries, text.width]) } : {},
  };
}

function blockSpecs(
  config: StarFlowConfig,
  index: number,
  key: RandomKey,
): Specs<StarFlowBlockParameters> {
  const { channels, layersPerBlock, norm, startToken, finalNorm } = config;
  const width = starflowWidth(config);
  const deep = index === layersPerBlock.length - 1;
  return {
    ...(startToken && { sos_embed: normals(foldIn(key, 'sos_embed'), [1, 1, width], 1) }),
    proj_in: linearSpecs(foldIn(key, 'proj_in'), channels, width),
    ...(deep &&
      prefixEntries(config) > 0 && {
        proj_txt: linearSpecs(foldIn(key, 'proj_txt'), channels, prefixWidth(config)),
      }),
    attn_blocks: Array.from({ length: layersPerBlock[index] as number }, (_, layer) =>
      layerSpecs(foldIn(foldIn(key, 'layer'), layer), channels, norm),
    ),
    ...(finalNorm && { final_norm: { weight: zeros([channels]) } }),
    proj_out: {
      ...linearSpecs(foldIn(key, 'proj_out'), 2 * width, channels),
      weight: zeros([2 * width, channels]),
    },
  };
}
