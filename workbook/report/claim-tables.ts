import { readdir } from 'node:fs/promises';
import * as path from 'node:path';
import { z } from 'zod';
import { readBytes } from '../../src/core/files.js';
import { formatValue } from '../../src/show/table.js';
import { type RecordedClaim, readClaim } from '../claims.js';
import { readCommittedRun } from '../committed-run.js';
import { type Claim, expectations, measurements, papers } from '../papers/index.js';
import { resultsFolder } from '../results-folder.js';
import { markdownTable, ourFigure, oursText, publishedText } from './markdown.js';

const claims = papers.flatMap((paper) => paper.claims);

/** The most rows of the summary; further claims, first those that nothing decides, stand below it. */
const summaryRows = 15;

/** The results that a newcomer reads in two minutes: claim, published, ours, verdict. */
export async function summaryTable(): Promise<string> {
  const told = claims.filter(({ ours }) => ours !== undefined);
  const isOpen = ({ verdict }: Claim) => verdict === 'cannot be told at this size';
  const ranked = [...told.filter((claim) => !isOpen(claim)), ...told.filter(isOpen)];
  // The first row is that of conformance.
  const places = new Set(ranked.slice(0, summaryRows - 1));
  const shown = told.filter((claim) => places.has(claim));
  const rows = await Promise.all(
    shown.map(async (claim) => ({
      claim: `${claim.id} ${claim.title}`,
      published: publishedText(claim.published ?? []),
      ours: await oursText(claim.ours ?? []),
      verdict: verdictText(claim),
    })),
  );
  const open = claims.filter((claim) => !told.includes(claim));
  return [
    markdownTable([await conformanceRow(), ...rows]),
    ...byVerdict(ranked.slice(summaryRows - 1)),
    `Not measured yet: ${open.map(nameOf).join(', ')}.`,
  ].join('\n\n');
}

function nameOf({ id, title }: Claim): string {
  return `${id} ${title}`;
}

/** A line for each verdict, with the claims that have it. */
function byVerdict(told: readonly Claim[]): string[] {
  return [...new Set(told.map(verdictText))].map((verdict) => {
    const names = told.filter((claim) => verdictText(claim) === verdict).map(nameOf);
    const said = `${verdict.charAt(0).toUpperCase()}${verdict.slice(1)}`;
    return `${said} ([figures and reasons](results/README.md#verdicts)): ${names.join('; ')}.`;
  });
}

/** All claims with their verdicts, and why. */
export async function verdictTable(): Promise<string> {
  const rows = claims.map(async (claim) => ({
    '': claim.id,
    claim: claim.claim,
    verdict: verdictText(claim),
    why: await oursText(claim.reason),
    figures: claim.measurements.map((id) => `[${id}](claims/${id}.json)`).join(', '),
  }));
  return markdownTable(await Promise.all(rows));
}

/** Every figure of `results/claims/`, with what it was measured by. */
export async function figureTables(): Promise<string> {
  const sections = measurements.map(async ({ id }) => {
    const claim = await readClaim(id);
    return claim ? figureSection(claim) : '';
  });
  return (await Promise.all(sections)).filter((section) => section !== '').join('\n\n');
}

/** What each experiment is expected to give. */
export async function expectationTable(): Promise<string> {
  const rows = expectations.map(async ({ experiment, what, from, note }) => ({
    experiment: `\`${experiment}\``,
    figure: what,
    expected: 'run' in from ? await lastLoss(from.run) : await ourFigure({ ...from, decimals: 3 }),
    note: note ?? '',
  }));
  return markdownTable(await Promise.all(rows));
}

function verdictText({ verdict, scope }: Claim): string {
  return scope === undefined ? verdict : `${verdict}, ${scope}`;
}

const conformanceSchema = z.object({
  files: z.array(z.object({ rows: z.array(z.object({ pass: z.boolean() })) })),
});

/** How many tensors of the published code agree, on the engine on which fewest do. */
async function conformanceRow(): Promise<Record<string, string>> {
  const folder = path.join(resultsFolder(), 'conformance');
  const engines = (await readdir(folder)).filter((name) => name.endsWith('.json')).sort();
  const counts = await Promise.all(
    engines.map(async (name) => {
      const text = Buffer.from(await readBytes(path.join(folder, name))).toString('utf8');
      const rows = conformanceSchema.parse(JSON.parse(text)).files.flatMap((file) => file.rows);
      return { passed: rows.filter(({ pass }) => pass).length, all: rows.length };
    }),
  );
  const fewest = counts.reduce((least, one) => (one.passed < least.passed ? one : least));
  return {
    claim: 'the library is the published model',
    published: 'outputs of the authors’ code',
    ours: `${fewest.passed} of ${fewest.all} tensors agree on each of ${engines.length} engines`,
    verdict: fewest.passed === fewest.all ? 'holds' : 'does not hold here',
  };
}

function figureSection(claim: RecordedClaim): string {
  const rows = claim.figures
    .filter(({ value, published }) => value !== undefined || published)
    .map(({ name, value, unit, error, n, published }) => ({
      figure: claim.read.includes(name) ? `${name} (read)` : name,
      unit,
      ours: formatValue(value),
      '± standard error': error === undefined ? '' : formatValue(error),
      n: n ?? '',
      published: published ? `${published.value}` : '',
      source: published?.source ?? '',
    }));
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
  const found = measurements.find(({ id }) => id === claim.id)?.found;
  const outcome = found === undefined ? '' : ` **It ${found}.**`;
  return `### ${claim.title}

Claim: ${claim.claim}${outcome} \`${claim.command}\`, seed ${claim.seed}; ${cost}; ${on}, ${claim.date.slice(0, 10)} ([configuration](claims/${claim.id}.json)).

${table}${others.join('')}`;
}

async function lastLoss(run: string): Promise<string> {
  const { records } = await readCommittedRun(run);
  const losses = records.flatMap(({ validation }) => validation?.loss ?? []);
  return formatValue(losses.at(-1));
}
