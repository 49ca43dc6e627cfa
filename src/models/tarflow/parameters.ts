import { UserError } from '../../core/errors.js';
import { foldIn, type RandomKey } from '../../core/random.js';
import type { tf } from '../../core/tf.js';
import type { PublishedAbility } from '../../flow/model.js';
import { tokenCount, tokenWidth } from '../../flow/patches.js';
import { type LinearParameters, linearSpecs } from '../../nn/layers.js';
import { normals, ones, type Specs, zeros } from '../../nn/specs.js';
import { type LayerParameters, layerSpecs } from '../../nn/transformer.js';
import type { TarFlowConfig } from './config.js';

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

type Shapes = Record<string, { shape: readonly number[] }>;

/** Attention masks, which hold nothing that the configuration does not say. */
const ignored = /^blocks\.\d+\.attn_mask$/;

/**
 * The configuration of a published model, from the shapes of its state dict. Shapes cannot tell the
 * head width (64 in all published models) nor how a token's numbers divide into channels and
 * pixels; images are taken to be square. Every tensor is checked by its name and shape.
 *
 * @throws UserError with the names of tensors that are missing, unexpected or of another shape
 */
function configOf(
  state: Shapes,
  source: string,
  { imageChannels = 3, headWidth = 64 }: { imageChannels?: number; headWidth?: number } = {},
): TarFlowConfig {
  const projection = shapeInBlocks(state, 'proj_in.weight');
  const positions = shapeInBlocks(state, 'pos_embed');
  const variance = Object.hasOwn(state, 'var') ? state.var?.shape : undefined;
  // Whatever is there tells sizes, so that the check below can name all that is not.
  const [tokens = 4, width = imageChannels] = variance ?? [positions?.[0], projection?.[1]];
  const patchSize = Math.sqrt(width / imageChannels);
  const side = Math.sqrt(tokens) * patchSize;
  if (!Number.isInteger(patchSize) || !Number.isInteger(side)) {
    throw new UserError(
      `${source}: ${tokens} tokens of ${width} numbers are not a square image of ${imageChannels} channels`,
      'Give the number of image channels, or the whole configuration',
    );
  }
  return {
    kind: 'tarflow',
    image: { channels: imageChannels, height: side, width: side },
    patchSize,
    channels: projection?.[0] ?? positions?.[1] ?? headWidth,
    blocks: count(state, /^blocks\.(\d+)\./),
    layersPerBlock: count(state, /^blocks\.\d+\.attn_blocks\.(\d+)\./),
    headWidth,
    classes: shapeInBlocks(state, 'class_embed')?.[0] ?? 0,
    volumePreserving: shapeInBlocks(state, 'proj_out.weight')?.[0] === width,
  };
}

/** The shape of a tensor in the first block that has one of this name. */
function shapeInBlocks(state: Shapes, name: string): readonly number[] | undefined {
  const found = Object.keys(state).find((key) => key.replace(/^blocks\.\d+\./, '') === name);
  return found === undefined ? undefined : state[found]?.shape;
}

/**
 * How many there must be by the highest number that names have at a place, at least one. A number far
 * above those of all others is taken for a mistake: whatever has it is unexpected then.
 */
function count(state: Shapes, pattern: RegExp): number {
  const numbers = new Set(Object.keys(state).flatMap((name) => pattern.exec(name)?.[1] ?? []));
  const highest = Math.max(0, ...[...numbers].map(Number));
  return Math.min(highest + 1, 2 * Math.max(1, numbers.size));
}

/** Published TarFlows. */
export const published: PublishedAbility<TarFlowConfig> = {
  network: 'a TarFlow',
  address:
    'https://github.com/apple/ml-tarflow (afhq_model_8_768_8_8_0.07.pth), others at ' +
    'https://huggingface.co/encoreus/Transformer_Autoregressive_Flow',
  mark: 'blocks.0.pos_embed',
  ignored,
  configOf,
};
