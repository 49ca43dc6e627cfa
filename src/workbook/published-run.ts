import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import * as path from 'node:path';
import { UserError } from '../backend/errors.js';
import { readBytes, writeAtomically } from '../backend/files.js';
import { disposeModel } from '../flow/flow.js';
import { loadCheckpoint } from '../models/checkpoint.js';
import { saveCheckpoint } from '../training/checkpoint.js';
import {
  type RunDescription,
  RunFolder,
  type StartingPoint,
  type StepRecord,
} from '../training/run-folder.js';
import { resultsFolder } from './results-folder.js';

/** A training run as `results/` keeps it: short enough to commit, enough to draw its curves. */
export interface PublishedRun {
  /** The run's `run.json`. */
  run: RunDescription;
  /** The runs that it went on from, in their order, and the step at which each ended. */
  earlier?: { run: RunDescription; until: number }[];
  /** Steps done, those of earlier runs included. */
  steps: number;
  /** Time that the steps took, without validations. */
  seconds: number;
  /** How many steps a record stands for, at most: its numbers are their means. */
  stepsPerRecord: number;
  records: StepRecord[];
}

/** Where `results/` keeps the trained flow of a name. */
export function publishedCheckpoint(name: string): string {
  return path.join(resultsFolder(), 'checkpoints', `${name}.safetensors`);
}

/**
 * Puts a training run into `results/`: its flow in half precision as `checkpoints/<name>.safetensors`
 * and its log, averaged down to a few hundred lines, as `training/<name>.jsonl`, whose first line
 * says what was trained. A run that still goes on is published as far as its last checkpoint. A run
 * that began with the checkpoint published under this name takes its place, and its log is added to
 * the one that is there.
 *
 * @param runFolder the folder of {@link train} or of `tarflow train --out`
 * @throws UserError where the folder holds no run with a checkpoint, where the run began with
 *   another checkpoint than the one published, or `results/` cannot be written
 */
export async function publishRun(runFolder: string, name: string): Promise<void> {
  const folder = new RunFolder(runFolder);
  const run = JSON.parse(
    Buffer.from(await readBytes(path.join(runFolder, 'run.json'))).toString('utf8'),
  ) as RunDescription;
  const flow = await loadCheckpoint(folder.checkpoint);
  try {
    const before = run.from && (await publishedStart(name, run.from));
    const offset = before?.steps ?? 0;
    const steps = (flow.details.steps ?? Number.POSITIVE_INFINITY) - offset;
    const records = (await folder.records()).filter((record) => record.step <= steps);
    const seconds = records.reduce(
      (sum, { imagesPerSecond }) => sum + run.settings.batchSize / imagesPerSecond,
      0,
    );
    const stepsPerRecord = Math.ceil(records.length / mostRecords);
    const header: Omit<PublishedRun, 'records'> = {
      run,
      ...(before && {
        earlier: [...(before.earlier ?? []), { run: before.run, until: before.steps }],
      }),
      steps: offset + records.length,
      seconds: (before?.seconds ?? 0) + Math.round(seconds),
      stepsPerRecord: Math.max(before?.stepsPerRecord ?? 0, stepsPerRecord),
    };
    const epochs = before?.records.at(-1)?.epoch ?? 0;
    const added = averagedRecords(records, stepsPerRecord).map((record) => ({
      ...record,
      step: offset + record.step,
      epoch: epochs + record.epoch,
    }));
    const lines = [header, ...(before?.records ?? []), ...added];
    await writeAtomically(logFile(name), lines.map((line) => `${rounded(line)}\n`).join(''));
    await saveCheckpoint(flow, publishedCheckpoint(name), flow.details, 'F16');
  } finally {
    disposeModel(flow);
  }
}

/** The published run whose checkpoint another one began with. */
async function publishedStart(name: string, from: StartingPoint): Promise<PublishedRun> {
  const file = publishedCheckpoint(name);
  const present = createHash('sha256')
    .update(await readBytes(file))
    .digest('hex');
  if (present === from.sha256) return readPublishedRun(name);
  throw new UserError(
    `The run began with ${from.checkpoint}, which is not ${file}`,
    'Publish it under the name of the run that it went on from',
  );
}

/**
 * A run's description and log from `results/`.
 * @throws UserError where no run of that name was published, or its log is damaged
 */
export async function readPublishedRun(name: string): Promise<PublishedRun> {
  const file = logFile(name);
  try {
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    const [header, ...records] = lines.map((line) => JSON.parse(line) as unknown);
    return { ...(header as Omit<PublishedRun, 'records'>), records: records as StepRecord[] };
  } catch (error) {
    throw new UserError(
      `${file} is not the log of a published run (${(error as Error).message})`,
      'Take it from the repository again, or train anew with `npm run workbook -- --train`',
    );
  }
}

/**
 * Records averaged in groups of `size`. A group ends early at a validation, which is kept as it is,
 * so that no validation is lost or moved.
 */
export function averagedRecords(records: readonly StepRecord[], size: number): StepRecord[] {
  const averaged: StepRecord[] = [];
  let group: StepRecord[] = [];
  for (const [index, record] of records.entries()) {
    group.push(record);
    if (group.length < size && !record.validation && index < records.length - 1) continue;
    averaged.push(meanRecord(group, record));
    group = [];
  }
  return averaged;
}

const mostRecords = 450;

function logFile(name: string): string {
  return path.join(resultsFolder(), 'training', `${name}.jsonl`);
}

/** The means of a group; step, epoch and validation are those of its last record. */
function meanRecord(group: readonly StepRecord[], last: StepRecord): StepRecord {
  const mean = (value: (record: StepRecord) => number): number =>
    group.reduce((sum, record) => sum + value(record), 0) / group.length;
  return {
    step: last.step,
    epoch: last.epoch,
    loss: mean(({ loss }) => loss),
    prior: mean(({ prior }) => prior),
    logDet: mean(({ logDet }) => logDet),
    meanSquares: last.meanSquares.map((_, block) =>
      mean(({ meanSquares }) => meanSquares[block] as number),
    ),
    gradientNorm: mean(({ gradientNorm }) => gradientNorm),
    learningRate: mean(({ learningRate }) => learningRate),
    imagesPerSecond: mean(({ imagesPerSecond }) => imagesPerSecond),
    dataShare: mean(({ dataShare }) => dataShare),
    ...(last.validation && { validation: last.validation }),
  };
}

/** JSON with six significant digits: more than a curve shows. */
function rounded(line: unknown): string {
  return JSON.stringify(line, (_, value: unknown) =>
    typeof value === 'number' ? Number(value.toPrecision(6)) : value,
  );
}
