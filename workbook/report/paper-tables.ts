import { recordedEvidence } from '../claims/evidence.js';
import { type OurReference, ofTrainings, ours } from '../claims/paper-claim.js';
import { type Strategy, timesAsFast } from '../claims/speed-rules.js';
import {
  type FigureName,
  type MeasurementId,
  type MeasureName,
  published,
  tableOf,
} from '../papers/index.js';
import { strategyRow } from '../records/accelerations.js';
import { readClaim } from '../records/claim.js';
import type { AuthorsLoopFlow } from '../records/record.js';
import { readCommittedTable } from '../records/table.js';
import { markdownTable, oursText, publishedText } from './markdown.js';

/** A line of a table: a model and its data, with what is published of it or what was measured here. */
interface Line {
  model: string;
  data: string;
  published?: string;
  /** The claim, or the table of trainings, that has the figure. */
  record?: Exclude<OurReference['measurement'], { computed: unknown }>;
  ours?: OurReference;
}

/** What a paper's table reports by one measure, best first as it stands there. */
function reported(table: string, measure: MeasureName, data: string, of?: string): Line[] {
  return tableOf(table).rows.map(({ name, kind }) => ({
    model: kind === undefined ? name : `${name} (${kind})`,
    data,
    published: publishedText([published(table, name, measure, of)]),
  }));
}

/** Figures of one measurement, a line each. */
function measured<const Id extends MeasurementId>(
  id: Id,
  data: string,
  lines: Readonly<Record<string, FigureName<Id>>>,
  format: Parameters<typeof ours>[2] = { decimals: 1, error: true },
): Line[] {
  return Object.entries(lines).map(([model, figure]) => {
    return { model, data, record: id, ours: ours<Id>(id, figure, format) };
  });
}

/** Likelihood: bits per dimension of test images, lower is better. */
export function likelihoodTable(): Promise<string> {
  return linesTable([
    ...reported('likelihood', 'bits per dimension', 'ImageNet 64×64'),
    ...measured(
      'bits-per-dimension',
      'Fashion-MNIST',
      {
        'TarFlow of 1.7 million parameters, patches of 2×2 (flow)':
          'bits per dimension, test split',
      },
      { decimals: 3, error: true },
    ),
    ...(['likelihood-at-one-cost', 'likelihood-at-one-cost-cifar10'] as const).flatMap((table) =>
      ['TarFlow', 'Affine couplings', 'MAF'].map((row) => ({
        model: `${row} (flow)`,
        data: `${table.endsWith('cifar10') ? 'CIFAR-10' : 'Fashion-MNIST'}, one small cost`,
        record: { table },
        ours: ofTrainings(table, row, 'bits per dimension', 3),
      })),
    ),
  ]);
}

/** Samples: FID as published, by Inception-v3, and our FD, by another network for clothes and for emoji: three scales. */
export function qualityTable(): Promise<string> {
  return linesTable([
    ...reported('fid-imagenet-64-conditional', 'FID', 'ImageNet 64×64, labels'),
    ...reported('fid-imagenet-64-unconditional', 'FID', 'ImageNet 64×64, no labels'),
    ...measured('sample-quality', 'Fashion-MNIST, labels', {
      'TarFlow, as sampled': 'FD, labels, as sampled',
      'TarFlow, denoised': 'FD, labels, denoised',
      'TarFlow, guided, denoised': 'FD, labels, guided, denoised',
      'real test images': 'FD, real: test images',
    }),
    ...measured('sample-quality', 'Fashion-MNIST, no labels', {
      'TarFlow, denoised': 'FD, no labels, denoised',
      'TarFlow, guided, denoised': 'FD, no labels, guided, denoised',
    }),
    ...measured('emoji-quality', 'emoji in pixels, labels', {
      'TarFlow, guided, denoised': 'FD, guided, denoised',
      'real test drawings': 'FD, real: test drawings',
    }),
  ]);
}

/**
 * Acceleration: times as fast as one token after the other, as published on GPUs; over the authors' kind of
 * loop in eager PyTorch; and over our loop, which XLA compiles.
 */
export async function accelerationTable(): Promise<string> {
  const { authorsLoop, accelerations } = await recordedEvidence();
  const papers = { 'GS-Jacobi': 'gs-jacobi', SeJD: 'selective-jacobi' } as const;
  const ofPapers = Object.entries(papers).flatMap(([strategy, table]) =>
    tableOf(table).rows.map(({ name, setting }) => ({
      strategy,
      flow: name,
      images: setting ?? '',
      published: publishedText([published(table, name, 'speed-up', strategy)]),
    })),
  );
  const authors = authorsLoop.flatMap((flow) =>
    [...new Set(flow.rows.map(({ batch }) => batch))].flatMap((batch) =>
      (['GS-Jacobi', 'SeJD'] as const).map((strategy) => ({
        strategy,
        flow: `${flow.model}, ${flow.tokens} tokens`,
        images: `${batch}`,
        'evaluations in turn': shareOfSteps(flow, strategy, batch),
        'over the authors’ kind of loop': times(timesAsFast(flow, strategy, batch)),
        record: '[authors-loop](acceleration/authors-loop.json)',
      })),
    ),
  );
  const compiled = accelerations.flatMap(({ model, table }) =>
    (['GS-Jacobi, published form', 'SeJD, published rule'] as const).map((strategy) => ({
      strategy,
      flow: `${model}, ${table.tokens} tokens`,
      images: `${table.batch}`,
      'over our compiled loop': times(strategyRow(table, strategy).speedup),
      record: `[${model}-xla](acceleration/${model}-xla.json)`,
    })),
  );
  return markdownTable([...ofPapers, ...authors, ...compiled]);
}

const times = (value: number | undefined): string => (value === undefined ? '–' : value.toFixed(2));

/** Evaluations in turn of a strategy and of the loop, for example '149 of 780'. */
function shareOfSteps({ rows }: AuthorsLoopFlow, strategy: Strategy, batch: number): string {
  const of = (name: string) =>
    rows
      .find((row) => row.batch === batch && row.strategy.split(',')[0] === name)
      ?.evaluations.reduce((sum, count) => sum + count, 0);
  return of(strategy) === undefined ? '–' : `${of(strategy)} of ${of('sequential')}`;
}

async function linesTable(lines: readonly Line[]): Promise<string> {
  const rows = lines.map(
    async ({ model, data, published: theirs = '', record, ours: reference }) => ({
      model,
      data,
      published: theirs,
      'measured here': reference ? await oursText([reference]) : '',
      ...(await originOf(record, reference?.figure ?? '')),
    }),
  );
  return markdownTable(await Promise.all(rows));
}

/** How many images or trainings a figure is of, and where it stands. */
async function originOf(record: Line['record'], figure: string) {
  if (record === undefined) return { n: '', record: '' };
  if (typeof record === 'string') {
    const n = (await readClaim(record))?.n[figure] ?? '';
    return { n, record: `[${record}](claims/${record}.json)` };
  }
  const { settings } = (await readCommittedTable(`${record.table}-workbook`)).row(figure);
  const file = `tables/${record.table}-workbook.json`;
  return { n: `${settings.seeds.length} trainings`, record: `[table](${file})` };
}
