import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { z } from 'zod';
import { currentEngine, type EngineName } from '../src/core/engine.js';
import { UserError } from '../src/core/errors.js';
import { readBytes, writeAtomically } from '../src/core/files.js';
import { packageRoot } from '../src/core/package-root.js';
import { currentMachine } from '../src/sampling/planner/machine.js';
import { weightsAskedFor } from './committed-run.js';
import {
  allowedDifference,
  type ComputedIn,
  type Measurement,
  measurements,
  tolerancesOf,
} from './papers/index.js';
import { inQuickMode } from './quick.js';
import { resultFile, resultsFolder } from './results-folder.js';

/** One number of a recorded claim. What we measured and what a paper reports never mix. */
export interface RecordedFigure {
  name: string;
  /** What was measured here; absent where nothing measured it yet. */
  value?: number;
  /** For example 'bits/dim'; '' for a plain number. */
  unit: string;
  /** Its standard error. */
  error?: number;
  /** How many images, samples or trainings it is of, for example '3 × 200 samples'. */
  n?: string;
  /** What a paper reports for the same quantity, and where. */
  published?: { value: number; source: string };
}

/** What a notebook tells of its figures. */
export interface ClaimDetails {
  /** Everything that makes the run repeatable, JSON-able. */
  configuration: Record<string, unknown>;
  seed: number;
  /** What it took, for example `{ seconds: 84, cores: 2 }`. */
  cost: Record<string, number | string>;
  /** Figures that were taken from files of `results/`, and not computed: by name. */
  read?: Readonly<Record<string, number | undefined>>;
  /** Standard errors of figures, by name. */
  errors?: Readonly<Record<string, number | undefined>>;
  /**
   * How many images, samples or trainings figures are of, for example '3 × 200 samples': one text for
   * all that this call gives but counts and times, or by name.
   */
  n?: string | Readonly<Record<string, string | undefined>>;
}

/** Figures as another kind of processor gave them, where they differ by more than their tolerance. */
export interface OtherProcessor {
  processor: string;
  /** By name. */
  figures: Readonly<Record<string, number>>;
}

/** A recorded claim: what `src/papers` says of it, its figures, what it ran on, and when. */
export interface RecordedClaim extends Omit<ClaimDetails, 'read' | 'errors' | 'n'> {
  id: string;
  title: string;
  /** One sentence. */
  claim: string;
  /** What a reader types to get the figures. */
  command: string;
  figures: RecordedFigure[];
  /** The figures that the last run did not compute. */
  read: string[];
  /**
   * The trained models that the notebook had asked for, each with the first 16 hexadecimal digits of
   * its file's SHA-256, since a model may be trained on under its name; absent where it was not
   * written down.
   */
  weights?: Readonly<Record<string, string>>;
  versions: {
    tarflow: string;
    engine: string;
    node: string;
    precision: ComputedIn;
    /** The processor, or the graphics device; absent where it was not written down. */
    processor?: string;
  };
  /** The same configuration, seed and weights on other kinds of processors. */
  elsewhere: OtherProcessor[];
  /** ISO 8601, of the run that measured a figure last. */
  date: string;
}

/** A line of the table of results. */
export interface ResultRow {
  claim: string;
  figure: string;
  ours: number | null;
  published: number | null;
  source: string;
  command: string;
}

/**
 * Writes the figures that a notebook measured to `results/claims/<id>.json`, or to the folder of
 * {@link resultFile}. A figure without a value keeps the committed one and counts as read, as those
 * of `read` do; when no figure has a value, so do configuration, seed, weights, cost, versions and
 * date, which tell of the run that measured. Where another kind of processor had measured the same
 * configuration with the same seed and weights, its figures that differ by more than their tolerance
 * are kept in `elsewhere`. A claim from before weights were written down is compared without them.
 * Under TARFLOW_QUICK=1 nothing is written.
 *
 * @param id of a measurement in `src/papers/measurements`, which says what its figures are
 * @param figures the numbers that this run computed, by name
 * @returns the claim as recorded
 * @throws UserError for a measurement or figure that `src/papers` does not know, a value that is not
 *   finite, before `startEngine`, or when the file cannot be written
 */
export async function recordClaim(
  id: string,
  figures: Readonly<Record<string, number | undefined>>,
  { read = {}, errors = {}, n = {}, ...details }: ClaimDetails,
): Promise<RecordedClaim> {
  const measurement = measurementOf(id);
  const counts = typeof n === 'string' ? countsOf(measurement, { ...read, ...figures }, n) : n;
  for (const named of [figures, read, errors]) check(measurement, named);
  for (const name of Object.keys(counts)) known(measurement, name);
  const old = await readClaimFile(measurement, committedFile(id));
  const given = { ...read, ...withoutAbsent(figures) };
  const measured = Object.values(given).some((value) => value !== undefined);
  const run = measured || !old ? { ...details, ...(await thisRun()) } : old;
  const values = new Map<string, number>();
  for (const { name } of measurement.figures) {
    const value = given[name] ?? old?.figures.find((figure) => figure.name === name)?.value;
    if (value !== undefined) values.set(name, value);
  }
  const claim: RecordedClaim = {
    ...describe(measurement, values, spreadOf(old, given, { errors, n: counts })),
    read: [...values.keys()].filter((name) => figures[name] === undefined),
    configuration: run.configuration,
    seed: run.seed,
    ...(run.weights && { weights: run.weights }),
    cost: run.cost,
    versions: run.versions,
    elsewhere: [],
    date: run.date,
  };
  claim.elsewhere = old === undefined ? [] : otherProcessors(measurement, old, claim);
  if (!inQuickMode()) await writeAtomically(writtenFile(id), fileText(claim));
  return claim;
}

/**
 * A claim as it was recorded last, or undefined where it never was: by this run where it has a
 * folder of its own, else as `results/` holds it.
 *
 * @throws UserError for a measurement that `src/papers` does not know, and when the file is not one
 *   that {@link recordClaim} writes
 */
export async function readClaim(id: string): Promise<RecordedClaim | undefined> {
  const measurement = measurementOf(id);
  const written = await readClaimFile(measurement, writtenFile(id));
  return written ?? readClaimFile(measurement, committedFile(id));
}

/**
 * Recorded figures as rows of a table, ours and the papers' in columns of their own. A figure that
 * nothing measured yet has a row only where a paper reports it.
 *
 * @param ids of the claims wanted, in the order wanted; every recorded claim where absent
 * @throws UserError for a claim that is not recorded
 */
export async function resultsTable(ids?: readonly string[]): Promise<ResultRow[]> {
  const rows: ResultRow[] = [];
  for (const id of ids ?? measurements.map((measurement) => measurement.id)) {
    const claim = await readClaim(id);
    if (!claim && ids === undefined) continue;
    if (!claim) {
      throw new UserError(`No claim '${id}' is recorded`, 'Run the notebook that records it');
    }
    for (const { name, unit, value, published } of claim.figures) {
      if (value === undefined && !published) continue;
      rows.push({
        claim: claim.title,
        figure: unit === '' ? name : `${name} (${unit})`,
        ours: value ?? null,
        published: published?.value ?? null,
        source: published?.source ?? '',
        command: claim.command,
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
): OtherProcessor[] {
  // Another version of ours or of the engine may be the cause of a difference.
  const told = ({ configuration, seed, versions, ...claim }: RecordedClaim): string => {
    const { tarflow, engine, precision } = versions;
    const weights = before.weights && claim.weights;
    const run = { configuration, seed, weights, tarflow, engine, precision };
    return JSON.stringify(withSortedKeys(run));
  };
  if (told(before) !== told(now)) return [];
  const earlier = before.elsewhere.filter(({ processor }) => processor !== now.versions.processor);
  const { processor } = before.versions;
  if (processor === undefined || processor === now.versions.processor) return earlier;
  const tolerances = tolerancesOf(engineOf(before), before.versions.precision);
  const differing = figures.flatMap(({ name, agreement }): [string, number][] => {
    if (before.read.includes(name) || now.read.includes(name)) return [];
    const [was, is] = [before, now].map((claim) => figureValue(claim, name));
    if (was === undefined || is === undefined) return [];
    const allowed = allowedDifference(agreement, was, tolerances);
    return allowed !== undefined && Math.abs(is - was) > allowed ? [[name, was]] : [];
  });
  if (differing.length === 0) return earlier;
  return [...earlier, { processor, figures: Object.fromEntries(differing) }];
}

/** A figure of a claim by name; undefined where it has no value, or the claim is absent. */
export function figureValue(claim: RecordedClaim | undefined, name: string): number | undefined {
  return claim?.figures.find((figure) => figure.name === name)?.value;
}

/** The engine that a claim ran on: its versions name it with the version behind. */
export function engineOf({ versions }: RecordedClaim): EngineName {
  return versions.engine.split(' ')[0] as EngineName;
}

/** The claim of a file, or undefined where there is none. */
export async function readClaimFile(
  measurement: Measurement,
  file: string,
): Promise<RecordedClaim | undefined> {
  const present = await fs.stat(file).catch(() => undefined);
  if (!present) return undefined;
  try {
    const text = Buffer.from(await readBytes(file)).toString('utf8');
    const content = fileSchema.parse(JSON.parse(text));
    const { figures, read, errors, n, title: _, command: __, ...run } = content;
    const values = new Map(Object.entries(figures));
    return { ...run, ...describe(measurement, values, { errors, n }), read };
  } catch (error) {
    if (error instanceof UserError) throw error;
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new UserError(
      `${file} is not a recorded claim (${reason})`,
      'Delete it and run the notebook that writes it',
    );
  }
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
    `Add it to src/papers/measurements, or take one of ${measurements.map((one) => one.id).join(', ')}`,
  );
}

/** Standard errors and numbers by the names of figures. */
interface Spread {
  errors: Readonly<Record<string, number | undefined>>;
  n: Readonly<Record<string, string | undefined>>;
}

/** Of a figure that this run gives what it says of it; of one that keeps its value, what it had. */
function spreadOf(
  before: RecordedClaim | undefined,
  given: Readonly<Record<string, number | undefined>>,
  { errors, n }: Spread,
): Spread {
  const kept: Record<string, number | undefined> = {};
  const counts: Record<string, string | undefined> = {};
  for (const figure of before?.figures ?? []) {
    kept[figure.name] = figure.error;
    counts[figure.name] = figure.n;
  }
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    kept[name] = errors[name];
    counts[name] = n[name];
  }
  return { errors: kept, n: counts };
}

/** One text for all given figures that are neither counts nor times. */
function countsOf(
  { figures }: Measurement,
  given: Readonly<Record<string, number | undefined>>,
  n: string,
): Record<string, string> {
  return Object.fromEntries(
    figures
      .filter(({ name, agreement }) => {
        return given[name] !== undefined && agreement !== 'exact' && agreement !== 'timing';
      })
      .map(({ name }) => [name, n]),
  );
}

function describe(
  { id, title, claim, command, figures }: Measurement,
  values: ReadonlyMap<string, number>,
  { errors, n }: Spread,
): Pick<RecordedClaim, 'id' | 'title' | 'claim' | 'command' | 'figures'> {
  const described = figures.map(({ name, unit, published }): RecordedFigure => {
    const value = values.get(name);
    return {
      name,
      ...(value !== undefined && { value }),
      unit,
      ...(value !== undefined && errors[name] !== undefined && { error: errors[name] }),
      ...(value !== undefined && n[name] !== undefined && { n: n[name] }),
      ...(published && { published }),
    };
  });
  return { id, title, claim, command, figures: described };
}

function known({ id, figures }: Measurement, name: string): void {
  if (figures.some((figure) => figure.name === name)) return;
  throw new UserError(
    `Claim ${id} has no figure '${name}'`,
    'Add it to src/papers/measurements, or correct the name',
  );
}

function check(
  measurement: Measurement,
  named: Readonly<Record<string, number | undefined>>,
): void {
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

function withoutAbsent(figures: Readonly<Record<string, number | undefined>>) {
  return Object.fromEntries(Object.entries(figures).filter(([, value]) => value !== undefined));
}

/** What a run that measures is told by. */
async function thisRun(): Promise<Pick<RecordedClaim, 'weights' | 'versions' | 'date'>> {
  const { engine, version, gpu } = currentEngine();
  const rounded = engine === 'tensorflow' && gpu && process.env.NVIDIA_TF32_OVERRIDE !== '0';
  const bytes = await readBytes(path.join(packageRoot(), 'package.json'));
  const { version: tarflow } = JSON.parse(Buffer.from(bytes).toString('utf8'));
  return {
    weights: await weightsAskedFor(),
    versions: {
      tarflow,
      engine: `${engine} (${version})`,
      node: process.version,
      precision: rounded ? 'tf32' : 'float32',
      processor: currentMachine().device,
    },
    date: new Date().toISOString(),
  };
}

/**
 * Figures in their order, everything else sorted, so that a change of the file is a change of the
 * results. Title and command are there for whoever opens it; `src/papers` says them.
 */
function fileText({ id, title, command, figures, read, ...run }: RecordedClaim): string {
  const { configuration, seed, weights, cost, versions, elsewhere, date } = run;
  const values = figures.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]]));
  const errors = figures.flatMap(({ name, error }) => (error === undefined ? [] : [[name, error]]));
  const counts = figures.flatMap(({ name, n }) => (n === undefined ? [] : [[name, n]]));
  const content = {
    ...{ id, title, command, figures: Object.fromEntries(values) },
    ...(errors.length > 0 && { errors: Object.fromEntries(errors) }),
    ...(counts.length > 0 && { n: Object.fromEntries(counts) }),
    read,
    ...{ configuration: withSortedKeys(configuration), seed },
    ...(weights && { weights: withSortedKeys(weights) }),
    cost: withSortedKeys(cost),
    versions: withSortedKeys(versions),
    ...(elsewhere.length > 0 && { elsewhere }),
    date,
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}

function withSortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withSortedKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, withSortedKeys(item)]));
}

const fileSchema = z.strictObject({
  id: z.string(),
  title: z.string(),
  command: z.string(),
  figures: z.record(z.string(), z.number()),
  errors: z.record(z.string(), z.number()).default({}),
  n: z.record(z.string(), z.string()).default({}),
  read: z.array(z.string()),
  configuration: z.record(z.string(), z.unknown()),
  seed: z.number(),
  weights: z.record(z.string(), z.string()).optional(),
  cost: z.record(z.string(), z.union([z.number(), z.string()])),
  versions: z.strictObject({
    tarflow: z.string(),
    engine: z.string(),
    node: z.string(),
    precision: z.enum(['float32', 'tf32', 'bfloat16']),
    processor: z.string().optional(),
  }),
  elsewhere: z
    .array(z.strictObject({ processor: z.string(), figures: z.record(z.string(), z.number()) }))
    .default([]),
  date: z.string(),
});
