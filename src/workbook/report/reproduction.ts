import type { EngineName } from '../../backend/engine.js';
import {
  type MeasuredFigure,
  type Measurement,
  measurements,
  type Tolerances,
  tolerancesOf,
} from '../../papers/index.js';
import { claimFile, type RecordedClaim, readClaimFile } from '../claims.js';
import { resultsFolder } from '../results-folder.js';
import { tableText } from '../table.js';

/**
 * What became of a committed figure in a run.
 *
 * `within`, `outside`: computed again, and judged by its tolerance.
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
  committed?: number;
  now?: number;
  /** The largest difference that its tolerance allows. */
  allowed?: number;
  outcome: Outcome;
  /** True for a time, or what depends on one: it has a list of its own, and is not judged. */
  timing: boolean;
}

/** The claims of some notebooks as a results folder holds them, by id. */
export type Claims = ReadonlyMap<string, RecordedClaim>;

/** The claims that notebooks record, by the notebooks' numbers, for example '02'. */
function recordedBy(notebooks: readonly string[]): Measurement[] {
  return measurements.filter(({ id }) => notebooks.some((number) => id.startsWith(`${number}-`)));
}

/** The files in which a run of some notebooks records its claims. */
export function claimFiles(folder: string, notebooks: readonly string[]): string[] {
  return recordedBy(notebooks).map(({ id }) => claimFile(folder, id));
}

/**
 * The claims of some notebooks that a results folder holds.
 *
 * @param notebooks their numbers
 * @param folder default: the committed results
 * @throws UserError for a damaged file
 */
export async function recordedClaims(
  notebooks: readonly string[],
  folder: string = resultsFolder(),
): Promise<Claims> {
  const claims = new Map<string, RecordedClaim>();
  for (const measurement of recordedBy(notebooks)) {
    const claim = await readClaimFile(measurement, claimFile(folder, measurement.id));
    if (claim) claims.set(measurement.id, claim);
  }
  return claims;
}

/**
 * Puts the figures of a run beside the committed ones.
 *
 * @param notebooks the numbers of those that ran
 * @param trained true where the run trained the models anew, which nothing is known of
 */
export function reproduction(
  notebooks: readonly string[],
  committed: Claims,
  now: Claims,
  trained = false,
): ReproducedFigure[] {
  return recordedBy(notebooks).flatMap(({ id, figures }) => {
    const [before, after] = [committed.get(id), now.get(id)];
    const tolerances = after && tolerancesOf(engineOf(after), after.versions.precision);
    return figures.flatMap((figure): ReproducedFigure[] => {
      const values = { committed: figureValue(before, figure), now: figureValue(after, figure) };
      if (values.committed === undefined && values.now === undefined) return [];
      const share =
        trained && figure.agreement === 'computed' ? undefined : shareOf(tolerances, figure);
      return [
        {
          claim: id,
          figure: figure.name,
          ...defined(values),
          ...judged(values, after?.read.includes(figure.name), share),
          timing: figure.agreement === 'timing',
        },
      ];
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

function judged(
  { committed, now }: { committed: number | undefined; now: number | undefined },
  read: boolean | undefined,
  share: number | undefined,
): Pick<ReproducedFigure, 'allowed' | 'outcome'> {
  if (read === undefined) return { outcome: 'missing' };
  if (read || now === undefined) return { outcome: 'read' };
  if (committed === undefined) return { outcome: 'new' };
  if (share === undefined) return { outcome: 'not judged' };
  const allowed = share * Math.abs(committed);
  return { allowed, outcome: Math.abs(now - committed) <= allowed ? 'within' : 'outside' };
}

function shareOf(
  tolerances: Tolerances | undefined,
  { agreement }: MeasuredFigure,
): number | undefined {
  return agreement === 'timing' ? undefined : tolerances?.[agreement];
}

function figureValue(
  claim: RecordedClaim | undefined,
  { name }: MeasuredFigure,
): number | undefined {
  return claim?.figures.find((figure) => figure.name === name)?.value;
}

/** The engine that a claim ran on: its versions name it with the version behind. */
function engineOf({ versions }: RecordedClaim): EngineName {
  return versions.engine.split(' ')[0] as EngineName;
}

function defined({ committed, now }: { committed: number | undefined; now: number | undefined }) {
  return {
    ...(committed !== undefined && { committed }),
    ...(now !== undefined && { now }),
  };
}

function figureRow({ claim, figure, committed, now, allowed, outcome }: ReproducedFigure) {
  const computed = outcome === 'read' || outcome === 'missing' ? undefined : now;
  const difference =
    computed === undefined || committed === undefined ? undefined : computed - committed;
  return {
    claim: claim,
    figure: figure,
    committed: digits(committed),
    now: digits(now),
    difference: difference === 0 ? '0' : (difference?.toExponential(1) ?? '–'),
    allowed: allowed === 0 ? '0' : (allowed?.toExponential(1) ?? '–'),
    'computed or read': computed === undefined ? outcome : 'computed',
    judgement: computed === undefined ? '–' : outcome,
  };
}

function timeRow({ claim, figure, committed, now, outcome }: ReproducedFigure) {
  return {
    claim: claim,
    figure: figure,
    committed: digits(committed, 3),
    now: digits(now, 3),
    'now / committed':
      now === undefined || committed === undefined ? '–' : digits(now / committed, 3),
    'computed or read': outcome === 'read' || outcome === 'missing' ? outcome : 'computed',
  };
}

/** A number with the digits that count, or a dash. */
function digits(value: number | undefined, count = 7): string {
  return value === undefined ? '–' : `${Number(value.toPrecision(count))}`;
}
