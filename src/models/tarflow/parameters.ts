import { UserError } from '../../core/errors.js';
import { foldIn, type RandomKey } from '../../core/random.js';
import type { PublishedAbility, Shapes } from '../../flow/model.js';
import { tokenCount, tokenWidth } from '../../flow/patches.js';
import { causalMask, countOf, shapeOf } from '../../flow/state-dict.js';
import type { TensorSource } from '../../formats/safetensors.js';
import { linearSpecs, normSpecs } from '../../nn/layers.js';
import { normals, ones, type Specified, zeros } from '../../nn/specs.js';
import { layerSpecs } from '../../nn/transformer.js';
import type { TarFlowConfig } from './config.js';

/** One autoregressive flow block. The keys are those of the published state dicts. */
export type BlockParameters = Specified<ReturnType<typeof blockSpecs>>;

/** All trained parameters of a TarFlow. */
export type TarFlowParameters = { blocks: BlockParameters[] };

/**
 * Fresh parameters: linear layers uniform within ±1/√inputs, position and class tables normal with
 * deviation 0.01 (that of classes may be another), the output weight zero. The model starts near the identity, not at it: the
 * output bias is not zero. The variance of the prior, `var`, starts at one.
 */
export function tarflowSpecs(config: TarFlowConfig, key: RandomKey) {
  const blocks = range(config.blocks).map((b) =>
    blockSpecs(config, foldIn(foldIn(key, 'block'), b)),
  );
  return {
    parameters: { blocks },
    buffers: { var: ones([tokenCount(config), tokenWidth(config)]) },
  };
}

function blockSpecs(config: TarFlowConfig, key: RandomKey) {
  const { channels, classes, classDeviation = 0.01, volumePreserving } = config;
  const [tokens, width] = [tokenCount(config), tokenWidth(config)];
  const outputs = (volumePreserving ? 1 : 2) * width;
  return {
    /** (T, channels), in raster order of the patches. */
    pos_embed: normals(foldIn(key, 'pos_embed'), [tokens, channels], 0.01),
    /** (classes, 1, channels); absent in an unconditional model. */
    ...(classes > 0 && {
      class_embed: normals(foldIn(key, 'class_embed'), [classes, 1, channels], classDeviation),
    }),
    proj_in: linearSpecs(foldIn(key, 'proj_in'), channels, width),
    attn_blocks: range(config.layersPerBlock).map((layer) =>
      layerSpecs(foldIn(foldIn(key, 'layer'), layer), channels, normSpecs(channels)),
    ),
    /** (2·D, channels): log-scale above mean; (D, channels) in a volume-preserving model. */
    proj_out: {
      ...linearSpecs(foldIn(key, 'proj_out'), outputs, channels),
      weight: zeros([outputs, channels]),
    },
  };
}

function range(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}

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
  // Whatever is there tells sizes, so that the check of all tensors can name what is not.
  const [tokens = positions?.[0] ?? 4, width = projection?.[1] ?? imageChannels] = shapeOf(
    state,
    'var',
  );
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
    blocks: Math.max(1, countOf(state, /^blocks\.(\d+)\./)),
    layersPerBlock: Math.max(1, countOf(state, /^blocks\.\d+\.attn_blocks\.(\d+)\./)),
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

/** The masks that the authors' classes keep beside the parameters. */
function masks(config: TarFlowConfig): Record<string, TensorSource> {
  const mask = causalMask(tokenCount(config));
  return Object.fromEntries(range(config.blocks).map((b) => [`blocks.${b}.attn_mask`, mask]));
}

/** Published TarFlows. */
export const published: PublishedAbility<TarFlowConfig> = {
  network: 'a TarFlow',
  address:
    'https://github.com/apple/ml-tarflow (afhq_model_8_768_8_8_0.07.pth), others at ' +
    'https://huggingface.co/encoreus/Transformer_Autoregressive_Flow',
  mark: 'blocks.0.pos_embed',
  ignored,
  unread: masks,
  configOf,
};
