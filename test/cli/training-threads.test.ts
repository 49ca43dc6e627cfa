import { once } from 'node:events';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { busyShare, chooseTrainingThreads, stepSeconds } from '../../src/cli/training-threads.js';
import { UserError } from '../../src/core/errors.js';
import type { Experiment } from '../../src/training/experiment.js';
import { longRun } from '../../src/training/program.js';
import { checkSettings } from '../../src/training/settings.js';
import { findExperiment } from '../../workbook/experiments/index.js';
import { smallConfig, smallSettings } from '../training/small.js';
import { refused, succeeds, tarflow, temporaryFolder, tiny } from './command-line.js';

vi.mock('../../src/cli/training-threads.js', { spy: true });

const variables = ['TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS', 'TARFLOW_BACKEND'] as const;
const settings = checkSettings({ ...smallSettings, steps: longRun, holdSteps: 0 });
const long: Experiment = {
  ...{ name: 'small', description: '', dataset: 'fashion-mnist' },
  ...{ config: smallConfig, settings },
};
const several = os.availableParallelism() > 1;
/** Other tests run beside these. */
const quiet = async () => 0;
const busy = async () => 0.37;

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
  test.runIf(several)('is measured once beside no other work, kept, and told', async () => {
    await chooseTrainingThreads(long, 'graph', undefined, busy);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/^Other work keeps 37 % of the processor busy, so no steps are timed/);
    expect(files()).toEqual([]);
    expect(process.env.TF_NUM_INTRAOP_THREADS).toBeUndefined();

    await chooseTrainingThreads(long, 'graph', undefined, quiet);
    expect(told[1]).toMatch(/^Timing a few steps/);
    expect(told[2]).toMatch(/^A step takes \d\.\d{3} s with .* times as long\)\.$/);
    const [file = ''] = files();
    const { use } = JSON.parse(fs.readFileSync(path.join(kept, file), 'utf8'));
    const chosen = { divided: undefined, undivided: '1' }[use as 'divided'];
    expect(['divided', 'undivided']).toContain(use);
    expect(process.env.TF_NUM_INTRAOP_THREADS).toBe(chosen);

    // What is kept decides, whatever it is, also beside other work.
    for (const [kind, within] of [
      ['divided', undefined],
      ['undivided', '1'],
    ] as const) {
      for (const variable of variables) delete process.env[variable];
      fs.writeFileSync(path.join(kept, file), JSON.stringify({ use: kind }));
      await chooseTrainingThreads(long, 'graph', undefined, busy);
      expect(process.env.TF_NUM_INTRAOP_THREADS).toBe(within);
      const between = within && String(os.availableParallelism());
      expect(process.env.TF_NUM_INTEROP_THREADS).toBe(between);
    }
    expect(told).toHaveLength(3);
    // What is damaged does not, and would be made anew.
    for (const variable of variables) delete process.env[variable];
    fs.writeFileSync(path.join(kept, file), '{"use":"some"}');
    await chooseTrainingThreads(long, 'graph', undefined, busy);
    expect(told).toHaveLength(4);
    expect(told[3]).toMatch(/^Other work/);
    expect(files()).toEqual([file]);
  });

  test.runIf(several).each([
    ['divided', undefined],
    ['undivided', '1'],
  ] as const)('is that of a run that is resumed: %s', async (recorded, within) => {
    await chooseTrainingThreads(long, 'graph', recorded, quiet);
    expect(process.env.TF_NUM_INTRAOP_THREADS).toBe(within);
    expect(told).toEqual([]);
    expect(files()).toEqual([]);
  });

  test.each<[string, Partial<Record<(typeof variables)[number], string>>, Partial<Experiment>]>([
    ['TensorFlow is told already', { TF_NUM_INTRAOP_THREADS: '2' }, {}],
    ['another engine computes', { TARFLOW_BACKEND: 'wasm' }, {}],
    ['the run is short', {}, { settings: { ...settings, steps: longRun - 1 } }],
    ['the model is no flow', {}, { config: findExperiment('emoji-vae').config }],
  ])('is left as it is where %s', async (_name, environment, changes) => {
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
    await chooseTrainingThreads({ ...long, ...changes }, undefined);
    await chooseTrainingThreads({ ...long, ...changes }, 'eager');
    expect(told).toEqual([]);
    expect(files()).toEqual([]);
    expect(process.env.TF_NUM_INTRAOP_THREADS).toBe(environment.TF_NUM_INTRAOP_THREADS);
  });

  test.runIf(several)('is left as it is where no step can be timed, which is told', async () => {
    const config = { ...smallConfig, patchSize: 3 };
    await chooseTrainingThreads({ ...long, config }, 'graph', undefined, quiet);
    expect(told[1]).toMatch(/^No steps could be timed: .*patch of 3×3/);
    expect(files()).toEqual([]);
    expect(process.env.TF_NUM_INTRAOP_THREADS).toBeUndefined();
  });
});

test.runIf(several)(
  'a model is chosen by steps of another process: no engine runs here',
  async () => {
    const seconds = await stepSeconds(long);
    expect(seconds).toBeGreaterThan(0);
    await chooseTrainingThreads(long, 'graph', undefined, quiet);
    expect(files()).toHaveLength(1);
  },
);

test('other work is seen where no thread waits', async () => {
  const workers = os.cpus().map(() => new Worker('for (;;) {}', { eval: true }));
  await Promise.all(workers.map((worker) => once(worker, 'online')));
  const busy = await busyShare();
  await Promise.all(workers.map((worker) => worker.terminate()));
  expect(busy).toBeGreaterThan(0.7);
  expect(busy).toBeLessThanOrEqual(1);
});

/** Stops a command where it chooses. */
const chosen = () =>
  vi.mocked(chooseTrainingThreads).mockReset().mockRejectedValue(new UserError('Chosen', 'Go on'));
afterEach(() => void vi.mocked(chooseTrainingThreads).mockRestore());

describe('tarflow reproduce', () => {
  const reproduce = (...options: string[]) =>
    tarflow('reproduce', '--out', temporaryFolder(), ...options);
  /** No statistics, which stops a reproduction after it has chosen and before it trains. */
  const broken = ['--statistics', __filename];
  const oneRow = ['--table', 'noise-kinds', '--row', 'Gaussian noise of 0.1'];
  test('uses threads as its longest training does, and looks for data before', async () => {
    const choice = chosen();
    const missing = await reproduce('--table', 'likelihood-fashion-mnist');
    expect(missing.code).toBe(2);
    expect(missing.stderr).toContain('Fashion-MNIST is not complete');
    expect(choice).not.toHaveBeenCalled();

    vi.unstubAllEnvs();
    // Of a file that is missing, too, it is told before.
    const absent = await reproduce(...oneRow, '--statistics', 'none.pth');
    expect(absent.stderr).toContain('none.pth');
    expect(choice).not.toHaveBeenCalled();
    const several = reproduce('--table', 'likelihood-fashion-mnist', ...broken);
    expect(await refused(several)).toContain('Chosen');
    expect(choice.mock.calls.map(([{ name }]) => name)).toEqual(['fashion-mnist-density']);
  });

  test('goes on as a training that is begun does', async () => {
    const choice = chosen();
    vi.unstubAllEnvs();
    const out = temporaryFolder();
    const run = path.join(out, 'runs', 'design-gaussian-seed-1');
    fs.mkdirSync(run, { recursive: true });
    const { config, settings } = findExperiment('design-gaussian');
    const begun = { data: 'fashion-mnist', split: 'train', mode: 'graph', threads: 'undivided' };
    const description = { ...begun, config, settings };
    fs.writeFileSync(path.join(run, 'run.json'), JSON.stringify(description));
    const steps = (step: number) =>
      fs.writeFileSync(path.join(run, 'log.jsonl'), `${JSON.stringify({ step })}\n`);
    for (const [step, threads] of [
      [2, 'undivided'],
      [settings.steps, undefined],
    ] as const) {
      steps(step);
      // The other row of the table is not begun.
      const both = ['--table', 'noise-kinds', '--out', out];
      const { stderr } = await tarflow('reproduce', ...both, ...broken);
      expect(stderr).toContain('Chosen');
      expect(choice.mock.calls.at(-1)?.[2]).toBe(threads);
    }
  });

  test('leaves them as they are for given weights and where sampling is timed', async () => {
    const choice = chosen();
    vi.unstubAllEnvs();
    const one = ['--row', 'ImageNet 64×64, conditional'];
    const timed = await reproduce('--table', 'gs-jacobi', ...one, ...broken);
    expect(timed.stderr).toContain('training-threads.test.ts');
    const weights = path.join(__dirname, '../../results/checkpoints/emoji-256-tokens.safetensors');
    const given = await reproduce(...oneRow, '--weights', weights, ...broken);
    expect(given.stderr).toContain('training-threads.test.ts');
    expect(choice).not.toHaveBeenCalled();
  });
});

test('tarflow train tells at once what it can, before it chooses', async () => {
  vi.unstubAllEnvs();
  const folder = temporaryFolder();
  const [out, other] = [path.join(folder, 'run'), path.join(folder, 'other')];
  const train = (place: string, overrides: readonly string[], ...options: string[]) => {
    const asked = ['--experiment', 'mnist-demonstration', '--out', place, ...options];
    return tarflow('train', ...asked, '--set', ...tiny, ...overrides);
  };
  await succeeds(train(other, ['steps=1', 'channels=32'], '--mode', 'eager'));
  const choice = chosen();
  const many = ['steps=2000', 'validationImages=4'];
  for (const [place, overrides, options, message] of [
    [out, ['batchSize=1e9'], [], /batch of 1000000000 is larger/],
    [out, ['classes=3'], [], /10 classes and the model 3/],
    [out, ['image.height=14'], [], /28×28.*14×28|14×28.*28×28/],
    [out, [], ['--from', other], /channels 32, the run 16/],
    [out, [], ['--from', path.join(folder, 'none')], /none cannot be read/],
    [out, [], ['--resume'], /holds no run/],
    [other, [], [], /holds a run already/],
    [path.join(__filename, 'run'), [], [], /cannot be written/],
  ] as const) {
    expect(await refused(train(place, [...many, ...overrides], ...options))).toMatch(message);
  }
  expect(choice).not.toHaveBeenCalled();
  expect(fs.existsSync(out)).toBe(false);
  expect((await train(out, many)).stderr).toContain('Chosen');
});
