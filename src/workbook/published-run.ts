import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import * as path from 'node:path';
import { UserError } from '../backend/errors.js';
import { readBytes, writeAtomically } from '../backend/files.js';
import { disposeModel } from '../flow/flow.js';
import { loadCheckpoint } from '../models/load-checkpoint.js';
import { saveCheckpoint } from '../training/checkpoint.js';
import type { LikelihoodRecord, StepRecord } from '../training/record.js';
import type { RunDescription, StartingPoint } from '../training/run-description.js';
import { RunFolder } from '../training/run-folder.js';
import { openLastState, writeSnapshot } from '../training/saved-state.js';
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
  /** Of the snapshot that `results/` keeps while the run goes on. */
  snapshot?: { sha256: string };
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
 * that started from the checkpoint or the snapshot published under this name replaces it, and its log
 * is appended.
 *
 * @param runFolder the folder of {@link train} or of `tarflow train --out`
 * @throws UserError if the folder holds no run with a checkpoint, if the run started from another
 *   file than the published one, or if `results/` cannot be written
 */
export async function publishRun(runFolder: string, name: string): Promise<void> {
  const folder = new RunFolder(runFolder);
  const run = await descriptionOf(runFolder);
  const flow = await loadCheckpoint(folder.checkpoint);
  try {
    const log = await logUntil(folder, run, name, flow.details.steps ?? Number.POSITIVE_INFINITY);
    await writeLog(name, log);
    await saveCheckpoint(flow, resultFile(checkpointName(name)), flow.details, 'F16');
    await rm(resultFile(snapshotName(name)), { force: true });
  } finally {
    disposeModel(flow);
  }
}

/**
 * Puts what a later run needs to go on with a run into `results/`, without the run's folder: its last
 * saved step as `checkpoints/<name>.snapshot.safetensors`, which `train --from` takes, and its log up
 * to there as {@link publishRun} does. Publishing the run that went on removes the snapshot.
 *
 * @throws UserError as {@link publishRun} does
 */
export async function publishSnapshot(runFolder: string, name: string): Promise<void> {
  const run = await descriptionOf(runFolder);
  const { file, header } = await openLastState(runFolder);
  try {
    const log = await logUntil(new RunFolder(runFolder), run, name, header.steps);
    const to = resultFile(snapshotName(name));
    await writeSnapshot(to, file, header);
    await writeLog(name, { ...log, snapshot: { sha256: await sha256Of(to) } });
  } finally {
    await file.close();
  }
}

async function descriptionOf(runFolder: string): Promise<RunDescription> {
  const bytes = await readBytes(path.join(runFolder, 'run.json'));
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as RunDescription;
}

/**
 * The log of a run, after that of the one from which it went on.
 *
 * @param last the last of its steps to take, counted with those of earlier runs
 */
async function logUntil(
  folder: RunFolder,
  run: RunDescription,
  name: string,
  last: number,
): Promise<PublishedRun> {
  const before = run.from && (await publishedStart(name, run.from));
  const offset = before?.steps ?? 0;
  const records = (await folder.records()).filter(({ step }) => step <= last - offset);
  const seconds = records.reduce(
    (sum, { imagesPerSecond }) => sum + run.settings.batchSize / imagesPerSecond,
    0,
  );
  const stepsPerRecord = Math.ceil(records.length / mostRecords);
  const epochs = before?.records.at(-1)?.epoch ?? 0;
  const added = averagedRecords(records, stepsPerRecord).map((record) => ({
    ...record,
    step: offset + record.step,
    epoch: epochs + record.epoch,
  }));
  return {
    run,
    ...(before && {
      earlier: [...(before.earlier ?? []), { run: before.run, until: before.steps }],
    }),
    steps: offset + records.length,
    seconds: (before?.seconds ?? 0) + Math.round(seconds),
    stepsPerRecord: Math.max(before?.stepsPerRecord ?? 0, stepsPerRecord),
    records: [...(before?.records ?? []), ...(added as LikelihoodRecord[])],
  };
}

async function writeLog(name: string, { records, ...header }: PublishedRun): Promise<void> {
  const lines = [header, ...records].map((line) => `${rounded(line)}\n`);
  await writeAtomically(resultFile(logName(name)), lines.join(''));
}

/** The published run from whose checkpoint or snapshot another one started. */
async function publishedStart(name: string, from: StartingPoint): Promise<PublishedRun> {
  const file = publishedCheckpoint(name);
  if (existsSync(file) && (await sha256Of(file)) === from.sha256) return readPublishedRun(name);
  if (existsSync(resultToRead(logName(name)))) {
    const { snapshot, ...published } = await readPublishedRun(name);
    if (snapshot?.sha256 === from.sha256) return published;
  }
  throw new UserError(
    `The run began with ${from.checkpoint}, which is neither ${file} nor its snapshot`,
    'Publish it under the name of the run that it continued',
  );
}

async function sha256Of(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readBytes(file))
    .digest('hex');
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
const snapshotName = (name: string): string =>
  path.join('checkpoints', `${name}.snapshot.safetensors`);
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
