import { UserError } from '../../src/core/errors.js';
import type { Model } from '../../src/flow/model.js';
import type { Solver } from '../../src/sampling/index.js';
import { namedSolvers, selectiveJacobi } from '../../src/sampling/solvers/strategies.js';
import {
  type PaperScale,
  publishedFigure,
  type Row,
  tableOf,
} from '../../workbook/papers/index.js';

/** A strategy for a model, with the iterations that its paper reports. */
interface PublishedStrategy {
  name: 'SeJD' | 'GS-Jacobi';
  /** How many times as fast as the authors' loop; absent where the paper has not this model. */
  published?: number;
  /** Where its iterations are from, if not of this model. */
  note?: string;
  /** By index of a block from the data. */
  solvers(flow: Model): Solver[];
}

/** A model of which a paper reports how much faster it samples. */
export interface PublishedModel {
  /** As commands name it. */
  name: string;
  title: string;
  paper: PaperScale;
  strategies: PublishedStrategy[];
}

/** Images that are sampled together: SeJD's paper times such batches, the other one says none. */
export const publishedBatch = 256;

/** The models of both papers. */
export function publishedModels(): PublishedModel[] {
  const listed = tableOf('gs-jacobi').rows;
  const counted = tableOf('selective-jacobi-iterations').rows;
  const others = counted.filter(({ paper }) => listed.every((row) => row.paper !== paper));
  return [...listed, ...others].map(({ name, setting, paper, strategy }) => {
    if (!paper) throw new Error(`No size is known of ${name}`);
    const own = counted.find((row) => row.paper === paper);
    return {
      name: (strategy ?? name).toLowerCase(),
      title: `${name}, ${setting?.replace(', GPU', '')}`,
      paper,
      strategies: [selective(own), ...(strategy === undefined ? [] : [tuned(name, strategy)])],
    };
  });
}

/** The model of a name. */
export function publishedModel(name: string | undefined): PublishedModel {
  const found = publishedModels().find((model) => model.name === name);
  if (found) return found;
  const names = publishedModels().map((model) => model.name);
  throw new UserError(`The model is ${name}`, `Expected one of ${names.join(', ')}`);
}

/** Of the model whose iterations stand for those of models that SeJD's paper does not have. */
const standIn = 'AFHQ';

/** SeJD, with the mean iterations of each block that its paper reports, rounded up. */
function selective(row: Row | undefined): PublishedStrategy {
  const name = row?.name ?? standIn;
  return {
    name: 'SeJD',
    ...(row
      ? { published: publishedFigure('selective-jacobi', name, 'speed-up', 'SeJD').value }
      : { note: `SeJD has the iterations published of ${standIn}, since none are of this model` }),
    solvers(flow) {
      const solvers = selectiveJacobi(flow, { published: true });
      return solvers.map((solver, block) => {
        const of = `block ${solvers.length - block} in the order of sampling`;
        const iterations = 'iterations of a block';
        const { value } = publishedFigure('selective-jacobi-iterations', name, iterations, of);
        return exactly({ ...solver, maximum: Math.ceil(value) } as Solver);
      });
    },
  };
}

/** GS-Jacobi, with the segments and the most iterations of the lists that its authors tuned. */
function tuned(row: string, strategy: string): PublishedStrategy {
  return {
    name: 'GS-Jacobi',
    published: publishedFigure('gs-jacobi', row, 'speed-up', 'GS-Jacobi').value,
    solvers: (flow) => namedSolvers(flow, strategy).map(exactly),
  };
}

/** A solver that makes its most iterations, whatever the weights: a largest change is never below 0. */
function exactly(solver: Solver): Solver {
  if (solver.kind !== 'publishedGaussSeidelJacobi') return { kind: 'sequential' };
  return { ...solver, norm: 'largest', tolerance: 0 };
}
