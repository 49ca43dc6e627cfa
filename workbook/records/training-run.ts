import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import * as path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { UserError } from '../../src/core/errors.js';
import { readBytes } from '../../src/core/files.js';
import { disposeModel } from '../../src/flow/state-dict.js';
import { fileDigest } from '../../src/formats/tensor-file.js';
import { loadCheckpoint } from '../../src/models/load-checkpoint.js';
import { saveCheckpoint } from '../../src/training/checkpoint.js';
import type { LikelihoodRecord, StepRecord } from '../../src/training/record.js';
import type { RunDescription, StartingPoint } from '../../src/training/run-description.js';
import { RunFolder } from '../../src/training/run-folder.js';
import { openStateOf, writeSnapshot } from '../../src/training/saved-state.js';
import { type RecordOf, readRecord, rounded, writeRecord } from './record.js';
import { resultFile, resultsFolder, resultToRead } from './results-folder.js';

/** A training run as `results/` keeps it: short enough to commit, with enough to draw its curves. */
export type CommittedRun = RecordOf<'training run'>;

const askedFor = new Set<string>();

/** The file in which `results/` keeps a trained model. */
export function committedCheckpoint(name: string): string {
  askedFor.add(name);
  return resultToRead(files(name).run.tensors);
}

/**
 * The trained models for which {@link committedCheckpoint} was asked since the process began, each with
 * the first 16 hexadecimal digits of its file's SHA-256; one without a file is left out.
 */
export async function weightsAskedFor(): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  for (const name of [...askedFor].sort()) {
    const file = committedCheckpoint(name);
    if (existsSync(file)) digests[name] = (await fileDigest(file)).slice(0, 16);
  }
  return digests;
}

/**
 * Puts a training run into `results/`: its model in half precision as `checkpoints/<name>.safetensors`,
 * and its log, averaged down to a few hundred lines, as `training/<name>.jsonl`, whose first line
 * says what was trained. A run that is still going on is committed up to its last checkpoint. A run
 * that started from the checkpoint or the snapshot committed under this name replaces it, and its log
 * is appended; so does the same run when it is committed again. One that started from the checkpoint of
 * another name, as a decoder from its autoencoder, has its own log alone. A snapshot of the run, or with
 * which it began, is removed.
 *
 * @param runFolder the folder of `train` or of `tarflow train --out`
 * @throws UserError if the folder holds no run with a checkpoint, if the run started from another
 *   file than the committed one, or if `results/` cannot be written
 */
export async function commitRun(runFolder: string, name: string): Promise<void> {
  const folder = new RunFolder(runFolder);
  const run = await descriptionOf(runFolder);
  const flow = await loadCheckpoint(folder.checkpoint);
  try {
    const log = await logUntil(folder, run, name, flow.details.steps ?? Number.POSITIVE_INFINITY);
    await saveCheckpoint(flow, resultFile(files(name).run.tensors), flow.details, 'F16');
    await writeRecord<'training run'>(resultFile(files(name).run.log), log);
    await removeSnapshot(name, run);
  } finally {
    disposeModel(flow);
  }
}

/**
 * Puts what a later run needs to go on with a run into `results/`, without the run's folder: its last
 * saved step as `snapshots/<name>.safetensors`, which `train --from` takes, and its log up to there
 * beside it.
 *
 * @throws UserError as {@link commitRun} does
 */
export async function commitSnapshot(runFolder: string, name: string): Promise<void> {
  const run = await descriptionOf(runFolder);
  const { file, header } = await openStateOf(runFolder);
  try {
    const log = await logUntil(new RunFolder(runFolder), run, name, header.steps);
    await writeSnapshot(resultFile(files(name).snapshot.tensors), file, header);
    await writeRecord<'training run'>(resultFile(files(name).snapshot.log), log);
  } finally {
    await file.close();
  }
}

/**
 * Puts the losses of every step of a training run into `results/`, and not its model: what a claim on
 * single steps reads.
 *
 * @throws UserError as {@link commitRun} does
 */
export async function commitLosses(runFolder: string, name: string): Promise<void> {
  const run = await descriptionOf(runFolder);
  const records = await new RunFolder(runFolder).records();
  const seconds = secondsOf(records, run);
  const kept = records.map(({ step, loss, validation }) => ({
    ...{ step, loss },
    ...(validation && { validation: { loss: validation.loss } }),
  }));
  await writeRecord<'training run'>(resultFile(files(name).run.log), {
    ...{ run, steps: records.length, seconds: Math.round(seconds), stepsPerRecord: 1 },
    records: kept as LikelihoodRecord[],
  });
}

function secondsOf(records: readonly StepRecord[], { settings }: RunDescription): number {
  return records.reduce(
    (sum, { imagesPerSecond }) => sum + settings.batchSize / imagesPerSecond,
    0,
  );
}

async function descriptionOf(runFolder: string): Promise<RunDescription> {
  const bytes = await readBytes(path.join(runFolder, 'run.json'));
  // Where the data lay is of no use elsewhere.
  const { named: _, ...rest } = JSON.parse(Buffer.from(bytes).toString('utf8')) as RunDescription;
  return rest;
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
): Promise<CommittedRun> {
  const before = run.from && (await committedStart(name, run.from));
  const offset = before?.steps ?? 0;
  const records = (await folder.records()).filter(({ step }) => step <= last - offset);
  const seconds = secondsOf(records, run);
  const stepsPerRecord = Math.ceil(records.length / mostRecords);
  const epochs = before?.records.at(-1)?.epoch ?? 0;
  const added = averagedRecords(records, stepsPerRecord).map((record) => ({
    ...record,
    step: offset + record.step,
    epoch: epochs + record.epoch,
  }));
  return {
    run,
    earlier: before && [
      ...(before.earlier ?? []),
      { run: before.run, until: before.steps, seconds: before.seconds },
    ],
    steps: offset + records.length,
    seconds: (before?.seconds ?? 0) + Math.round(seconds),
    stepsPerRecord: Math.max(before?.stepsPerRecord ?? 0, stepsPerRecord),
    records: [...(before?.records ?? []), ...(added as LikelihoodRecord[])],
  };
}

/**
 * What was committed of the run from which another one went on: where that one began with what is
 * committed now, or where it is committed itself already. Undefined where it began with the checkpoint of
 * another name.
 */
async function committedStart(
  name: string,
  from: StartingPoint,
): Promise<CommittedRun | undefined> {
  const other = resultToRead(files(path.parse(from.checkpoint).name).run.tensors);
  const isOther = other !== committedCheckpoint(name) && existsSync(other);
  if (isOther && (await fileDigest(other)) === from.sha256) return undefined;
  for (const { tensors, log } of Object.values(files(name))) {
    if (!existsSync(resultToRead(log))) continue;
    const committed = await readLog(resultToRead(log));
    const file = resultToRead(tensors);
    if (existsSync(file) && (await fileDigest(file)) === from.sha256) return committed;
    const before = startOf(committed);
    if (before && committed.run.from?.sha256 === from.sha256) return before;
  }
  throw new UserError(
    `The run began with ${from.checkpoint}, which is neither ${committedCheckpoint(name)} nor its snapshot`,
    'Commit it under the name of the run that it continued',
  );
}

/** A committed run without the last of the runs that it is made of. */
function startOf({
  earlier = [],
  records,
  stepsPerRecord,
}: CommittedRun): CommittedRun | undefined {
  const last = earlier.at(-1);
  if (!last) return undefined;
  return {
    run: last.run,
    ...(earlier.length > 1 && { earlier: earlier.slice(0, -1) }),
    steps: last.until,
    seconds: last.seconds ?? 0,
    stepsPerRecord,
    records: records.filter(({ step }) => step <= last.until),
  };
}

/** Removes the snapshot of a name, if it is of a run or of the one that it continued. */
async function removeSnapshot(name: string, run: RunDescription): Promise<void> {
  const { tensors, log } = files(name).snapshot;
  const file = resultFile(tensors);
  if (!existsSync(file) || !existsSync(resultFile(log))) return;
  const { run: held } = await readLog(resultFile(log));
  const isOwn = isDeepStrictEqual(held, JSON.parse(rounded(run)));
  if (!isOwn && (await fileDigest(file)) !== run.from?.sha256) return;
  await Promise.all([file, resultFile(log)].map((path) => rm(path)));
}

/**
 * The description and log of a run in `results/`.
 * @throws UserError if no run of that name is committed, or its log is damaged
 */
export async function readCommittedRun(name: string): Promise<CommittedRun> {
  return readLog(resultToRead(files(name).run.log));
}

/** The name, with its folder, of a run among those of `results/training/`; undefined where there is none. */
export function findCommittedRun(name: string): string | undefined {
  const logs = readdirSync(path.join(resultsFolder(), 'training'), { recursive: true });
  const log = logs.map(String).find((each) => path.basename(each) === `${name}.jsonl`);
  return log?.slice(0, -'.jsonl'.length);
}

async function readLog(file: string): Promise<CommittedRun> {
  const log = await readRecord('training run', file);
  if (log) return log;
  throw new UserError(
    `There is no log ${file} of a committed run`,
    'Restore it from the repository, or commit a run with `node data-scripts/commit-run.mjs`',
  );
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

/** Where a run and a snapshot lie in `results/`. */
function files(name: string): Record<'run' | 'snapshot', { tensors: string; log: string }> {
  const at = (tensors: string, log: string) => ({
    tensors: path.join(tensors, `${name}.safetensors`),
    log: path.join(log, `${name}.jsonl`),
  });
  return { run: at('checkpoints', 'training'), snapshot: at('snapshots', 'snapshots') };
}

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
