import { UserError } from '../../backend/errors.js';
import type { PublishedAbility } from '../../flow/model.js';
import type { TarFlowConfig } from './config.js';

/**
 * The configuration of a published model, from the shapes of its state dict. Shapes cannot tell the
 * head width (64 in all published models) nor how a token's numbers divide into channels and
 * pixels; images are taken to be square.
 *
 * @throws UserError where the shapes are not those of a TarFlow
 */
function inferConfig(
  state: Record<string, { shape: readonly number[] }>,
  source: string,
  { imageChannels = 3, headWidth = 64 }: { imageChannels?: number; headWidth?: number } = {},
): TarFlowConfig {
  const shape = (name: string): readonly number[] => {
    const tensor = state[name];
    if (!tensor) {
      throw new UserError(`${source}: tensor ${name} is missing`, 'Expected a TarFlow state dict');
    }
    return tensor.shape;
  };
  const count = (pattern: RegExp): number =>
    new Set(Object.keys(state).flatMap((name) => pattern.exec(name)?.[1] ?? [])).size;

  const [tokens = 0, width = 0] = shape('var');
  const patchSize = Math.sqrt(width / imageChannels);
  const side = Math.sqrt(tokens) * patchSize;
  if (!Number.isInteger(patchSize) || !Number.isInteger(side)) {
    throw new UserError(
      `${source}: ${tokens} tokens of ${width} numbers are not a square image of ${imageChannels} channels`,
      'Give the number of image channels, or the whole configuration',
    );
  }
  const [outputs = 0] = shape('blocks.0.proj_out.weight');
  return {
    kind: 'tarflow',
    image: { channels: imageChannels, height: side, width: side },
    patchSize,
    channels: shape('blocks.0.pos_embed')[1] ?? 0,
    blocks: count(/^blocks\.(\d+)\./),
    layersPerBlock: count(/^blocks\.0\.attn_blocks\.(\d+)\./),
    headWidth,
    classes: state['blocks.0.class_embed']?.shape[0] ?? 0,
    volumePreserving: outputs === width,
  };
}

/** Published TarFlows: their attention masks hold nothing that the configuration does not say. */
export const published: PublishedAbility<TarFlowConfig> = {
  mark: 'blocks.0.pos_embed',
  ignored: /^blocks\.\d+\.attn_mask$/,
  configOf: inferConfig,
};
