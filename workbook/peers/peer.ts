import { callCompiled } from '@tarflow/graph';
import { contextTensors, type NamedContext, numbered } from '../../src/conditions/context.js';
import { modeOf } from '../../src/core/engine.js';
import { checkCount, UserError } from '../../src/core/errors.js';
import { foldIn, normalInto, type RandomKey, randomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import { grouped, type Leaves, leaves, type Tree } from '../../src/core/tree.js';
import type { Model, ModelConfig } from '../../src/flow/model.js';
import { modelSpec } from '../../src/training/model-spec.js';

/** What samples of a peer are made for. */
export interface PeerSampling extends Pick<NamedContext, 'label'> {
  count: number;
  /** The same seed gives the same samples. */
  seed: number;
  /** Steps of the sampler, where it has them. */
  steps?: number | undefined;
  /** Weight w of u + w·(u − u without label), where a model can be guided. Default 0. */
  guidance?: number | undefined;
}

/**
 * Mixtures of classes (rows, classes) of labels by their numbers or names; none where the model has no classes.
 *
 * @returns a new tensor, which the caller frees
 * @throws UserError for labels that do not fit the model or the number of samples
 */
export function classesOf(
  model: Model,
  label: NamedContext['label'],
  rows: number,
): { classes?: tf.Tensor2D } {
  const given = model.config.classes > 0 && label === undefined ? -1 : label;
  const { classes } = contextTensors(model.config, numbered(model, { label: given }), rows);
  return classes ? { classes } : {};
}

/**
 * Standard normal numbers of some samples, `size` for each, row by row.
 *
 * @param keys one per sample
 */
export function noiseFeed(keys: readonly RandomKey[], purpose: string, size: number): Float32Array {
  const numbers = new Float32Array(keys.length * size);
  keys.forEach((key, sample) => {
    normalInto(foldIn(key, purpose), numbers, sample * size, size);
  });
  return numbers;
}

/** Those of rows (rows, …) that are numbered from 0. */
export function noiseRows<const S extends tf.Shape>(
  seed: number,
  purpose: string,
  shape: S,
): tf.Ranked[S['length']] {
  const [rows = 0, ...rest] = shape;
  const keys = Array.from({ length: rows }, (_, row) => foldIn(randomKey(seed), row));
  const size = rest.reduce((product, side) => product * side, 1);
  return tf.reshape(tf.tensor1d(noiseFeed(keys, purpose, size)), shape);
}

/**
 * A pure function of a peer and of tensors, on the native engine as one graph, which is recorded at the first
 * call for a shape.
 *
 * @param of depends on its arguments and on `depends` alone
 * @returns what it returns, which the caller frees
 */
export function evaluated<C extends ModelConfig, P extends Tree, R extends Leaves>(
  name: string,
  { family, config, parameters, buffers }: Model<C, P>,
  inputs: Leaves,
  of: (model: Model<C, P>, inputs: Leaves) => R,
  depends?: unknown,
): R {
  const spec = modelSpec(family, config);
  return callCompiled({
    name,
    description: [config, depends, String(of)],
    parameters: leaves({ parameters, buffers }),
    inputs,
    body: (tensors, given) => {
      const held = grouped(tensors);
      return of(spec.model(held.parameters ?? {}, held.buffers ?? {}), given);
    },
    mode: modeOf(),
  });
}

/**
 * Checks what samples are asked for.
 * @throws UserError for a wrong count, and for steps or guidance where the model has none
 */
export function checkSampling(
  { family: { kind } }: Pick<Model, 'family'>,
  { count, steps, guidance }: PeerSampling,
  takes: { steps?: boolean; guidance?: boolean } = {},
): void {
  checkCount('The number of samples', count);
  if (steps !== undefined && !takes.steps) {
    throw new UserError(
      `${steps} steps came for a model of kind '${kind}'`,
      'Its samples take no steps: leave them out',
    );
  }
  if (steps !== undefined) checkCount('The number of steps', steps);
  if (guidance !== undefined && !takes.guidance) {
    throw new UserError(
      `Guidance came for a model of kind '${kind}'`,
      'It is not guided: leave guidance out',
    );
  }
  if (guidance !== undefined && !(guidance >= 0)) {
    throw new UserError(`The guidance is ${guidance}`, 'Expected a number of at least 0');
  }
}

/**
 * Checks the noise of a training.
 * @throws UserError for another kind, with what the model reads
 */
export function checkNoise(
  came: { kind: string },
  expected: 'uniform' | 'none',
  reads: string,
): void {
  if (came.kind === expected) return;
  throw new UserError(`${reads}, and ${came.kind} noise came`, `Set noise=${expected}`);
}
