import { mean, quantile } from '../../src/evaluation/statistics.js';
import type { BlockStudyRow } from '../records/record.js';
import type { Outcome } from './paper-claim.js';

/** The rules of S2, S3 and S4, as `results/rules.md` says them. */

type Rows = readonly BlockStudyRow[];

/** The flows that the rules are about; with fewer all is open. */
const flows = 10;

/** S2: the block inverted first takes at most half of the steps, and the others on average a quarter. */
export const fewIterations = (rows: Rows): Outcome =>
  everyModel(rows, (blocks) => {
    const steps = blocks[0]!.tokens - 1;
    const of = (first: boolean) =>
      mean(blocks.filter((row) => row.first === first).map(({ latent }) => latent.mean));
    return of(true) <= steps / 2 && of(false) <= steps / 4;
  });

/** S2: in nine of ten blocks of ten iterations or more, an iteration gains a tenth more digits at the end. */
export const superlinear = (rows: Rows): Outcome =>
  shareOf(
    rows.filter(({ factors }) => factors.iterations >= 10),
    ({ factors: { early, late } }) =>
      early !== null && late !== null && Math.log(late) < 1.1 * Math.log(early),
    (share) => share >= 0.9,
  );

/** S3: the toughest block of each flow takes at least twice the median of the others. */
export const blocksDiffer = (rows: Rows): Outcome =>
  everyModel(rows, (blocks) => {
    const [most = 0, ...others] = blocks.map(({ latent }) => latent.mean).sort((a, b) => b - a);
    return most >= 2 * quantile(others, 0.5);
  });

/** S3: CRM names the toughest block, of nine in ten flows or of half. */
export const crmTells = (rows: Rows): Outcome =>
  shareOf(
    byModel(rows),
    (blocks) => most(blocks, ({ crm }) => crm) === most(blocks, ({ latent }) => latent.mean),
    nineInTenOrHalf,
  );

/** S4: of blocks whose starts differ, IGM names the quicker one, of nine in ten or of half. */
export const igmIsQuicker = (rows: Rows): Outcome =>
  shareOf(
    rows.filter(({ zerosLessLatent: { mean: by, error } }) => Math.abs(by) > 2 * error),
    ({ igm, zerosLessLatent }) => (igm.says === 'zeros') === zerosLessLatent.mean < 0,
    nineInTenOrHalf,
  );

/** S4: fewer samples overflow from IGM's start than from the other one, in flows of uniform noise. */
export function igmOverflowsLess(rows: Rows): Outcome {
  const uniform = rows.filter(({ noise }) => noise === 'uniform');
  const other = { latent: 'zeros', zeros: 'latent' } as const;
  const sum = (of: (row: BlockStudyRow) => number) =>
    uniform.reduce((total, row) => total + of(row), 0);
  const [named, left] = [
    sum((row) => row[row.igm.says].notFinite),
    sum((row) => row[other[row.igm.says]].notFinite),
  ];
  return named + left === 0 ? undefined : named < left;
}

function byModel(rows: Rows): BlockStudyRow[][] {
  const models = [...new Set(rows.map(({ model }) => model))];
  return models.map((model) => rows.filter((row) => row.model === model));
}

function everyModel(rows: Rows, holds: (blocks: BlockStudyRow[]) => boolean): Outcome {
  return byModel(rows).length < flows ? undefined : byModel(rows).every(holds);
}

function shareOf<T>(
  items: readonly T[],
  is: (item: T) => boolean,
  rule: (share: number) => Outcome,
): Outcome {
  return items.length === 0 ? undefined : rule(items.filter(is).length / items.length);
}

function nineInTenOrHalf(share: number): Outcome {
  if (share >= 0.9) return true;
  return share <= 0.5 ? false : undefined;
}

/** The block with the largest value. */
function most(blocks: Rows, of: (row: BlockStudyRow) => number): number | undefined {
  return [...blocks].sort((one, other) => of(other) - of(one))[0]?.block;
}
