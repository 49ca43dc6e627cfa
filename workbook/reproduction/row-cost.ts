import { randomKey } from '../../src/core/random.js';
import { ability } from '../../src/flow/flow.js';
import type { ModelConfig } from '../../src/flow/model.js';
import { familyOf } from '../../src/models/registry.js';
import { shapesOf } from '../../src/nn/specs.js';
import type { Experiment } from '../../src/training/experiment.js';

/** What a model takes, by arithmetic; nothing is allocated for it. */
export interface ModelCost {
  parameters: number;
  /** Multiplications and additions of a forward pass of one image. */
  passOperations: number;
}

/**
 * What a model takes. Counted are products with matrices of weights, once a token, and those of
 * attention over all pairs of tokens, as they are computed; what is elementwise is not.
 */
export function modelCost(config: ModelConfig): ModelCost {
  const family = familyOf(config.kind);
  const { rows, operations } = ability(family, 'flow');
  const leaves = Object.entries(shapesOf(family.specs(config, randomKey(0)).parameters)).map(
    ([name, shape]) => ({
      size: shape.reduce((size, side) => size * side, 1),
      // Tables of positions and classes are added, and not multiplied with.
      isFactor: shape.length >= 2 && !/embed/.test(name),
      // Width of a layer of attention.
      attends: name.endsWith('attention.qkv.weight') ? (shape[1] as number) : 0,
    }),
  );
  const sizeOf = (some: typeof leaves) => some.reduce((sum, { size }) => sum + size, 0);
  const tokens = rows(config);
  const weights = sizeOf(leaves.filter(({ isFactor }) => isFactor));
  const attended = leaves.reduce((sum, { attends }) => sum + attends, 0);
  return {
    parameters: sizeOf(leaves),
    passOperations: operations?.(config) ?? 2 * tokens * weights + 4 * tokens ** 2 * attended,
  };
}

/** What a row takes before a figure stands there. */
export interface RowCost extends ModelCost {
  /** Of the whole training; 0 with given weights. */
  trainingOperations: number;
  /** Of all samples that are drawn, each once; a second time where they are guided. */
  samplingOperations: number;
  /** Bytes of parameters, gradients and both moments while it trains. */
  stateBytes: number;
}

/**
 * What a row takes, by arithmetic: a training step is three forward passes.
 *
 * @param plan how many trainings there are, how many samples in all, and whether those are guided
 */
export function rowCost(
  { config, settings }: Experiment,
  { trainings, samples, guided }: { trainings: number; samples: number; guided: boolean },
): RowCost {
  const cost = modelCost(config);
  return {
    ...cost,
    trainingOperations: trainings * 3 * cost.passOperations * settings.batchSize * settings.steps,
    samplingOperations: cost.passOperations * samples * (guided ? 2 : 1),
    stateBytes: 16 * cost.parameters,
  };
}
