import { checkGiven, UserError } from '../core/errors.js';
import { randomKey } from '../core/random.js';
import { tf } from '../core/tf.js';
import { disposeTree, type Leaves, leaves, type Tree, withLeaves } from '../core/tree.js';
import { checkWeights } from '../formats/network-weights.js';
import type { TensorSource } from '../formats/safetensors.js';
import { built, type LeafSpec, shapesOf } from '../nn/specs.js';
import {
  ability,
  type Family,
  type Model,
  type ModelConfig,
  type PublishedAbility,
  type Shapes,
} from './model.js';

/** A fresh model of a family from a seed. The caller frees it with {@link disposeModel}. */
export function freshModel<C extends ModelConfig, P extends Tree>(
  family: Family<C, P>,
  config: C,
  seed: number,
): Model<C, P> {
  const { parameters, buffers } = family.specs(family.check(config), randomKey(seed));
  return { family, config, parameters: built<P>(parameters), buffers: built<Leaves>(buffers) };
}

/** The trees of models that were freed: compiled calls know their first model by its shape. */
const freed = new WeakMap<object, Pick<Model, 'parameters' | 'buffers'>>();

/**
 * Frees a model's parameters and buffers. Whoever reads them afterwards gets an error that says so.
 *
 * @example
 * ```ts
 * import { createModel, disposeModel, startEngine, tf } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * disposeModel(flow);
 * console.log(tf.memory().numTensors); // as many as before
 * ```
 */
export function disposeModel(model: Pick<Model, 'parameters' | 'buffers'>): void {
  checkGiven('The model', model, 'parameters', 'buffers');
  if (freed.has(model)) return;
  const { parameters, buffers } = model;
  freed.set(model, { parameters, buffers });
  for (const part of ['parameters', 'buffers'] as const) {
    disposeTree(model[part]);
    Object.defineProperty(model, part, { get: usedAfterwards, enumerable: false });
  }
}

function usedAfterwards(): never {
  throw new UserError(
    'This model was freed by disposeModel',
    'Call disposeModel after the last use, or load or make the model anew',
  );
}

/** A tensor of a state dict: one of the engine, or its shape and its numbers. */
export type StateTensor = tf.Tensor | { shape: readonly number[]; data: ArrayLike<number> };

/**
 * A model from a state dict: its buffers and parameters by their names. The tensors of the dict stay
 * the caller's.
 *
 * @param source what to call the dict in errors, e.g. its path
 * @returns a model that the caller frees
 * @throws UserError with the names of tensors that are missing, unexpected or of another shape
 */
export function modelOfState<C extends ModelConfig, P extends Tree>(
  family: Family<C, P>,
  config: C,
  state: Record<string, StateTensor>,
  source: string,
): Model<C, P> {
  const specs = checkState(family, config, source, state, {
    network: `a model of kind '${family.kind}' (${family.title(config)})`,
    remedy:
      'Take a complete file, or check the numbers of blocks, layers and classes of the configuration',
  });
  const take = ({ shape }: LeafSpec, name: string): tf.Tensor => {
    const { [name]: tensor = { data: [] } } = state;
    if (tensor instanceof tf.Tensor) return tensor.clone();
    return tf.tensor(Float32Array.from(tensor.data), [...shape]);
  };
  const parameters = built<P>(specs.parameters, take);
  return { family, config, parameters, buffers: built<Leaves>(specs.buffers, take) };
}

/**
 * The configuration of a published model, from the shapes of its state dict. Every tensor is checked by
 * its name and shape.
 *
 * @param source what to call the dict in errors, e.g. its path
 * @param known what shapes cannot tell
 * @throws UserError with the names of tensors that are missing, unexpected or of another shape, and where
 *   the family has no published models
 */
export function publishedConfig<C extends ModelConfig, P extends Tree>(
  family: Family<C, P>,
  state: Shapes,
  source: string,
  known: Parameters<PublishedAbility['configOf']>[2] = {},
): C {
  const published = ability(family, 'published');
  const config = published.configOf(state, source, known);
  checkState(family, config, source, state, published);
  return config;
}

/** The shape of a tensor of a state dict; empty where there is none of this name. */
export function shapeOf(state: Shapes, name: string): readonly number[] {
  return (Object.hasOwn(state, name) && state[name]?.shape) || [];
}

/**
 * How many there are by the highest number that names of a state dict have at a place; 0 where none has
 * one. A number far above those of all others is taken for a mistake: whatever has it is unexpected then.
 */
export function countOf(state: Shapes, place: RegExp): number {
  const numbers = new Set(Object.keys(state).flatMap((name) => place.exec(name)?.[1] ?? []));
  const highest = Math.max(-1, ...[...numbers].map(Number));
  return Math.min(highest + 1, 2 * numbers.size);
}

/** A mask as PyTorch's classes keep it: (entries, entries), in each row ones up to the diagonal. */
export function causalMask(entries: number): TensorSource {
  const seen = (i: number): number => (i % entries <= Math.floor(i / entries) ? 1 : 0);
  const data = () => Float32Array.from({ length: entries ** 2 }, (_, i) => seen(i));
  return { shape: [entries, entries], dtype: 'F32', data };
}

function checkState<C extends ModelConfig, P extends Tree>(
  family: Family<C, P>,
  config: C,
  path: string,
  tensors: Shapes,
  weights: Parameters<typeof checkWeights>[1],
): ReturnType<Family<C, P>['specs']> {
  const specs = family.specs(config, randomKey(0));
  const expected = { ...shapesOf(specs.buffers), ...shapesOf(specs.parameters) };
  const ignored = (name: string) => family.published?.ignored.test(name) ?? false;
  checkWeights({ path, tensors }, weights, expected, ignored);
  return specs;
}

/** The same model with other tensors under the names of its state dict. */
export function withStateDict(model: Model, state: Leaves): Model {
  const { parameters, buffers } = freed.get(model) ?? model;
  return {
    ...model,
    parameters: withLeaves(parameters, state),
    buffers: withLeaves(buffers, state),
  };
}

/** The state dict of a model: buffers and parameters by their names; the tensors stay the model's. */
export function stateDict(model: Model): Record<string, tf.Tensor> {
  checkGiven('The model', model, 'parameters', 'buffers');
  const { buffers, parameters } = model;
  return { ...buffers, ...leaves(parameters) };
}
