import { UserError } from '../backend/errors.js';
import { randomKey } from '../backend/random.js';
import { tf } from '../backend/tf.js';
import { disposeTree, leaves, mapTree } from '../backend/tree.js';
import { type FlowConfig, tokenCount, tokenWidth } from './config.js';
import { initialParameters } from './parameters.js';
import type { TarFlow } from './tarflow.js';

/** A tensor of a published state dict: one of the engine, or its shape and its numbers. */
export type StateTensor = tf.Tensor | { shape: readonly number[]; data: ArrayLike<number> };

/** A buffer of the published models that holds nothing: ignored when read, never written. */
const ignored = /^blocks\.\d+\.attn_mask$/;

/**
 * A flow from a state dict under the published names, whose tensors stay the caller's.
 *
 * @param source what to call the dict in errors, e.g. its path
 * @returns a flow that the caller frees
 * @throws UserError that names a tensor that is missing, left over or of the wrong shape
 */
export function publishedFlow(
  config: FlowConfig,
  state: Record<string, StateTensor>,
  source: string,
): TarFlow {
  const unread = new Set(Object.keys(state).filter((name) => !ignored.test(name)));
  const take = (name: string, shape: readonly number[]): tf.Tensor => {
    const tensor = state[name];
    if (!tensor) {
      throw new UserError(
        `${source}: tensor ${name} is missing`,
        `Expected it with shape (${shape.join(', ')})`,
      );
    }
    if (tensor.shape.join() !== shape.join()) {
      throw new UserError(
        `${source}: tensor ${name} has shape (${tensor.shape.join(', ')})`,
        `Expected (${shape.join(', ')}) for this configuration`,
      );
    }
    unread.delete(name);
    return tensor instanceof tf.Tensor
      ? tensor.clone()
      : tf.tensor(Float32Array.from(tensor.data), [...shape]);
  };

  const template = initialParameters(config, randomKey(0));
  const made: tf.Tensor[] = [];
  try {
    const keep = (tensor: tf.Tensor): tf.Tensor => {
      made.push(tensor);
      return tensor;
    };
    const parameters = mapTree(template, (leaf, name) => keep(take(name, leaf.shape)));
    const shape = [tokenCount(config), tokenWidth(config)];
    const variance = keep(take('var', shape)) as tf.Tensor2D;
    if (unread.size > 0) {
      throw new UserError(
        `${source}: ${unread.size} tensors do not belong to this model, the first of them ${[...unread][0]}`,
        'Check blocks, layersPerBlock and classes of the configuration',
      );
    }
    return { config, parameters, variance };
  } catch (error) {
    tf.dispose(made);
    throw error;
  } finally {
    disposeTree(template);
  }
}

/** The state dict of a flow under the published names; the tensors stay the flow's. */
export function stateDict(flow: TarFlow): Record<string, tf.Tensor> {
  return { var: flow.variance, ...leaves(flow.parameters) };
}

/**
 * The configuration of a published model, from the shapes of its state dict. Shapes cannot tell the
 * head width (64 in all published models) nor how a token's numbers divide into channels and
 * pixels; images are taken to be square.
 *
 * @throws UserError where the shapes are not those of a TarFlow
 */
export function inferConfig(
  state: Readonly<Record<string, { shape: readonly number[] }>>,
  source: string,
  { imageChannels = 3, headWidth = 64 }: { imageChannels?: number; headWidth?: number } = {},
): FlowConfig {
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
