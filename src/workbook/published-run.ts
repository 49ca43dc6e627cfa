import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import * as path from 'node:path';
import { UserError } from '../backend/errors.js';
import { readBytes, writeAtomically } from '../backend/files.js';
import { disposeModel } from '../flow/flow.js';
import { loadCheckpoint } from '../models/load-checkpoint.js';
import { saveCheckpoint } from '../training/checkpoint.js';
import type { LikelihoodRecord, StepRecord } from '../training/record.js';
import type { RunDescription, StartingPoint } from '../training/run-description.js';
import { RunFolder } from '../training/run-folder.js';
import { resultFile, resultToRead } from './results-folder.js';

/** A training run as `results/` keeps it: short enough to commit, with enough to draw its curves. */
export interface PublishedRun {
  /** The contents of the run's `run.json`. */
  run: RunDescription;
  /** The runs that it continued, in their order, and the step at which each ended. */
  earlier?: { run: RunDescription; until: number }[];
  /** The number of steps done, including those of earlier runs. */
  steps: number;
  /** The time that the steps took, without validations. */
  seconds: number;
  /** The most steps for which a record stands; its numbers are their means. */
  stepsPerRecord: number;
  records: LikelihoodRecord[];
}

/** The file in which `results/` keeps a trained flow. */
export function publishedCheckpoint(name: string): string {
  return resultToRead(checkpointName(name));
}

/**
 * Puts a training run into `results/`: its flow in half precision as `checkpoints/<name>.safetensors`,
 * and its log, averaged down to a few hundred lines, as `training/<name>.jsonl`, whose first line
 * says what was trained. A run that is still going on is published up to its last checkpoint. A run
 * that started from the checkpoint published under this name replaces it, and its log is appended.
 *
 * @param runFolder the folder of {@link train} or of `tarflow train --out`
 * @throws UserError if the folder holds no run with a checkpoint, if the run started from another
 *   checkpoint than the published one, or if `results/` cannot be written
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
    await writeAtomically(
      resultFile(logName(name)),
      lines.map((line) => `${rounded(line)}\n`).join(''),
    );
    await saveCheckpoint(flow, resultFile(checkpointName(name)), flow.details, 'F16');
  } finally {
    disposeModel(flow);
  }
}

/** The published run from whose checkpoint another one started. */
async function publishedStart(name: string, from: StartingPoint): Promise<PublishedRun> {
  const file = publishedCheckpoint(name);
  const present = createHash('sha256')
    .update(await readBytes(file))
    .digest('hex');
  if (present === from.sha256) return readPublishedRun(name);
  throw new UserError(
    `The run began with ${from.checkpoint}, which is not ${file}`,
    'Publish it under the name of the run that it continued',
  );
}

/**
 * The description and log of a run in `results/`.
 * @throws UserError if no run of that name is published, or its log is damaged
 */
export async function readPublishedRun(name: string): Promise<PublishedRun> {
  const file = resultToRead(logName(name));
  try {
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    const [header, ...records] = lines.map((line) => JSON.parse(line) as unknown);
    return { ...(header as Omit<PublishedRun, 'records'>), records: records as LikelihoodRecord[] };
  } catch (error) {
    throw new UserError(
      `${file} is not the log of a published run (${(error as Error).message})`,
      'Restore it from the repository, or train it again with `npm run workbook -- --train`',
    );
  }
}

/**
 * Records averaged in groups of `size`. A group ends early at a validation, so that every validation
 * is kept as it is.
 */
export function averagedRecords<R extends StepRecord>(records: readonly R[], size: number): R[] {
  const averaged: R[] = [];
  let group: R[] = [];
  for (const [index, record] of records.entries()) {
    group.push(record);
    if (group.length < size && !record.validation && index < records.length - 1) continue;
    averaged.push(meanRecord(group, record));
    group = [];
  }
  return averaged;
}

const mostRecords = 450;

/** In `results/`. */
const checkpointName = (name: string): string => path.join('checkpoints', `${name}.safetensors`);
const logName = (name: string): string => path.join('training', `${name}.jsonl`);

/** The means of a group, with the step, epoch and validation of its last record. */
function meanRecord<R extends StepRecord>(group: readonly R[], last: R): R {
  const mean = (value: (record: StepRecord) => number): number =>
    group.reduce((sum, record) => sum + value(record), 0) / group.length;
  const means: Record<string, number | number[]> = {};
  for (const [column, value] of Object.entries(last)) {
    if (column === 'step' || column === 'epoch') continue;
    if (typeof value === 'number') means[column] = mean((record) => record[column] as number);
    if (!Array.isArray(value)) continue;
    means[column] = value.map((_, i) =>
      mean((record) => (record[column] as number[])[i] as number),
    );
  }
  return { ...last, ...means };
}

/** JSON with six significant digits, which is more than a curve shows. */
function rounded(line: unknown): string {
  return JSON.stringify(line, (_, value: unknown) =>
    typeof value === 'number' ? Number(value.toPrecision(6)) : value,
  );
}
