import { meanWithError } from '../../src/evaluation/statistics.js';
import type { EditingRecord } from '../records/record.js';
import type { Outcome, Recorded } from './paper-claim.js';

/** The rules of P4, as `results/rules.md` says them. */

/** What P4's pictures are of. */
export const inpaintedParts = ['clothes, exact', 'clothes, right half', 'emoji, right half'];

type Rows = EditingRecord['inpainting'];
type Measure = 'psnr' | 'distance' | 'diversity';

/** The mean of a measure over images, drawn or pasted. */
export const inpaintingMean = (rows: Rows, where: string, how: Rows[number]['how'], of: Measure) =>
  recorded(rows.filter((row) => row.where === where && row.how === how).map((row) => row[of]));

/** P4: drawn given the rest, pictures are nearer to the image than pasted ones, in pixels and features. */
export const fillsIn = (rows: Rows): Outcome =>
  inParts(rows, (own) => {
    const gained = (of: Measure) =>
      recorded(
        own('drawn').map((row, i) => {
          const by = row[of] - own('pasted')[i]![of];
          return of === 'distance' ? -by : by;
        }),
      );
    return isAbove(gained('psnr')) && isAbove(gained('distance'));
  });

/** P4: pictures of one image differ at least half as much as pasted ones. */
export const varied = (rows: Rows): Outcome =>
  inParts(rows, (own) => {
    const mean = (how: 'drawn' | 'pasted') => recorded(own(how).map((row) => row.diversity)).value;
    return mean('drawn') >= mean('pasted') / 2;
  });

/** P4: the classifier is surer of middles in noise than of means of pixels. */
export const middlesGain = (rows: EditingRecord['middles']): Recorded =>
  recorded(rows.map(({ noise, pixels }) => noise - pixels));

/** P4: the share of images with another label that the classifier puts there. */
export const inNewClass = (rows: EditingRecord['styles']): Recorded =>
  recorded(rows.map(({ to, guess }) => Number(to === guess)));

/** Whether a figure is above a bound by two errors; undefined where it is too near. */
export function isAbove({ value, error = Number.NaN }: Recorded, bound = 0): Outcome {
  if (value - 2 * error > bound) return true;
  return value + 2 * error < bound ? false : undefined;
}

function recorded(values: readonly number[]): Recorded {
  const { mean, standardError } = meanWithError(values);
  return { value: mean, error: standardError };
}

/** Whether something is so in all parts, or in some; open where one was not measured. */
function inParts(rows: Rows, isSo: (own: (how: Rows[number]['how']) => Rows) => Outcome): Outcome {
  const own = (where: string) => (how: Rows[number]['how']) =>
    rows.filter((row) => row.where === where && row.how === how);
  if (inpaintedParts.some((where) => own(where)('drawn').length < 2)) return undefined;
  const so = inpaintedParts.filter((where) => isSo(own(where)) === true).length;
  return so === inpaintedParts.length || (so > 0 && 'in part');
}
