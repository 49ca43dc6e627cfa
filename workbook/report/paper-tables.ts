import { type OurReference, ofTrainings, ours } from '../claims/paper-claim.js';
import {
  type FigureName,
  type MeasurementId,
  type MeasureName,
  published,
  tableOf,
} from '../papers/index.js';
import { readClaim } from '../records/claim.js';
import { readCommittedTable } from '../records/table.js';
import { markdownTable, oursText, publishedText } from './markdown.js';

/** A line of a table: a model and its data, with what is published of it or what was measured here. */
interface Line {
  model: string;
  data: string;
  published?: string;
  /** The claim, or the table of trainings, that has the figure. */
  record?: OurReference['measurement'];
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
      { 'TarFlow, trained for long (flow)': 'bits per dimension, test split' },
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

/** Samples: FID as published, by Inception-v3, and our FD, by a classifier of the data: two scales. */
export function qualityTable(): Promise<string> {
  return linesTable([
    ...reported('fid-imagenet-64-conditional', 'FID', 'ImageNet 64×64, labels'),
    ...reported('fid-imagenet-64-unconditional', 'FID', 'ImageNet 64×64, no labels'),
    ...measured('09-sample-quality', 'Fashion-MNIST, labels', {
      'TarFlow, as sampled': 'FD, labels, as sampled',
      'TarFlow, denoised': 'FD, labels, denoised',
      'TarFlow, guided, denoised': 'FD, labels, guided, denoised',
      'real test images': 'FD, real: test images',
    }),
    ...measured('09-sample-quality', 'Fashion-MNIST, no labels', {
      'TarFlow, denoised': 'FD, no labels, denoised',
      'TarFlow, guided, denoised': 'FD, no labels, guided, denoised',
    }),
  ]);
}

/** Acceleration: times as fast as sequential sampling, as published on GPUs, and over our compiled loop. */
export function accelerationTable(): Promise<string> {
  const tokens = 'emoji, 256 tokens, 13 million parameters';
  const speed = { decimals: 2, error: true } as const;
  return linesTable([
    ...tableOf('gs-jacobi').rows.map(({ name, setting }) => ({
      model: 'GS-Jacobi',
      data: `${name}, ${setting}`,
      published: `${publishedText([published('gs-jacobi', name, 'speed-up', 'GS-Jacobi')])}`,
    })),
    ...tableOf('selective-jacobi').rows.map(({ name, setting }) => ({
      model: 'SeJD',
      data: `${name}, ${setting}`,
      published: `${publishedText([published('selective-jacobi', name, 'speed-up', 'SeJD')])}`,
    })),
    ...measured(
      '15-speed',
      `${tokens}, one image`,
      {
        'GS-Jacobi, published form': 'times as fast, GS-Jacobi, published form, batch 1',
        'SeJD, published rule': 'times as fast, SeJD, published rule, batch 1',
      },
      speed,
    ),
    ...measured(
      '15-speed',
      `${tokens}, eight images`,
      {
        'GS-Jacobi, published form': 'times as fast, GS-Jacobi, published form, batch 8',
        'SeJD, published rule': 'times as fast, SeJD, published rule, batch 8',
      },
      speed,
    ),
  ]);
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
