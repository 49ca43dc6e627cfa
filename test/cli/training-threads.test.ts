import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { chooseTrainingThreads } from '../../src/cli/training-threads.js';
import type { Experiment } from '../../src/training/experiment.js';
import { longRun } from '../../src/training/mode.js';
import { checkSettings } from '../../src/training/settings.js';
import { smallConfig, smallSettings } from '../training/small.js';
import { temporaryFolder } from './command-line.js';

const variables = ['TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS', 'TARFLOW_BACKEND'] as const;
const settings = checkSettings({ ...smallSettings, steps: longRun, holdSteps: 0 });
const long: Experiment = {
  ...{ name: 'small', description: '', dataset: 'fashion-mnist' },
  ...{ config: smallConfig, settings },
};
const several = os.availableParallelism() > 1;

let told: string[] = [];
let kept: string;
beforeEach(() => {
  const folder = temporaryFolder();
  vi.stubEnv('TARFLOW_CACHE', folder);
  for (const variable of variables) vi.stubEnv(variable, undefined);
  kept = path.join(folder, 'threads');
  told = [];
  vi.spyOn(console, 'error').mockImplementation((text) => {
    told.push(String(text));
  });
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const files = () => (fs.existsSync(kept) ? fs.readdirSync(kept) : []);

describe('how a long training uses threads', () => {
  test.runIf(several)('is measured once, kept, and told to TensorFlow', async () => {
    // The addon and TensorFlow are in the usual cache folder; only what is kept goes elsewhere.
    const engine = { TARFLOW_BACKEND: 'tensorflow' };
    vi.stubEnv('TARFLOW_BACKEND', engine.TARFLOW_BACKEND);
    await chooseTrainingThreads(long, 'graph');
    expect(told[0]).toMatch(/^Timing a few steps/);
    expect(told[1]).toMatch(/^A step takes \d\.\d{3} s with .* times as long\)\.$/);
    const [file = ''] = files();
    const { use } = JSON.parse(fs.readFileSync(path.join(kept, file), 'utf8'));
    const chosen = { divided: undefined, undivided: '1' }[use as 'divided'];
    expect(['divided', 'undivided']).toContain(use);
    expect(process.env.TF_NUM_INTRAOP_THREADS).toBe(chosen);

    delete process.env.TF_NUM_INTRAOP_THREADS;
    delete process.env.TF_NUM_INTEROP_THREADS;
    await chooseTrainingThreads(long, 'graph');
    expect(told).toHaveLength(2);
    expect(process.env.TF_NUM_INTRAOP_THREADS).toBe(chosen);
    expect(files()).toHaveLength(1);
  });

  test.each<[string, Partial<Record<(typeof variables)[number], string>>, Partial<Experiment>]>([
    ['TensorFlow is told already', { TF_NUM_INTRAOP_THREADS: '2' }, {}],
    ['another engine computes', { TARFLOW_BACKEND: 'wasm' }, {}],
    ['the run is short', {}, { settings: { ...settings, steps: longRun - 1 } }],
  ])('is left as it is where %s', async (_name, environment, changes) => {
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
    await chooseTrainingThreads({ ...long, ...changes }, undefined);
    expect(told).toEqual([]);
    expect(files()).toEqual([]);
    expect(process.env.TF_NUM_INTRAOP_THREADS).toBe(environment.TF_NUM_INTRAOP_THREADS);
  });

  test.runIf(several)('is left as it is where no step can be timed, which is told', async () => {
    const config = { ...smallConfig, patchSize: 3 };
    await chooseTrainingThreads({ ...long, config }, 'graph');
    expect(told[1]).toMatch(/^No steps could be timed/);
    expect(files()).toEqual([]);
    expect(process.env.TF_NUM_INTRAOP_THREADS).toBeUndefined();
  });
});
