import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { z } from 'zod';
import { UserError } from '../core/errors.js';
import { appendLine, readBytes } from '../core/files.js';
import { checkedJson } from '../core/schema.js';
import { type DataSource, type FolderOptions, openDataset } from '../data/index.js';
import type { Model } from '../flow/model.js';
import { stateDict } from '../flow/state-dict.js';

const reading = z.strictObject({
  /** ISO 8601. */
  date: z.iso.datetime(),
  /** What the model is called. */
  model: z.string().min(1),
  /** Of its configuration and all its numbers, see {@link weightsDigest}. */
  weights: z.string().regex(/^[0-9a-f]{16}$/),
  /** The data set whose test split was read. */
  data: z.string().min(1),
  /** What was measured, for example 'bits per dimension'. */
  measure: z.string().min(1),
  /** Why the test split was needed. */
  reason: z.string().min(1),
});

/** One look at a test split, as the ledger keeps it. */
export type TestReading = z.infer<typeof reading>;

/** Readings before this one, oldest first. */
export interface EarlierReadings {
  /** Of the same weights, data and measure. */
  earlier: TestReading[];
  /** Of a model of the same name with other weights, for example before it was trained on. */
  otherWeights: TestReading[];
}

/** Who reads a test split, and what for. */
export interface TestReadingRequest {
  /** The model, and what to call it. */
  model: Model;
  name: string;
  measure: string;
  /** Why validation images do not do, in a few words. */
  reason: string;
  /** The file of the ledger, one reading per line; it is made where it is not there. */
  ledger: string;
  /** Another ledger, whose readings count as earlier ones; nothing is written into it. */
  before?: string;
  /** Of a folder of images. */
  options?: FolderOptions;
}

/**
 * Opens a test split, and writes into a ledger who reads it and why. Choices are made on validation images.
 * A figure of the test split is read once; where the same weights, data and measure were read before, the
 * result lists those readings.
 *
 * @param dataset a name that `openDataset` knows, or a function that opens the split
 * @returns the split, and the earlier readings of the same data and measure
 * @throws UserError for an empty reason, a ledger that is damaged or cannot be written, and as
 *   `openDataset` does
 *
 * @example
 * ```ts
 * import { createModel, startEngine } from 'tarflow';
 * import { openTestSplit } from 'tarflow/evaluation';
 *
 * await startEngine();
 * const image = { channels: 1, height: 28, width: 28 };
 * const size = { classes: 0, blocks: 2, hiddenLayers: 1, hiddenUnits: 32 };
 * const model = createModel({ kind: 'maf', image, ...size }, 1);
 * const { data, earlier } = await openTestSplit('fashion-mnist', {
 *   ...{ model, name: 'density', measure: 'bits per dimension' },
 *   ...{ reason: 'the figure of Table 2', ledger: 'test-readings.jsonl' },
 * });
 * console.log(data.length, earlier.length); // 10,000 images; no earlier reading
 * ```
 */
export async function openTestSplit(
  dataset: string | (() => DataSource | Promise<DataSource>),
  { model, name, measure, reason, ledger, before, options = {} }: TestReadingRequest,
): Promise<{ data: DataSource } & EarlierReadings> {
  if (reason.trim() === '') {
    throw new UserError(
      'No reason came for reading a test split',
      'Say what the figure is for; to choose between models take the validation split',
    );
  }
  const data = await (typeof dataset === 'string'
    ? openDataset(dataset, 'test', options)
    : dataset());
  if (data.split !== 'test') {
    throw new UserError(`What was opened is the split '${data.split}'`, 'Expected the test split');
  }
  const readings = await testReadings(ledger);
  const weights = weightsDigest(model);
  const others = before === undefined || before === ledger ? [] : await testReadings(before);
  const alike = [...others, ...readings].filter(
    (each) => each.data === data.name && each.measure === measure,
  );
  const earlier = alike.filter((each) => each.weights === weights);
  const otherWeights = alike.filter((each) => each.weights !== weights && each.model === name);
  const date = new Date().toISOString();
  const now: TestReading = { date, model: name, weights, data: data.name, measure, reason };
  // Another process may have written since: what is there stays.
  await appendLine(ledger, JSON.stringify(now));
  return { data, earlier, otherWeights };
}

/**
 * The readings of a ledger, oldest first; none where the file is not there.
 * @throws UserError that names the line that is damaged
 */
export async function testReadings(ledger: string): Promise<TestReading[]> {
  if (!(await fs.stat(ledger).catch(() => undefined))) return [];
  const text = new TextDecoder().decode(await readBytes(ledger));
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line, i) => {
      const source = `${ledger}, line ${i + 1}, a reading of a test split,`;
      return checkedJson(reading, line, source, 'Restore the file');
    });
}

/** What to say of earlier readings; undefined where there are none. */
export function earlierReadingsText({
  earlier,
  otherWeights,
}: EarlierReadings): string | undefined {
  const texts = [
    readingsText('The test split has been read for this figure', earlier),
    readingsText('The test split has been read for other weights of this name', otherWeights),
  ].filter((text) => text !== undefined);
  if (texts.length === 0) return undefined;
  return [...texts, 'Do not use it to choose anything.'].join(' ');
}

function readingsText(what: string, readings: readonly TestReading[]): string | undefined {
  const last = readings.at(-1);
  if (!last) return undefined;
  const times = readings.length === 1 ? 'once' : `${readings.length} times`;
  return `${what} ${times} before, last on ${last.date.slice(0, 10)} (${last.reason}).`;
}

/**
 * Sixteen hexadecimal digits that identify a model of any family, from its configuration and all its
 * numbers. It is not `modelFingerprint`, which plans have.
 */
export function weightsDigest(model: Model): string {
  const digest = createHash('sha256').update(JSON.stringify(sorted(model.config)));
  for (const [name, leaf] of Object.entries(stateDict(model)).sort(([a], [b]) =>
    a < b ? -1 : 1,
  )) {
    digest.update(name).update(leaf.dataSync());
  }
  return digest.digest('hex').slice(0, 16);
}

/** The same whatever the order of keys. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, sorted(inner)]);
}
