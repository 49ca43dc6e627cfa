import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { UserError } from '../../../src/core/errors.js';
import { tf } from '../../../src/core/tf.js';
import { disposeModel } from '../../../src/flow/state-dict.js';
import { readSafetensors } from '../../../src/formats/safetensors.js';
import { loadCheckpoint } from '../../../src/models/load-checkpoint.js';
import { readStartingPoint } from '../../../src/models/read-starting-point.js';
import { createTarFlow } from '../../../src/models/tarflow/index.js';
import { saveCheckpoint } from '../../../src/training/checkpoint.js';
import type { LikelihoodRecord } from '../../../src/training/record.js';
import type { StartingPoint } from '../../../src/training/run-description.js';
import { train } from '../../../src/training/train.js';
import {
  averagedRecords,
  commitLosses,
  commitRun,
  commitSnapshot,
  committedCheckpoint,
  readCommittedRun,
} from '../../../workbook/records/training-run.js';
import { temporaryFolder } from '../../temporary-folder.js';
import { smallConfig, smallRun, smallSettings } from '../../training/small.js';
import { chooseResults } from '../results.js';

let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
  chooseResults(path.join(folder, 'results'));
});
const config = { ...smallConfig, classes: 0 };

function record(step: number, validated = false): LikelihoodRecord {
  return {
    step,
    epoch: step / 10,
    loss: -step,
    prior: 0.5,
    logDet: step + 0.5,
    meanSquares: [step, 1],
    gradientNorm: 2 * step,
    learningRate: 1e-3,
    imagesPerSecond: 32,
    dataShare: 0,
    ...(validated && { validation: { loss: -step - 0.25 } }),
  };
}

test('records are averaged in groups, and every validation ends one', () => {
  const records = [1, 2, 3, 4, 5, 6, 7].map((step) => record(step, step === 5));
  const averaged = averagedRecords(records, 3);
  expect(averaged.map(({ step, loss, meanSquares }) => [step, loss, meanSquares[0]])).toEqual([
    [3, -2, 2],
    [5, -4.5, 4.5],
    [7, -6.5, 6.5],
  ]);
  expect(averaged.map(({ validation }) => validation?.loss)).toEqual([undefined, -5.25, undefined]);
});

/** A run folder whose log goes on beyond its checkpoint, as that of a run that is going on. */
async function runFolder(
  steps: number,
  checkpointAt: number,
  from?: StartingPoint,
): Promise<string> {
  const run = path.join(folder, from ? 'second' : 'run');
  const settings = { batchSize: 64 };
  const description = { experiment: 'tiny', data: 'none', config, settings, from };
  fs.mkdirSync(run);
  fs.writeFileSync(path.join(run, 'run.json'), JSON.stringify(description));
  const lines = Array.from({ length: steps }, (_, i) =>
    JSON.stringify(record(i + 1, i % 100 === 99)),
  );
  fs.writeFileSync(path.join(run, 'log.jsonl'), `${lines.join('\n')}\n`);
  const flow = createTarFlow(config, 1);
  await saveCheckpoint(flow, path.join(run, 'checkpoint.safetensors'), { steps: checkpointAt });
  disposeModel(flow);
  return run;
}

test('a run is committed up to its checkpoint, short and in half precision', async () => {
  const run = await runFolder(1100, 1000);
  const tensors = tf.memory().numTensors;
  await commitRun(run, 'tiny');
  expect(tf.memory().numTensors).toBe(tensors);

  const committed = await readCommittedRun('tiny');
  expect(committed.run.experiment).toBe('tiny');
  expect(committed.run.config).toEqual(config);
  expect(committed).toMatchObject({ steps: 1000, seconds: 2000, stepsPerRecord: 3 });
  expect(committed.records.length).toBeLessThan(500);
  expect(committed.records.at(-1)?.step).toBe(1000);
  expect(committed.records.flatMap(({ step, validation }) => (validation ? [step] : []))).toEqual(
    Array.from({ length: 10 }, (_, i) => 100 * (i + 1)),
  );

  const { tensors: stored, metadata } = await readSafetensors(committedCheckpoint('tiny'));
  expect(stored['blocks.0.proj_in.weight']?.dtype).toBe('F16');
  expect(JSON.parse(metadata.details as string)).toEqual({ steps: 1000 });
});

test('a run that went on from the committed one takes its place, and its log is added', async () => {
  await commitRun(await runFolder(1100, 1000), 'tiny');
  const sha256 = createHash('sha256')
    .update(fs.readFileSync(committedCheckpoint('tiny')))
    .digest('hex');
  const from = { checkpoint: 'tiny.safetensors', sha256, steps: 1000 };
  const second = await runFolder(250, 1200, from);
  await commitRun(second, 'tiny');

  const committed = await readCommittedRun('tiny');
  expect(committed).toMatchObject({ steps: 1200, seconds: 2400, earlier: [{ until: 1000 }] });
  expect(committed.run.from).toEqual(from);
  const validated = committed.records.flatMap(({ step, validation }) => (validation ? [step] : []));
  expect(validated).toEqual(Array.from({ length: 12 }, (_, i) => 100 * (i + 1)));
  expect(committed.records.at(-1)?.epoch).toBeCloseTo(120);

  // Committed again, it is what it was; a run that began with something else is refused.
  await commitRun(second, 'tiny');
  expect(await readCommittedRun('tiny')).toEqual(committed);
  fs.rmSync(second, { recursive: true });
  const other = await runFolder(250, 1200, { ...from, sha256: 'of another' });
  await expect(commitRun(other, 'tiny')).rejects.toThrow('which is neither');
});

/** A run of a few real steps, whose folder it returns. */
async function trainedRun(name: string, steps: number, start?: string): Promise<string> {
  const to = path.join(folder, name);
  const from = start === undefined ? undefined : await readStartingPoint(start);
  const settings = { ...smallSettings, steps, averageDecay: 0.5 };
  const { model } = await train(smallRun(to, { settings, ...(from && { from }) }));
  disposeModel(model);
  if (from) tf.dispose(from.state);
  return to;
}

test('a run that began with the checkpoint of another name has its own log alone', async () => {
  await commitRun(await runFolder(1100, 1000), 'encoder');
  const sha256 = createHash('sha256')
    .update(fs.readFileSync(committedCheckpoint('encoder')))
    .digest('hex');
  const from = { checkpoint: 'encoder.safetensors', sha256, steps: 1000 };
  await commitRun(await runFolder(250, 1200, from), 'decoder');
  const committed = await readCommittedRun('decoder');
  expect(committed.run.from).toEqual(from);
  expect(committed.earlier).toBeUndefined();
  expect(committed.steps).toBe(250);
  expect((await readCommittedRun('encoder')).run.from).toBeUndefined();
});

test('a run goes on from a snapshot in results, without its folder, more than once', async () => {
  const kept = (name: string) => path.join(folder, 'results', name);
  const snapshot = kept('snapshots/tiny.safetensors');
  const run = await trainedRun('first', 4);
  await commitSnapshot(run, 'tiny');
  await commitSnapshot(run, 'tiny');
  expect(fs.existsSync(committedCheckpoint('tiny'))).toBe(false);
  fs.rmSync(run, { recursive: true });

  // The second run replaces the snapshot with which it began by one of its own, and again.
  const second = await trainedRun('second', 3, snapshot);
  await commitSnapshot(second, 'tiny');
  await commitSnapshot(second, 'tiny');
  const third = await trainedRun('third', 2, snapshot);
  await commitRun(third, 'tiny');
  const { steps, records, earlier } = await readCommittedRun('tiny');
  expect({ steps, until: earlier?.map(({ until }) => until) }).toEqual({ steps: 9, until: [4, 7] });
  expect(records.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const flow = await loadCheckpoint(committedCheckpoint('tiny'));
  expect(flow.details.steps).toBe(9);
  expect(fs.existsSync(snapshot)).toBe(false);
  expect(fs.existsSync(kept('snapshots/tiny.jsonl'))).toBe(false);
});

test('a snapshot leaves what is committed of earlier runs as it is', async () => {
  await commitRun(await trainedRun('first', 3), 'tiny');
  const committed = await readCommittedRun('tiny');
  const second = await trainedRun('second', 4, committedCheckpoint('tiny'));
  await commitSnapshot(second, 'tiny');
  expect(await readCommittedRun('tiny')).toEqual(committed);
  await commitRun(second, 'tiny');
  const { steps, records, earlier } = await readCommittedRun('tiny');
  expect({ steps, earlier: earlier?.length }).toEqual({ steps: 7, earlier: 1 });
  expect(records.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

test('a run that was never committed, and a damaged log, are named', async () => {
  await expect(readCommittedRun('absent')).rejects.toThrow(/absent\.jsonl/);
  const training = path.join(folder, 'results', 'training');
  fs.mkdirSync(training, { recursive: true });
  fs.writeFileSync(path.join(training, 'half.jsonl'), '{"run": {}');
  await expect(readCommittedRun('half')).rejects.toThrow(UserError);
});

test('a folder without a run is an error, and commits nothing', async () => {
  await expect(commitRun(path.join(folder, 'nowhere'), 'tiny')).rejects.toThrow(/run\.json/);
  expect(fs.existsSync(path.join(folder, 'results'))).toBe(false);
});

test('the losses of all steps are kept alone, and no model', async () => {
  await commitLosses(await runFolder(600, 600), 'tiny');
  const { steps, stepsPerRecord, records } = await readCommittedRun('tiny');
  expect([steps, stepsPerRecord, records.length]).toEqual([600, 1, 600]);
  expect(records[99]).toEqual({ step: 100, loss: -100, validation: { loss: -100.25 } });
  expect(fs.existsSync(committedCheckpoint('tiny'))).toBe(false);
});
