import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { UserError } from '../../../src/core/errors.js';
import { loadCheckpoint } from '../../../src/models/load-checkpoint.js';
import { trainForResults } from '../../../workbook/notebook/models.js';
import { committedCheckpoint, readCommittedRun } from '../../../workbook/records/training-run.js';
import { temporaryFolder } from '../../temporary-folder.js';
import { madeUpImages, smallConfig, smallSettings } from '../../training/small.js';
import { chooseResults } from '../results.js';

let folder: string;

beforeEach(() => {
  folder = temporaryFolder();
  chooseResults(path.join(folder, 'results'));
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  vi.spyOn(console, 'log').mockReturnValue();
});
afterEach(() => {
  vi.restoreAllMocks();
});

const settings = { ...smallSettings, steps: 100 };
const experiment = { name: 'made-up', config: smallConfig, settings };
const data = { train: madeUpImages('train', 40), validation: madeUpImages('validation', 8) };

test('a run that is stopped goes on, and is committed when it is done', async () => {
  const runFolder = path.join(folder, 'run');
  const stopped = trainForResults('small', experiment, data, runFolder).catch((error) => error);
  // A listener for interrupts is there as long as the run goes on.
  await vi.waitFor(() => {
    expect(fs.existsSync(path.join(runFolder, 'run.json'))).toBe(true);
    process.emit('SIGINT');
  });
  const error = await stopped;
  expect(error).toBeInstanceOf(UserError);
  expect(error.message).toContain('The training of small was stopped');
  await trainForResults('small', experiment, data, runFolder);
  const { run, steps } = await readCommittedRun('small');
  expect(steps).toBe(settings.steps);
  expect(run.experiment).toBe('made-up');
  const flow = await loadCheckpoint(committedCheckpoint('small'));
  expect(flow.config).toEqual(smallConfig);
});
