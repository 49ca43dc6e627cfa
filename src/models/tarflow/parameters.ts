import { foldIn, type RandomKey } from '../../core/random.js';
import type { tf } from '../../core/tf.js';
import { type LinearParameters, linearSpecs } from '../../nn/layers.js';
import { normals, ones, type Specs, zeros } from '../../nn/specs.js';
import { type LayerParameters, layerSpecs } from '../../nn/transformer.js';
import { type TarFlowConfig, tokenCount, tokenWidth } from './config.js';

/** One autoregressive flow block. The keys are those of the published state dicts. */
export type BlockParameters = {
  /** (T, channels), in raster order of the patches. */
  pos_embed: tf.Tensor2D;
  /** (classes, 1, channels); absent in an unconditional model. */
  class_embed?: tf.Tensor3D;
  proj_in: LinearParameters;
  attn_blocks: LayerParameters[];
  /** (2·D, channels): log-scale above mean; (D, channels) in a volume-preserving model. */
  proj_out: LinearParameters;
};

/** All trained parameters of a TarFlow. */
export type TarFlowParameters = { blocks: BlockParameters[] };

/**
 * Fresh parameters: linear layers uniform within ±1/√inputs, position and class tables normal with
 * deviation 0.01, the output weight zero. The model starts near the identity, not at it: the
 * output bias is not zero. The variance of the prior, `var`, starts at one.
 */
export function tarflowSpecs(
  config: TarFlowConfig,
  key: RandomKey,
): { parameters: Specs<TarFlowParameters>; buffers: { var: ReturnType<typeof ones> } } {
  const shape = [tokenCount(config), tokenWidth(config)];
  const blocks = range(config.blocks).map((b) =>
    blockSpecs(config, foldIn(foldIn(key, 'block'), b)),
  );
  return { parameters: { blocks }, buffers: { var: ones(shape) } };
}

function blockSpecs(config: TarFlowConfig, key: RandomKey): Specs<BlockParameters> {
  const { channels, classes, volumePreserving } = config;
  const [tokens, width] = [tokenCount(config), tokenWidth(config)];
  const outputs = (volumePreserving ? 1 : 2) * width;
  const table = (name: string, shape: number[]) => normals(foldIn(key, name), shape, 0.01);
  return {
    pos_embed: table('pos_embed', [tokens, channels]),
    ...(classes > 0 && { class_embed: table('class_embed', [classes, 1, channels]) }),
    proj_in: linearSpecs(foldIn(key, 'proj_in'), channels, width),
    attn_blocks: range(config.layersPerBlock).map((layer) =>
      layerSpecs(foldIn(foldIn(key, 'layer'), layer), channels),
    ),
    proj_out: {
      ...linearSpecs(foldIn(key, 'proj_out'), outputs, channels),
      weight: zeros([outputs, channels]),
    },
  };
}

function range(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}
