import { emptyCaption } from '../../conditions/context.js';
import { at, UserError } from '../../core/errors.js';
import { foldIn, type RandomKey } from '../../core/random.js';
import type { PublishedAbility, Shapes } from '../../flow/model.js';
import { tokenWidth } from '../../flow/patches.js';
import { causalMask, countOf, shapeOf } from '../../flow/state-dict.js';
import type { TensorSource } from '../../formats/safetensors.js';
import { type AnyNormParameters, linearSpecs, normSpecs } from '../../nn/layers.js';
import { type LeafSpec, normals, type Specified, type Specs, zeros } from '../../nn/specs.js';
import { layerSpecs } from '../../nn/transformer.js';
import { prefixEntries, prefixWidth, type StarFlowConfig } from './config.js';

/** One block. The keys are those of the published state dicts. */
export type StarFlowBlockParameters = Specified<ReturnType<typeof blockSpecs>>;

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

function blockSpecs(config: StarFlowConfig, index: number, key: RandomKey) {
  const { channels, layersPerBlock, norm, startToken, finalNorm } = config;
  const width = tokenWidth(config);
  const norms: Specs<AnyNormParameters> =
    norm === 'rms' ? { weight: zeros([channels]) } : normSpecs(channels);
  const deep = index === layersPerBlock.length - 1;
  return {
    /** The start token (1, 1, D), among tokens and not yet projected. */
    ...(startToken && { sos_embed: normals(foldIn(key, 'sos_embed'), [1, 1, width], 1) }),
    proj_in: linearSpecs(foldIn(key, 'proj_in'), channels, width),
    /** From a class or a caption's states to channels; in the deep block of a model that reads them. */
    ...(deep &&
      prefixEntries(config) > 0 && {
        proj_txt: linearSpecs(foldIn(key, 'proj_txt'), channels, prefixWidth(config)),
      }),
    attn_blocks: Array.from({ length: at(layersPerBlock, index) }, (_, layer) =>
      layerSpecs(foldIn(foldIn(key, 'layer'), layer), channels, norms),
    ),
    /** The scale less 1 of a normalisation by the root mean square. */
    ...(finalNorm && { final_norm: { weight: zeros([channels]) } }),
    /** (2·D, channels): what scales are made of above means. */
    proj_out: {
      ...linearSpecs(foldIn(key, 'proj_out'), 2 * width, channels),
      weight: zeros([2 * width, channels]),
    },
  };
}

/** Masks, tables of angles, and a variance of the prior that is never read: the model has none. */
const ignored = /^(var|blocks\.\d+\.attn_mask|(blocks\.\d+\.)?feat_rope\.freqs_(cos|sin))$/;

/**
 * What the authors' class keeps beside the parameters and does not read: a mask in each block, empty tables
 * of angles, and a variance of 1.
 * @throws UserError for a model of a grid that is not square, which their class does not make
 */
function unread(config: StarFlowConfig): Record<string, TensorSource> {
  const { gridSide, layersPerBlock, headWidth } = config;
  if (!Number.isInteger(gridSide)) {
    throw new UserError(
      `The model was trained on grids that are not square (gridSide ${gridSide})`,
      "Leave --to out: the authors' class takes square ones",
    );
  }
  const tokens = gridSide ** 2;
  const entries = tokens + prefixEntries(config);
  const mask = causalMask(entries);
  const filled = (rows: number, width: number, value: number): TensorSource => {
    const data = () => new Float32Array(rows * width).fill(value);
    return { shape: [rows, width], dtype: 'F32', data };
  };
  const angles = filled(entries, headWidth, 0);
  return {
    ...Object.fromEntries(layersPerBlock.map((_, b) => [`blocks.${b}.attn_mask`, mask])),
    'feat_rope.freqs_cos': angles,
    'feat_rope.freqs_sin': angles,
    var: filled(tokens, tokenWidth(config), 1),
  };
}

/**
 * The configuration of a published model, from the shapes of its state dict. They do not tell the width
 * of a head (64), the bound of outputs (4), how an output becomes a scale (softplus) and the order of
 * the first block (reverse): these are as released. A grid is taken to be square. Every tensor is
 * checked by its name and shape.
 *
 * @throws UserError with the names of tensors that are missing, unexpected or of another shape, and
 *   where a model reads captions and the states of the empty one are not there
 */
function configOf(
  state: Shapes,
  source: string,
  { imageChannels, headWidth = 64 }: { imageChannels?: number; headWidth?: number },
): StarFlowConfig {
  const blocks = countOf(state, /^blocks\.(\d+)\./);
  const [, , width = 1] = shapeOf(state, 'blocks.0.sos_embed');
  const [tokens = 0] = shapeOf(state, 'var');
  const patchSize = Math.sqrt(width / (imageChannels ?? width));
  const gridSide = Math.sqrt(tokens);
  if (!Number.isInteger(patchSize) || !Number.isInteger(gridSide) || gridSide === 0) {
    throw new UserError(
      `${source}: ${tokens} tokens of ${width} numbers are no square grid of latents` +
        `${imageChannels === undefined ? '' : ` of ${imageChannels} channels`}`,
      'Expected a tensor var (tokens, numbers of a token), and give the channels of the latents',
    );
  }
  return {
    kind: 'starflow',
    image: {
      channels: imageChannels ?? width,
      height: gridSide * patchSize,
      width: gridSide * patchSize,
    },
    nullClass: true,
    ...conditionsOf(state, source, blocks - 1, tokens),
    patchSize,
    channels: shapeOf(state, 'blocks.0.proj_in.weight')[0] ?? headWidth,
    layersPerBlock: Array.from({ length: blocks }, (_, block) =>
      Math.max(1, countOf(state, new RegExp(`^blocks\\.${block}\\.attn_blocks\\.(\\d+)\\.`))),
    ),
    headWidth,
    startToken: true,
    norm: Object.hasOwn(state, 'blocks.0.attn_blocks.0.mlp.norm.bias') ? 'layer' : 'rms',
    finalNorm: Object.hasOwn(state, 'blocks.0.final_norm.weight'),
    softClip: 4,
    scale: 'softplus',
    firstDirection: 'reverse',
    gridSide,
  };
}

/** What the deep block reads: nothing, a class (one entry, the last of its numbers for none), a caption. */
function conditionsOf(
  state: Shapes,
  source: string,
  deep: number,
  tokens: number,
): Pick<StarFlowConfig, 'classes' | 'text'> {
  const projection = state[`blocks.${deep}.proj_txt.weight`]?.shape;
  if (!projection) return { classes: 0 };
  const [, width = 0] = projection;
  const empty = state[emptyCaption]?.shape;
  // A mask is (entries + tokens, the same).
  const side = shapeOf(state, `blocks.${deep}.attn_mask`).at(-1);
  const entries = side === undefined ? empty?.[0] : side - tokens;
  if (empty && empty[0] !== entries) {
    throw new UserError(
      `${source}: the states of the empty caption have ${empty[0]} entries, and the model reads ${entries}`,
      'Take states of as many entries, which the places in a caption depend on',
    );
  }
  if (empty && entries !== undefined) return { classes: 0, text: { entries, width } };
  if (entries === 1) return { classes: width - 1 };
  throw new UserError(
    entries === undefined
      ? `${source} does not say whether its STARFlow reads classes or captions, for it has no attention mask`
      : `${source} holds a STARFlow that reads captions of ${entries} entries, and no states of the ` +
          'empty caption, without which it cannot be guided',
    'If it reads captions, add them by `tarflow convert FILE.pth FILE.safetensors --empty-text states:STATES.safetensors`, ' +
      'with the states of the encoder that it was trained with',
  );
}

/** Published STARFlows, as apple/ml-starflow releases them. */
export const published: PublishedAbility<StarFlowConfig> = {
  network: 'a STARFlow',
  address: 'https://github.com/apple/ml-starflow (starflow_3B_t2i_256x256.pth)',
  mark: 'blocks.0.sos_embed',
  ignored,
  unread,
  configOf,
  licence:
    'Apple publishes the weights of STARFlow for research alone, under the LICENSE_MODEL of ' +
    'https://github.com/apple/ml-starflow.',
};
