import { UserError } from '../../core/errors.js';
import { randomKey } from '../../core/random.js';
import type { PublishedAbility } from '../../flow/model.js';
import { checkWeights } from '../../formats/network-weights.js';
import { shapesOf } from '../../nn/specs.js';
import type { TarFlowConfig } from './config.js';
import { tarflowSpecs } from './parameters.js';

type Shapes = Record<string, { shape: readonly number[] }>;

/** What the weights are, for errors. */
const publishedTarFlow = {
  network: 'a TarFlow',
  address:
    'https://github.com/apple/ml-tarflow (afhq_model_8_768_8_8_0.07.pth), others at ' +
    'https://huggingface.co/encoreus/Transformer_Autoregressive_Flow',
} as const;

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
  const config: TarFlowConfig = {
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
  const { parameters, buffers } = tarflowSpecs(config, randomKey(0));
  const expected = { ...shapesOf(buffers), ...shapesOf(parameters) };
  const file = { path: source, tensors: state };
  checkWeights(file, publishedTarFlow, expected, (name) => ignored.test(name));
  return config;
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
  mark: 'blocks.0.pos_embed',
  ignored,
  configOf,
};
