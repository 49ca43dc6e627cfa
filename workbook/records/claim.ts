import * as path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { currentEngine, type EngineName } from '../../src/core/engine.js';
import { UserError } from '../../src/core/errors.js';
import { readBytes } from '../../src/core/files.js';
import { packageRoot } from '../../src/core/package-root.js';
import { currentMachine } from '../../src/sampling/planner/machine.js';
import {
  allowedDifference,
  commandOf,
  type FigureName,
  type Measurement,
  type MeasurementId,
  measurements,
  publishedOf,
  tolerancesOf,
} from '../papers/index.js';
import { type RecordOf, readRecord, writeRecord } from './record.js';
import { inQuickMode, inScratch, inShortRun, resultFile, resultsFolder } from './results-folder.js';
import { weightsAskedFor } from './training-run.js';

type Named<T> = Readonly<Record<string, T | undefined>>;

/** Figures by name, before their claim is known; undefined where one was not measured. */
export type Figures = Record<string, number | undefined>;

/** Figures of a claim by name: a misspelt name does not compile. */
export type FiguresOf<Id extends MeasurementId> = Readonly<
  Partial<Record<FigureName<Id>, number | undefined>>
>;

/** What a notebook tells of its figures. */
export interface ClaimDetails<Name extends string = string>
  extends Pick<RecordedClaim, 'configuration' | 'seed' | 'cost'> {
  /** What was measured or chosen besides figures; unlike the configuration it may change. */
  found?: RecordedClaim['found'];
  /** Figures that were taken from files of `results/`, and not computed: by name. */
  read?: Readonly<Partial<Record<Name, number | undefined>>>;
  /** Standard errors of figures, by name. */
  errors?: Readonly<Partial<Record<Name, number | undefined>>>;
  /**
   * How many images, samples or trainings figures are of, for example '3 × 200 samples': one text for
   * all that this call gives but counts and times, or by name.
   */
  n?: string | Readonly<Partial<Record<Name, string | undefined>>>;
}

/** A recorded claim: its figures, in the order of `workbook/papers`, what it ran on, and when. */
export type RecordedClaim = RecordOf<'claim'>;

/** A line of the table of results. */
export interface ResultRow {
  claim: string;
  figure: string;
  ours: number | null;
  published: number | null;
  source: string;
  command: string;
}

/** The figures of several things, such as models or settings, in one record. */
export function figuresOf<T>(things: readonly T[], figures: (thing: T) => Figures): Figures {
  return Object.fromEntries(things.flatMap((thing) => Object.entries(figures(thing))));
}

/** What this process recorded where it must not touch the evidence. */
const ownClaims = new Map<string, RecordedClaim>();

/**
 * Writes the figures that a notebook measured to `claims/<id>.json` in the folder of
 * {@link resultFile}. In `scratch/` they stand alone; in a run of the workbook they go on from what
 * is committed: a figure without a value keeps the committed one and counts as read, as those
 * of `read` do; when no figure has a value, so do configuration, seed, weights, cost, versions and
 * date, which tell of the run that measured. Where another kind of processor had measured the same
 * configuration with the same seed and weights, its figures that differ by more than their tolerance
 * are kept in `elsewhere`. A claim from before weights were written down is compared without them.
 * Where `results/` itself is written, a claim of another configuration than the committed one is refused.
 * In a short run a figure that is of another number of samples than the committed one keeps the
 * committed one, too, and the claim its configuration, seed, cost and date. Under TARFLOW_QUICK=1
 * nothing is written.
 *
 * @param id of a measurement in `workbook/papers/measurements`, which says what its figures are
 * @param figures the numbers that this run computed, by name
 * @returns the claim as recorded
 * @throws UserError for a measurement or figure that is not declared there, a value that is not
 *   finite, a configuration that has changed, before `startEngine`, or when the file cannot be written
 */
export function recordClaim<const Id extends MeasurementId>(
  id: Id,
  figures: FiguresOf<Id>,
  details: ClaimDetails<FigureName<Id>>,
): Promise<RecordedClaim>;
export async function recordClaim(
  id: string,
  computed: Figures,
  { read = {}, errors = {}, n = {}, ...details }: ClaimDetails,
): Promise<RecordedClaim> {
  const measurement = measurementOf(id);
  const counts = typeof n === 'string' ? countsOf(measurement, { ...read, ...computed }, n) : n;
  for (const named of [computed, read, errors]) check(measurement, named);
  for (const name of Object.keys(counts)) known(measurement, name);
  const old = inScratch() ? undefined : await readClaimFile(committedFile(id));
  const figures = old && inShortRun() ? ofSameCounts(old, computed, counts) : computed;
  const ours = withoutAbsent({ ...read, ...withoutAbsent(figures) });
  const isShort = Object.keys(figures).length < Object.keys(computed).length;
  const measured = Object.keys(ours).length > 0;
  const here = old && !measured ? old : { found: {}, ...details, ...(await thisRun()) };
  if (old && writtenFile(id) === committedFile(id)) refuseChange(old, here.configuration);
  // What a short run did compute is judged by what it ran on.
  const run = old && isShort ? { ...old, weights: here.weights, versions: here.versions } : here;
  // A figure that keeps its value keeps what was said of it.
  const inOrder = <T>(now: Named<T>, before: Named<T> = {}): Record<string, T> => {
    const names = measurement.figures.map(({ name }) => name);
    const entries = names.map((name) => [name, (name in ours ? now : before)[name]]);
    return withoutAbsent(Object.fromEntries(entries));
  };
  const values = inOrder(ours, old?.figures);
  const claim: RecordedClaim = {
    id,
    title: measurement.title,
    command: commandOf(measurement),
    figures: values,
    errors: inOrder(errors, old?.errors),
    n: inOrder(counts, old?.n),
    read: Object.keys(values).filter((name) => figures[name] === undefined),
    configuration: withSortedKeys(run.configuration),
    found: withSortedKeys(run.found),
    seed: run.seed,
    ...(run.weights && { weights: withSortedKeys(run.weights) }),
    cost: withSortedKeys(run.cost),
    versions: withSortedKeys(run.versions),
    elsewhere: [],
    date: run.date,
  };
  if (old) claim.elsewhere = otherProcessors(measurement, old, claim);
  if (!inQuickMode()) await writeRecord<'claim'>(writtenFile(id), withoutEmpty(claim));
  if (inScratch()) ownClaims.set(id, claim);
  return claim;
}

/**
 * A claim as this process, or the run of the workbook that it is part of, recorded it, else as
 * `results/` holds it; undefined where it was never recorded.
 *
 * @throws UserError for a measurement that is not declared, and when the file is not one that
 *   {@link recordClaim} writes
 */
export async function readClaim(id: MeasurementId): Promise<RecordedClaim | undefined> {
  measurementOf(id);
  const written = inScratch() ? ownClaims.get(id) : await readClaimFile(writtenFile(id));
  return written ?? readClaimFile(committedFile(id));
}

/**
 * Recorded figures as rows of a table, ours and the papers' in columns of their own. A figure that
 * nothing measured yet has a row only where a paper reports it.
 *
 * @param ids of the claims wanted, in the order wanted; every recorded claim where absent
 * @throws UserError for a claim that is not recorded
 */
export async function resultsTable(ids?: readonly MeasurementId[]): Promise<ResultRow[]> {
  const rows: ResultRow[] = [];
  for (const id of ids ?? measurements.map((measurement) => measurement.id)) {
    const claim = await readClaim(id);
    if (!claim && ids === undefined) continue;
    if (!claim) {
      throw new UserError(`No claim '${id}' is recorded`, 'Run the notebook that records it');
    }
    const measurement = measurementOf(id);
    for (const figure of measurement.figures) {
      const { name, unit } = figure;
      const [ours, published] = [claim.figures[name], publishedOf(figure)];
      if (ours === undefined && !published) continue;
      rows.push({
        claim: measurement.title,
        figure: unit === '' ? name : `${name} (${unit})`,
        ours: ours ?? null,
        published: published?.value ?? null,
        source: published?.source ?? '',
        command: commandOf(measurement),
      });
    }
  }
  return rows;
}

/**
 * What other kinds of processors had measured of a claim, once it is measured again: the figures of
 * the run before that this run does not give within their tolerance, and those of earlier ones.
 */
function otherProcessors(
  { figures }: Measurement,
  before: RecordedClaim,
  now: RecordedClaim,
): RecordedClaim['elsewhere'] {
  // Another version of ours or of the engine may be the cause of a difference.
  const description = ({ configuration, seed, versions, ...claim }: RecordedClaim): string => {
    const { tarflow, engine, precision } = versions;
    const weights = before.weights && claim.weights;
    const run = { configuration, seed, weights, tarflow, engine, precision };
    return JSON.stringify(withSortedKeys(run));
  };
  if (description(before) !== description(now)) return [];
  const earlier = before.elsewhere.filter(({ processor }) => processor !== now.versions.processor);
  const { processor } = before.versions;
  if (processor === undefined || processor === now.versions.processor) return earlier;
  const tolerances = tolerancesOf(engineOf(before), before.versions.precision);
  const differing = figures.flatMap(({ name, agreement }): [string, number][] => {
    if (before.read.includes(name) || now.read.includes(name)) return [];
    const [was, is] = [before.figures[name], now.figures[name]];
    if (was === undefined || is === undefined) return [];
    const allowed = allowedDifference(agreement, was, tolerances);
    return allowed !== undefined && Math.abs(is - was) > allowed ? [[name, was]] : [];
  });
  if (differing.length === 0) return earlier;
  return [...earlier, { processor, figures: Object.fromEntries(differing) }];
}

/** @throws UserError that names what is not as it was in a configuration */
function refuseChange({ id, configuration }: RecordedClaim, now: unknown): void {
  // As it would be read back.
  const changes = changesBetween(configuration, JSON.parse(JSON.stringify(now)));
  if (changes.length === 0) return;
  throw new UserError(
    `The configuration of '${id}' is not that of the record (${changes.join('; ')})`,
    `Undo the change, or delete ${committedFile(id)}, and the claim is recorded anew`,
  );
}

/** 'training.steps was 2000 and is 300', for each field that differs. */
function changesBetween(before: unknown, now: unknown, name = ''): string[] {
  if (isDeepStrictEqual(before, now)) return [];
  if (!isRecord(before) || !isRecord(now)) {
    const [was, is] = [before, now].map((value) => JSON.stringify(value) ?? 'absent');
    return [`${name} was ${was} and is ${is}`];
  }
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  return [...names].flatMap((key) =>
    changesBetween(before[key], now[key], name === '' ? key : `${name}.${key}`),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The engine that a claim ran on: its versions name it with the version behind. */
export function engineOf({ versions }: RecordedClaim): EngineName {
  return versions.engine.split(' ')[0] as EngineName;
}

/** The claim of a file, or undefined where there is none. */
export function readClaimFile(file: string): Promise<RecordedClaim | undefined> {
  return readRecord('claim', file);
}

/** The file of a claim in a results folder. */
export function claimFile(folder: string, id: string): string {
  return path.join(folder, 'claims', `${id}.json`);
}

const committedFile = (id: string): string => claimFile(resultsFolder(), id);
const writtenFile = (id: string): string => resultFile(path.join('claims', `${id}.json`));

function measurementOf(id: string): Measurement {
  const found = measurements.find((measurement) => measurement.id === id);
  if (found) return found;
  throw new UserError(
    `There is no measurement '${id}'`,
    `Add it to workbook/papers/measurements, or take one of ${measurements.map((one) => one.id).join(', ')}`,
  );
}

/** One text for all figures of a call that are neither counts nor times. */
function countsOf({ figures }: Measurement, named: Figures, n: string): Record<string, string> {
  const counted = figures.filter(({ name, agreement }) => {
    return named[name] !== undefined && agreement !== 'exact' && agreement !== 'timing';
  });
  return Object.fromEntries(counted.map(({ name }) => [name, n]));
}

/**
 * The figures that are of as many samples as the committed ones. Where one is not, those that say no
 * number (counts and times) are left out as well.
 */
function ofSameCounts(old: RecordedClaim, computed: Figures, counts: Named<string>): Figures {
  const names = Object.keys(computed);
  const same = names.filter((name) => counts[name] === old.n[name]);
  const kept =
    same.length === names.length ? same : same.filter((name) => counts[name] !== undefined);
  return Object.fromEntries(kept.map((name) => [name, computed[name]]));
}

function known({ id, figures }: Measurement, name: string): void {
  if (figures.some((figure) => figure.name === name)) return;
  throw new UserError(
    `Claim ${id} has no figure '${name}'`,
    'Add it to workbook/papers/measurements, or correct the name',
  );
}

function check(measurement: Measurement, named: Figures): void {
  for (const [name, value] of Object.entries(named)) {
    known(measurement, name);
    if (value !== undefined && !Number.isFinite(value)) {
      throw new UserError(
        `Claim ${measurement.id}: the figure '${name}' is ${value}`,
        'Expected a finite number, or undefined where it was not measured',
      );
    }
  }
}

function withoutAbsent<T>(named: Named<T>): Record<string, T> {
  return Object.fromEntries(
    Object.entries(named).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** What is said of a run that measures. */
async function thisRun(): Promise<Pick<RecordedClaim, 'weights' | 'versions' | 'date'>> {
  const { engine, version, gpu } = currentEngine();
  const inTf32 = engine === 'tensorflow' && gpu && process.env.NVIDIA_TF32_OVERRIDE !== '0';
  const bytes = await readBytes(path.join(packageRoot(), 'package.json'));
  const { version: tarflow } = JSON.parse(Buffer.from(bytes).toString('utf8'));
  return {
    weights: await weightsAskedFor(),
    versions: {
      tarflow,
      engine: `${engine} (${version})`,
      node: process.version,
      precision: inTf32 ? 'tf32' : 'float32',
      processor: currentMachine().device,
    },
    date: new Date().toISOString(),
  };
}

/** A claim as its file holds it: what is empty is left out. */
function withoutEmpty({ errors, n, found, elsewhere, ...claim }: RecordedClaim) {
  const filled = <T extends object>(value: T) =>
    Object.keys(value).length > 0 ? value : undefined;
  const { id, title, command, figures, read, configuration, date, ...rest } = claim;
  const stated = { id, title, command, figures, errors: filled(errors), n: filled(n), read };
  return {
    ...stated,
    configuration,
    found: filled(found),
    ...rest,
    elsewhere: filled(elsewhere),
    date,
  };
}

/** A change of the file is then a change of the results. */
function withSortedKeys<T>(value: T): T {
  const sorted = (_: string, part: unknown): unknown => {
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  return JSON.parse(JSON.stringify(value, sorted));
}
