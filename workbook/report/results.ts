import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { packageRoot } from '../../src/core/package-root.js';
import { formatValue } from '../../src/show/table.js';
import { claims } from '../claims/claims.js';
import { recordedEvidence } from '../claims/evidence.js';
import { type Claim, type JudgedPart, judge, lacksRecord } from '../claims/paper-claim.js';
import { experiments, runNotes } from '../experiments/index.js';
import {
  commandOf,
  type Measurement,
  measurements,
  type Notebook,
  notebooks,
  publishedOf,
} from '../papers/index.js';
import { type RecordedClaim, readClaim } from '../records/claim.js';
import { readResult } from '../records/record.js';
import { resultsFolder } from '../records/results-folder.js';
import { findCommittedRun, readCommittedRun } from '../records/training-run.js';
import { markdownTable, oursText, publishedText } from './markdown.js';

/** What a newcomer reads in a minute: every claim that was measured with its verdict, and the others by name. */
export async function summaryTable(): Promise<string> {
  const evidence = await recordedEvidence();
  const judged = claims.map((claim) => ({ ...claim, ...judge(claim, evidence) }));
  const measured = judged.filter(({ verdict }) => verdict !== 'not measured yet');
  const open = judged.filter((claim) => !measured.includes(claim));
  return [
    markdownTable(measured.map((one) => ({ claim: nameOf(one), verdict: verdictText(one) }))),
    `Not measured yet: ${open.map(nameOf).join(', ')}.`,
  ].join('\n\n');
}

function nameOf({ id, title }: Claim): string {
  return `${id} ${title}`;
}

/** A verdict, and what holds where not all does; what holds in part is named where nothing holds whole. */
function verdictText({ verdict, parts }: ReturnType<typeof judge>): string {
  if (verdict !== 'holds in part') return verdict;
  const whole = parts.filter(({ outcome }) => outcome === true).map(({ part }) => part);
  const partly = parts.filter(({ outcome }) => outcome === 'in part');
  const holding = whole.length > 0 ? whole : partly.map(({ part }) => `${part} (partly)`);
  return `${verdict}: ${holding.join(', ')}`;
}

/**
 * Claims with their verdicts, what was measured, and the rules, as a table in Markdown.
 *
 * @param ids of the claims that are wanted; default all, with links to their records
 */
export async function verdictTable(ids?: readonly string[]): Promise<string> {
  const evidence = await recordedEvidence();
  const chosen = ids === undefined ? claims : claims.filter(({ id }) => ids.includes(id));
  const rows = chosen.map(async (claim) => {
    const judged = judge(claim, evidence);
    return {
      '': claim.id,
      claim: claim.claim,
      verdict: `**${verdictText(judged)}**`,
      'measured here': lacksRecord(claim, evidence) ? '' : await oursText(claim.ours ?? []),
      published: publishedText(claim.published ?? []),
      'the rule': judged.parts.map(ruleText).join(' '),
      ...(ids === undefined && { records: recordLinks(claim) }),
    };
  });
  return markdownTable(await Promise.all(rows));
}

function recordLinks({ measurements: ids, tables = [], accelerations = [], files = [] }: Claim) {
  return [
    ...ids.map((id) => `[${id}](claims/${id}.json)`),
    ...tables.map((id) => `[table ${id}](tables/${id}-workbook.json)`),
    ...accelerations.map((id) => `[${id}](acceleration/${id}.json)`),
    ...files
      .filter((file) => existsSync(path.join(resultsFolder(), file)))
      .map((file) => `[${path.basename(file, '.json')}](${file})`),
  ].join(', ');
}

/** The rule of a part, its outcome, and what would settle it where it is open. */
function ruleText({ part, rule, outcome, toSettle }: JudgedPart): string {
  const answers = { true: 'yes', false: 'no', 'in part': 'in part', undefined: 'open' };
  const answer = answers[`${outcome}`];
  const named = part === undefined ? rule : `*${part}: ${answer}.* ${rule}`;
  const open = outcome === undefined && toSettle !== undefined;
  return open ? `${named} To settle it: ${toSettle}.` : named;
}

/** Every figure of `results/claims/`, with what it was measured by. */
export async function figureTables(): Promise<string> {
  const sections = measurements.map(async (measurement) => {
    const claim = await readClaim(measurement.id);
    return claim ? figureSection(measurement, claim) : '';
  });
  return (await Promise.all(sections)).filter((section) => section !== '').join('\n\n');
}

/** The committed runs that are not called as their experiments are, with the noise that those leave open. */
const runsOfNoise: Readonly<Record<string, string>> = {
  'fashion-mnist-noise': 'fashion-mnist-gaussian-0.1-seed-1',
  'emoji-noise': 'emoji-gaussian-0.1-seed-1',
};

/** What each experiment is expected to give: the last held-out loss of the run that is committed. */
export async function expectationTable(): Promise<string> {
  const rows = experiments.map(async ({ name }) => {
    const run = findCommittedRun(runsOfNoise[name] ?? name) ?? findCommittedRun(`${name}-seed-1`);
    if (run === undefined) return [];
    const { records } = await readCommittedRun(run);
    const losses = records.flatMap(({ validation }) => validation?.loss ?? []);
    const loss = formatValue(losses.at(-1));
    return [
      {
        experiment: `\`${name}\``,
        'held-out loss, nats per dimension': loss,
        note: runNotes[name] ?? '',
      },
    ];
  });
  return markdownTable((await Promise.all(rows)).flat());
}

function figureSection(measurement: Measurement, claim: RecordedClaim): string {
  const { id, title } = measurement;
  const rows = measurement.figures.flatMap((figure) => {
    const { name, unit } = figure;
    const [value, error, published] = [
      claim.figures[name],
      claim.errors[name],
      publishedOf(figure),
    ];
    if (value === undefined && !published) return [];
    return {
      figure: claim.read.includes(name) ? `${name} (read)` : name,
      unit,
      ours: formatValue(value),
      '± standard error': error === undefined ? '' : formatValue(error),
      n: claim.n[name] ?? '',
      published: published ? `${published.value}` : '',
      source: published?.source ?? '',
    };
  });
  // Columns that hold nothing tell nothing.
  const kept = (
    ['figure', 'unit', 'ours', '± standard error', 'n', 'published', 'source'] as const
  ).filter((column) => column === 'unit' || rows.some((row) => row[column] !== ''));
  const table = markdownTable(
    rows.map((row) => Object.fromEntries(kept.map((column) => [column, row[column]]))),
  );
  const cost = Object.entries(claim.cost)
    .map(([what, amount]) => `${what} ${amount}`)
    .join(', ');
  const { engine, precision, processor } = claim.versions;
  const on = [engine, precision, ...(processor === undefined ? [] : [processor])].join(', ');
  const others = claim.elsewhere.map(
    (other) =>
      `\n\nOn another kind of processor (${other.processor}): ${Object.entries(other.figures)
        .map(([name, value]) => `${name}: ${formatValue(value)}`)
        .join('; ')}.`,
  );
  return `### ${title}

Claim: ${measurement.claim} \`${commandOf(measurement)}\`, seed ${claim.seed}; ${cost}; ${on}, ${claim.date.slice(0, 10)} ([configuration](claims/${id}.json)).

${table}${others.join('')}`;
}

const timesSchema = z.record(z.string(), z.record(z.string(), z.number()));

/** The notebooks: what each asks, the claims that it measures, and the minutes of a default run. */
export async function notebookTable(): Promise<string> {
  const rows = (await notebookRows()).map(({ name, number, question, claims, minutes }) => ({
    notebook: `[${number}](notebooks/${name}.ipynb)`,
    ...{ 'what it asks': question, claims, minutes },
  }));
  return markdownTable(rows);
}

/** The same for the page that JupyterLab opens with: what each fetches in the place of its claims. */
export async function startTable(): Promise<string> {
  const rows = (await notebookRows()).map(async ({ name, number, question, minutes }) => ({
    notebook: `[${number}](${name}.ipynb)`,
    ...{ 'what it asks': question, 'what it fetches': await fetchedBy(name), minutes },
  }));
  return markdownTable(await Promise.all(rows));
}

async function notebookRows() {
  const times = await readResult(timesSchema, 'cell-times-short.json');
  return (notebooks as readonly Notebook[]).map(
    ({ notebook: name, question, measurements, tables, accelerations, claims }) => {
      const number = `report ${Number.parseInt(name.slice('reports/'.length), 10)}`;
      const ids = measurements.map(({ id }) => id);
      const seconds = Object.values(times[`${name}.ipynb`] ?? {}).reduce(
        (sum, cell) => sum + cell,
        0,
      );
      const minutes = `${Math.max(1, Math.round(seconds / 60))}`;
      const told = claims ?? claimsOf(ids, tables, accelerations);
      return { name, number, question, claims: told.join(', '), minutes };
    },
  );
}

/** 'emoji, minilm: 220 MB', from the call of `fetchData` in a notebook. */
async function fetchedBy(name: string): Promise<string> {
  const text = await readFile(path.join(packageRoot(), 'notebooks', `${name}.ipynb`), 'utf8');
  const [, given = ''] = /\bfetchData\((.*?)\)/.exec(text) ?? [];
  const names = [...given.matchAll(/'(.+?)'/g)].map(([, each = '']) => each);
  const script = path.join(packageRoot(), 'data-scripts', 'commands', 'data.mjs');
  const { data }: { data: Record<string, { megabytes: number }> } = await import(
    pathToFileURL(script).href
  );
  const megabytes = names.reduce((sum, each) => sum + (data[each]?.megabytes ?? 0), 0);
  return names.length > 0 ? `${names.join(', ')}: ${megabytes} MB` : '';
}

/** The claims to which what a notebook measures belongs, by their letters and numbers. */
function claimsOf(
  measured: readonly string[],
  tables: readonly string[] = [],
  accelerations: readonly string[] = [],
): string[] {
  return claims
    .filter(({ ours }) => ours !== undefined)
    .filter(
      (claim) =>
        claim.measurements.some((id) => measured.includes(id)) ||
        claim.tables?.some((table) => tables.includes(table)) ||
        claim.accelerations?.some((file) => accelerations.includes(file)),
    )
    .map(({ id }) => id);
}
