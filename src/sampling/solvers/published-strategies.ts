import { UserError } from '../../core/errors.js';
import { blocksOf } from '../../flow/flow.js';
import type { Model } from '../../flow/model.js';
import { type Solver, selectiveJacobi, solversOfBlocks } from './solver.js';

/** The lists of the published code, in the order of sampling: entry 0 is the block inverted first. */
export interface PublishedLists {
  /** Segments; 0, or as many as there are tokens, is sequential. */
  segments: readonly number[];
  /** Most iterations on a segment. */
  maximum: readonly number[];
  /** 1 starts at zeros, 0 at the latent. */
  zeros: readonly number[];
  /** Bound on the change by its Frobenius norm. Default 1e-6, as published. */
  tolerance?: number;
  /** Default 3, as published; `Infinity` is none. */
  clamp?: number;
}

/**
 * Solvers from lists as the published code takes them (Liu and Qin 2025, arXiv 2505.12849). That code
 * leaves the first segment of the block inverted eighth unsolved; this is not reproduced here.
 *
 * @returns a solver per block, by index from the data
 * @throws UserError where a list's length is not the number of blocks
 */
export function publishedSolvers(model: Model, lists: PublishedLists): Solver[] {
  const { segments, maximum, zeros, tolerance = 1e-6, clamp = 3 } = lists;
  const blocks = blocksOf(model);
  for (const [name, list] of Object.entries({ segments, maximum, zeros })) {
    if (list.length !== blocks.length) {
      throw new UserError(
        `The list ${name} has ${list.length} entries`,
        `This model has ${blocks.length} blocks, the one inverted first is entry 0`,
      );
    }
  }
  return blocks.map(({ tokens }, block): Solver => {
    const entry = blocks.length - 1 - block;
    const count = segments[entry] as number;
    if (count === 0 || count === tokens) return { kind: 'sequential' };
    return {
      kind: 'publishedGaussSeidelJacobi',
      segments: count,
      maximum: maximum[entry] as number,
      start: zeros[entry] === 1 ? 'zeros' : 'latent',
      norm: 'frobenius',
      tolerance,
      ...(Number.isFinite(clamp) && { clamp }),
    };
  });
}

/**
 * The strategies of Liu and Qin 2025, each tuned for one published model of eight blocks; the names
 * are those of the models.
 */
export const publishedStrategies: Readonly<Record<string, PublishedLists>> = {
  Img128cond: {
    segments: [1, 8, 1, 1, 1, 1, 1, 1],
    maximum: [10, 32, 10, 10, 10, 10, 10, 10],
    zeros: [0, 1, 0, 0, 0, 0, 1, 0],
  },
  AFHQ: {
    segments: [8, 1, 1, 1, 1, 1, 1, 1],
    maximum: [32, 10, 10, 10, 10, 10, 10, 10],
    zeros: [0, 0, 0, 0, 0, 1, 1, 0],
  },
  Img64uncond: {
    segments: [1, 8, 1, 1, 1, 1, 1, 8],
    maximum: [20, 32, 20, 20, 20, 20, 20, 32],
    zeros: [0, 1, 0, 0, 1, 0, 1, 1],
  },
  Img64cond: {
    segments: [8, 1, 1, 1, 1, 1, 1, 0],
    maximum: [13, 6, 6, 6, 6, 6, 6, 1],
    zeros: [1, 0, 0, 0, 0, 1, 1, 1],
  },
};

/** The names that {@link namedSolvers} knows. */
export const strategyNames: readonly string[] = [...Object.keys(publishedStrategies), 'SeJD'];

/**
 * The solvers of a published strategy: those of Liu and Qin 2025 (arXiv 2505.12849) by the name of
 * the model that each was tuned for, and `SeJD`, Selective Jacobi Decoding with the published rule
 * (Zhang et al. 2025, arXiv 2505.24791).
 *
 * @returns a solver per block, by index from the data
 * @throws UserError for an unknown name, and where the strategy does not fit the model
 */
export function namedSolvers(model: Model, name: string): Solver[] {
  const lists = Object.hasOwn(publishedStrategies, name) ? publishedStrategies[name] : undefined;
  if (!lists && name !== 'SeJD') {
    throw new UserError(
      `There is no published strategy '${name}'`,
      `Expected one of ${strategyNames.join(', ')}`,
    );
  }
  try {
    const solvers = lists
      ? publishedSolvers(model, lists)
      : selectiveJacobi(model, { published: true });
    return [...solversOfBlocks(blocksOf(model), solvers)];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      `The strategy ${name} does not fit: ${error.problem}`,
      `${error.remedy}; 'tarflow plan' finds solvers for any model`,
    );
  }
}
