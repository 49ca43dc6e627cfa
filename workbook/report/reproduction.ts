import { tableText } from '../../src/show/table.js';
import {
  allowedDifference,
  type MeasuredFigure,
  type Measurement,
  notebooks,
  type Tolerances,
  tolerancesOf,
} from '../papers/index.js';
import { claimFile, engineOf, type RecordedClaim, readClaimFile } from '../records/claim.js';
import { resultsFolder } from '../records/results-folder.js';

/**
 * What became of a committed figure in a run.
 *
 * `within`, `outside`: computed again, and judged by its tolerance, from the committed value or, where
 * one is kept of the run's processor, from that.
 * `not judged`: computed again, and no tolerance is known for it there.
 * `new`: computed, and none was committed.
 * `read`: taken from a file, and so not reproduced.
 * `missing`: the run did not record its claim.
 */
export type Outcome = 'within' | 'outside' | 'not judged' | 'new' | 'read' | 'missing';

/** A figure of the committed results beside that of a run. */
export interface ReproducedFigure {
  /** The id of its claim. */
  claim: string;
  figure: string;
  /** As it is committed; where the run's figure is the one that is kept of its processor, that. */
  committed?: number;
  /** The processor of `committed`, where it is not the one of the committed figures. */
  processor?: string;
  now?: number;
  /** The largest difference that its tolerance allows. */
  allowed?: number;
  outcome: Outcome;
  /** True for a time, or what depends on one: it has a list of its own, and is not judged. */
  timing: boolean;
}

/** The claims of some notebooks as a results folder holds them, by id. */
export type Claims = ReadonlyMap<string, RecordedClaim>;

/** What a run of notebooks records, by the notebooks' names, for example 'reports/09-design'. */
function recordedBy(names: readonly string[]): readonly Measurement[] {
  return notebooks.flatMap(({ notebook, measurements }): readonly Measurement[] =>
    names.includes(notebook) ? measurements.filter(({ apart }) => !apart) : [],
  );
}

/** The files in which a run of some notebooks records its claims. */
export function claimFiles(folder: string, names: readonly string[]): string[] {
  return recordedBy(names).map(({ id }) => claimFile(folder, id));
}

/**
 * The claims of some notebooks that a results folder holds.
 *
 * @param names of the notebooks
 * @param folder default: the committed results
 * @throws UserError for a damaged file
 */
export async function recordedClaims(
  names: readonly string[],
  folder: string = resultsFolder(),
): Promise<Claims> {
  const claims = new Map<string, RecordedClaim>();
  for (const { id } of recordedBy(names)) {
    const claim = await readClaimFile(claimFile(folder, id));
    if (claim) claims.set(id, claim);
  }
  return claims;
}

/**
 * Puts the figures of a run beside the committed ones.
 *
 * @param names of the notebooks that ran
 */
export function reproduction(
  names: readonly string[],
  committed: Claims,
  now: Claims,
): ReproducedFigure[] {
  return recordedBy(names).flatMap(({ id, figures }) => {
    const [before, after] = [committed.get(id), now.get(id)];
    const tolerances = after && tolerancesOf(engineOf(after), after.versions.precision);
    return figures.flatMap((figure): ReproducedFigure[] => {
      const value = after?.figures[figure.name];
      const known = knownValues(before, figure, after?.versions.processor);
      if (known.length === 0 && value === undefined) return [];
      const timing = figure.agreement === 'timing';
      const shared = { claim: id, figure: figure.name, timing };
      if (!after) return [{ ...shared, ...known[0], outcome: 'missing' }];
      if (value === undefined) return [{ ...shared, ...known[0], outcome: 'read' }];
      const result = { ...shared, now: value };
      if (after.read.includes(figure.name)) return [{ ...result, ...known[0], outcome: 'read' }];
      return [{ ...result, ...judged(value, known, figure, tolerances) }];
    });
  });
}

/** The figures that a run was to compute and did not, or not as they are committed. */
export function failures(figures: readonly ReproducedFigure[]): ReproducedFigure[] {
  return figures.filter(({ outcome }) => outcome === 'missing' || outcome === 'outside');
}

/** The report of a run: figures, times, and what failed. */
export function reproductionText(figures: readonly ReproducedFigure[]): string {
  const judged = figures.filter(({ timing }) => !timing);
  const times = figures.filter(({ timing }) => timing);
  const count = (outcome: Outcome) => judged.filter((one) => one.outcome === outcome).length;
  const tables = [
    ...(judged.length > 0 ? [tableText(judged.map(figureRow), { caption: 'Figures' })] : []),
    ...(times.length > 0
      ? [tableText(times.map(timeRow), { caption: 'Times, which are not judged' })]
      : []),
  ];
  const others = (['not judged', 'new', 'missing'] as const)
    .filter((outcome) => count(outcome) > 0)
    .map((outcome) => `, ${count(outcome)} ${outcome}`);
  const within = count('within');
  const summary = `${within} of ${within + count('outside')} figures that were computed again and have a tolerance are within it${others.join('')}; ${count('read')} were only read, and are not reproduced.`;
  const failed = failures(figures).map(({ claim, figure, outcome }) =>
    outcome === 'missing'
      ? `✗ ${claim}: '${figure}' was not recorded`
      : `✗ ${claim}: '${figure}' is outside its tolerance`,
  );
  return `${[...tables, [summary, ...failed].join('\n')].join('\n\n')}\n`;
}

/** A value that is kept of a figure. */
type Known = Required<Pick<ReproducedFigure, 'committed'>> & Pick<ReproducedFigure, 'processor'>;

/** The values that are kept of a figure: the committed one, then that of the run's processor. */
function knownValues(
  claim: RecordedClaim | undefined,
  { name }: MeasuredFigure,
  own: string | undefined,
): Known[] {
  const committed = claim?.figures[name];
  if (claim === undefined || committed === undefined) return [];
  const elsewhere = claim.elsewhere.flatMap(({ processor, figures }): Known[] => {
    const other = figures[name];
    return other === undefined || processor !== own ? [] : [{ committed: other, processor }];
  });
  return [{ committed }, ...elsewhere];
}

/** A figure that was computed: within its tolerance of the committed value, or of another. */
function judged(
  now: number,
  known: readonly Known[],
  { agreement }: MeasuredFigure,
  tolerances: Tolerances | undefined,
): Omit<ReproducedFigure, 'claim' | 'figure' | 'timing'> {
  const [main] = known;
  if (!main) return { outcome: 'new' };
  const allowed = (value: Known) => allowedDifference(agreement, value.committed, tolerances);
  const agrees = (value: Known) => Math.abs(now - value.committed) <= (allowed(value) ?? -1);
  const same = known.find(agrees);
  const share = allowed(same ?? main);
  if (share === undefined) return { ...main, outcome: 'not judged' };
  return { ...(same ?? main), allowed: share, outcome: same ? 'within' : 'outside' };
}

function figureRow({
  claim,
  figure,
  committed,
  processor,
  now,
  allowed,
  outcome,
}: ReproducedFigure) {
  const read = outcome === 'read' || outcome === 'missing';
  const difference =
    read || now === undefined || committed === undefined ? undefined : now - committed;
  const rough = (value: number | undefined) =>
    value === 0 ? '0' : (value?.toExponential(1) ?? '–');
  return {
    claim,
    figure,
    committed: digits(committed),
    now: digits(now),
    difference: rough(difference),
    allowed: rough(allowed),
    'computed or read': read ? outcome : 'computed',
    judgement: read ? '–' : processor ? `${outcome}, as on ${processor}` : outcome,
  };
}

function timeRow({ claim, figure, committed, now, outcome }: ReproducedFigure) {
  return {
    claim,
    figure,
    committed: digits(committed, 3),
    now: digits(now, 3),
    'now / committed': now === undefined || !committed ? '–' : digits(now / committed, 3),
    'computed or read': outcome === 'read' || outcome === 'missing' ? outcome : 'computed',
  };
}

/** A number with the digits that count, or a dash. */
function digits(value: number | undefined, count = 7): string {
  return value === undefined ? '–' : `${Number(value.toPrecision(count))}`;
}
