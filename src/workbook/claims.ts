import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { z } from 'zod';
import { currentEngine } from '../backend/engine.js';
import { UserError } from '../backend/errors.js';
import { readBytes, writeAtomically } from '../backend/files.js';
import { inQuickMode } from './quick.js';
import { packageRoot, resultsFolder } from './results-folder.js';

/** One number that a claim stands on. What we measured and what a paper reports never mix. */
export interface Figure {
  /** For example 'bits per dimension, test split'. Unique within its claim. */
  name: string;
  /** What was measured here; absent where this run did not measure it. */
  value?: number | undefined;
  /** For example 'bits/dim', 'nats', 's', 'images/s'; '' for a plain number. */
  unit: string;
  /** What a paper reports for the same quantity, and where. */
  published?: { value: number; source: string };
}

/** A claim of a paper, and what a notebook measured of it. */
export interface ClaimInput {
  /** Names the file: lower-case letters, digits and hyphens. */
  id: string;
  title: string;
  /** One sentence. */
  claim: string;
  figures: Figure[];
  /** Everything that makes the run repeatable, JSON-able. */
  configuration: Record<string, unknown>;
  seed: number;
  /** What it took, for example `{ seconds: 84, cores: 2 }`. */
  cost: Record<string, number | string>;
  /** What a reader types to get the figures. */
  command: string;
}

/** A recorded claim: with what it ran on, and when. */
export interface Claim extends ClaimInput {
  versions: { tarflow: string; engine: string; node: string };
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
 * Writes a claim's figures to `results/claims/<id>.json`. A figure without a value keeps the one
 * that the file holds; when no figure has a value, so do configuration, seed, cost, command,
 * versions and date, which tell of the run that measured. Under TARFLOW_QUICK=1 nothing is written.
 *
 * @returns the claim as recorded
 * @throws UserError for an id that is no file name, a value that is not finite, a figure that
 *   comes twice, before `startEngine`, or when the file cannot be written
 */
export async function recordClaim(input: ClaimInput): Promise<Claim> {
  check(input);
  const old = await readClaim(input.id);
  const measured = input.figures.some(({ value }) => value !== undefined);
  const figures = input.figures.map((figure) => {
    const value = figure.value ?? old?.figures.find(({ name }) => name === figure.name)?.value;
    return { ...figure, value };
  });
  const { configuration, seed, cost, command } = measured || !old ? input : old;
  const engine = currentEngine();
  const now = {
    versions: {
      tarflow: await packageVersion(),
      engine: `${engine.engine} (${engine.version})`,
      node: process.version,
    },
    date: new Date().toISOString(),
  };
  const { versions, date } = measured || !old ? now : old;
  const claim: Claim = { ...input, figures, configuration, seed, cost, command, versions, date };
  if (!inQuickMode()) {
    const json = `${JSON.stringify(withSortedKeys(claim), null, 2)}\n`;
    await writeAtomically(claimFile(input.id), json);
  }
  return claim;
}

/**
 * A claim as its file holds it, or undefined where there is none.
 * @throws UserError when the file is not one that {@link recordClaim} writes
 */
export async function readClaim(id: string): Promise<Claim | undefined> {
  const file = claimFile(id);
  const present = await fs.stat(file).catch(() => undefined);
  if (!present) return undefined;
  try {
    return claimSchema.parse(JSON.parse(Buffer.from(await readBytes(file)).toString('utf8')));
  } catch (error) {
    if (error instanceof UserError) throw error;
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new UserError(
      `${file} is not a recorded claim (${reason})`,
      'Delete it and run the notebook that writes it',
    );
  }
}

/**
 * All recorded figures as rows of a table, ours and the papers' in columns of their own.
 *
 * @param ids of the claims wanted, in the order wanted; every recorded claim by id where absent
 * @throws UserError for a claim that is not recorded
 */
export async function resultsTable(ids?: readonly string[]): Promise<ResultRow[]> {
  const wanted = ids ?? (await recordedIds());
  const rows: ResultRow[] = [];
  for (const id of wanted) {
    const claim = await readClaim(id);
    if (!claim) {
      throw new UserError(`No claim '${id}' is recorded`, 'Run the notebook that records it');
    }
    for (const { name, unit, value, published } of claim.figures) {
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

function claimFile(id: string): string {
  return path.join(resultsFolder(), 'claims', `${id}.json`);
}

async function recordedIds(): Promise<string[]> {
  const names = await fs.readdir(path.join(resultsFolder(), 'claims')).catch(() => []);
  return names
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length))
    .sort();
}

async function packageVersion(): Promise<string> {
  const bytes = await readBytes(path.join(packageRoot(), 'package.json'));
  return (JSON.parse(Buffer.from(bytes).toString('utf8')) as { version: string }).version;
}

function check({ id, figures }: ClaimInput): void {
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(id)) {
    throw new UserError(
      `A claim's id is '${id}'`,
      'Expected lower-case letters, digits and hyphens; it names a file',
    );
  }
  const names = new Set<string>();
  for (const { name, value } of figures) {
    if (names.has(name)) {
      throw new UserError(
        `Claim ${id} has the figure '${name}' twice`,
        'Expected one of each name',
      );
    }
    names.add(name);
    if (value !== undefined && !Number.isFinite(value)) {
      throw new UserError(
        `Claim ${id}: the figure '${name}' is ${value}`,
        'Expected a finite number, or undefined where it was not measured',
      );
    }
  }
}

/** The same content in one order, so that a change of the file is a change of the results. */
function withSortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withSortedKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, withSortedKeys(item)]));
}

const claimSchema: z.ZodType<Claim> = z.object({
  id: z.string(),
  title: z.string(),
  claim: z.string(),
  figures: z.array(
    z.object({
      name: z.string(),
      value: z.number().optional(),
      unit: z.string(),
      published: z.object({ value: z.number(), source: z.string() }).optional(),
    }),
  ),
  configuration: z.record(z.string(), z.unknown()),
  seed: z.number(),
  cost: z.record(z.string(), z.union([z.number(), z.string()])),
  command: z.string(),
  versions: z.object({ tarflow: z.string(), engine: z.string(), node: z.string() }),
  date: z.string(),
});
