import { UserError, unknownName } from '../../core/errors.js';
import type { Model } from '../../flow/model.js';
import { blocksOf } from '../../flow/model.js';
import {
  type PublishedLists,
  publishedJacobi,
  selectively,
  solversOfLists,
} from './published/published.js';
import type { IterationSettings } from './solver-settings.js';
import { type Solver, solverDefinitions, solversOfBlocks } from './solvers.js';

/**
 * Selective Jacobi decoding: the block inverted first token by token, since it depends most on near
 * tokens, and all others by Jacobi iterations (Zhang et al. 2025, arXiv 2505.24791, algorithm 1).
 *
 * The published rule stops at a largest change of 0.5, measured on images of range 2 whose
 * intermediate values reach ±3; where values are smaller, it stops too early.
 *
 * @param settings of the Jacobi iterations, those of our own by default; `published` reruns the
 *   paper's: one stop for the batch, at a largest change below 0.5, from zeros
 * @returns a solver per block, by index from the data
 * @throws UserError for a model without blocks
 *
 * @example
 * ```ts
 * import { createModel, sample, selectiveJacobi, startEngine } from 'tarflow';
 *
 * await startEngine();
 * const image = { channels: 1, height: 8, width: 8 };
 * const size = { patchSize: 2, channels: 32, blocks: 2, layersPerBlock: 1, headWidth: 32 };
 * const config = { kind: 'tarflow', image, ...size, classes: 2, volumePreserving: false } as const;
 * const flow = createModel(config, 1);
 * const solver = selectiveJacobi(flow, { tolerance: 1e-3 });
 * const images = await sample(flow, { count: 1, label: 1, solver });
 * console.log(images.shape); // [ 1, 1, 8, 8 ]
 * ```
 */
export function selectiveJacobi(
  model: Model,
  settings: IterationSettings & { published?: boolean } = {},
): Solver[] {
  const { published = false, ...iteration } = settings;
  return selectively<Solver>(blocksOf(model), (block) =>
    published ? publishedJacobi(block, iteration) : { kind: 'jacobi', ...iteration },
  );
}

/**
 * Solvers from lists as the published code takes them (Liu and Qin 2025, arXiv 2505.12849). That code
 * leaves the first segment of the block inverted eighth unsolved; this is not reproduced here.
 *
 * @returns a solver per block, by index from the data
 * @throws UserError where a list's length is not the number of blocks
 */
export function publishedSolvers(model: Model, lists: PublishedLists): Solver[] {
  return solversOfLists(blocksOf(model), lists);
}

/** The names that {@link namedSolvers} knows. */
export function strategyNames(): string[] {
  return solverDefinitions().flatMap(({ strategies }) => Object.keys(strategies ?? {}));
}

/**
 * The solvers of a strategy: those of Liu and Qin 2025 (arXiv 2505.12849) by the name of the model that
 * each was tuned for; `SeJD`, Selective Jacobi Decoding with the published rule (Zhang et al. 2025, arXiv
 * 2505.24791); and those that a registered solver names.
 *
 * @returns a solver per block, by index from the data
 * @throws UserError for an unknown name, and where the strategy does not fit the model
 */
export function namedSolvers(model: Model, name: string): Solver[] {
  const blocks = blocksOf(model);
  const owner = solverDefinitions().find(({ strategies }) => Object.hasOwn(strategies ?? {}, name));
  const strategy = owner?.strategies?.[name];
  if (!strategy) throw unknownName('published strategy', name, strategyNames());
  try {
    return [...solversOfBlocks(blocks, strategy(blocks))];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      `The strategy ${name} does not fit: ${error.problem}`,
      `${error.remedy}; 'tarflow plan' finds solvers for any model`,
    );
  }
}
