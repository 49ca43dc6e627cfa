import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isSetUp, type Mode, type ThreadUse } from '@tarflow/graph';
import { z } from 'zod';
import { currentEngine, startEngine } from '../core/engine.js';
import { writeAtomically } from '../core/files.js';
import { packageRoot } from '../core/package-root.js';
import { keptOrMade, keptPlace } from '../formats/kept-file.js';
import { jsonOf } from '../formats/metadata.js';
import { familyOf } from '../models/registry.js';
import { processorName } from '../sampling/planner/machine.js';
import type { Experiment } from '../training/experiment.js';
import { longRun } from '../training/program.js';
import { secondsPerStep } from '../training/step-time.js';
import type { CliCommand } from './command.js';

/** The hidden command that measures in a process of its own. */
const command = 'step-time';

/** The undivided use is chosen where its steps take less than this share of the divided one's time. */
export const worthIt = 0.97;

/** What is measured takes seconds, or a minute with large models. */
const patience = 10 * 60_000;

/** With more other work than this, as a share of all threads, a timing says little of an idle machine. */
const quietEnough = 0.2;

/**
 * Chooses, before the engine starts, how the threads of a processor are used in a long training of a
 * flow: by dividing each operation, or by dividing each batch and computing its parts side by side
 * (which takes memory for a gradient of each part). Which is faster depends on processor and model, and
 * so a few steps of both are timed, once: what was found is kept in the cache folder. Nothing is chosen
 * where TensorFlow's own variables say it, where an engine runs already, and where there is but one
 * thread or a GPU. Nothing is timed beside other work, which may be gone long before the training ends.
 *
 * @param mode how the steps will run; absent for the usual way
 * @param recorded how threads were used until now by a run that is resumed: it goes on so, since its
 *   rounding depends on it
 * @param load what share of all threads works for others; absent for what a second shows
 */
export async function chooseTrainingThreads(
  experiment: Experiment,
  mode: Mode | undefined,
  recorded?: ThreadUse,
  load: () => Promise<number> = busyShare,
): Promise<void> {
  const threads = os.availableParallelism();
  if (recorded && threads > 1 && !isDecided()) return useThreads(recorded, threads);
  if (recorded || !isChosenFor(experiment, mode)) return;
  const { config, settings } = experiment;
  const { batchSize, precision, averageDecay, clipNorm } = settings;
  const { version }: { version: string } = require(path.join(packageRoot(), 'package.json'));
  const hasGpus = fs.existsSync('/proc/driver/nvidia/version');
  const dependsOn = {
    version,
    processor: processorName(),
    gpus: hasGpus ? (process.env.CUDA_VISIBLE_DEVICES ?? 'all') : undefined,
    threads,
    config,
    batchSize,
    precision,
    mode,
    averages: averageDecay > 0,
    clips: clipNorm > 0,
  };
  const place = keptPlace('threads', dependsOn, { ending: 'json' });
  const { use } = await keptOrMade<{ use: ThreadUse | undefined }>(place, {
    read: async (file) => jsonOf(keptSchema, fs.readFileSync(file, 'utf8')),
    make: async () => ({
      use: (await isQuiet(load)) ? await measuredUse(experiment, mode, threads) : undefined,
    }),
    async write(file, made) {
      if (made.use) await writeAtomically(file, `${JSON.stringify({ ...made, dependsOn })}\n`);
    },
  });
  if (use) useThreads(use, threads);
}

const keptSchema = z.object({ use: z.enum(['divided', 'undivided']) });

function useThreads(use: ThreadUse, threads: number): void {
  Object.assign(process.env, environmentOf(use, threads));
}

/** Whether the use of threads is no longer to be chosen: variables say it, or an engine runs. */
function isDecided(): boolean {
  const { TF_NUM_INTRAOP_THREADS: within, TF_NUM_INTEROP_THREADS: between } = process.env;
  if (within || between) return true;
  try {
    currentEngine();
    return true;
  } catch {
    return false;
  }
}

/**
 * Seconds of a step, for the choice of a model. Where a use of threads is chosen afterwards, another process
 * takes the time: no engine may run in this one before.
 *
 * @throws Error with the line in which that process says what is wrong
 */
export async function stepSeconds(
  experiment: Pick<Experiment, 'config' | 'settings'>,
): Promise<number> {
  if (isChosenFor(experiment, undefined)) return (await timed(experiment, undefined, {})).seconds;
  await startEngine();
  return secondsPerStep({ family: familyOf(experiment.config.kind), ...experiment });
}

/** Whether a use of threads is chosen: another may be faster in a long run of a flow on TensorFlow. */
function isChosenFor(
  { config, settings }: Pick<Experiment, 'config' | 'settings'>,
  mode: Mode | undefined,
): boolean {
  if (os.availableParallelism() === 1 || isDecided()) return false;
  const engine = process.env.TARFLOW_BACKEND || (isSetUp() ? 'tensorflow' : 'wasm');
  const flow = familyOf(config.kind).flow !== undefined;
  return engine === 'tensorflow' && mode !== 'eager' && flow && settings.steps >= longRun;
}

/** What makes TensorFlow use threads so. */
function environmentOf(use: ThreadUse, threads: number): Record<string, string> {
  return use === 'divided'
    ? {}
    : { TF_NUM_INTRAOP_THREADS: '1', TF_NUM_INTEROP_THREADS: String(threads) };
}

/** Whether steps can be timed now; says so where they cannot. */
async function isQuiet(load: () => Promise<number>): Promise<boolean> {
  const busy = await load();
  if (busy <= quietEnough) return true;
  console.error(
    `Other work keeps ${Math.round(100 * busy)} % of the processor busy, so no steps are timed and each ` +
      'operation is divided among all threads. A training that begins on an idle machine is timed.',
  );
  return false;
}

/** What share of all threads works, in a second in which this process waits. */
export async function busyShare(): Promise<number> {
  const before = processorTimes();
  await setTimeout(1000);
  const after = processorTimes();
  const busy = after.busy - before.busy;
  return busy / Math.max(1, busy + after.idle - before.idle);
}

/** Milliseconds of the threads that this process may use, together, since the machine started. */
function processorTimes(): { busy: number; idle: number } {
  const sum = { busy: 0, idle: 0 };
  const isAllowed = allowedThreads();
  for (const [index, { times }] of os.cpus().entries()) {
    if (!isAllowed(index)) continue;
    sum.idle += times.idle;
    sum.busy += times.user + times.nice + times.sys + times.irq;
  }
  return sum;
}

/** Which threads Linux lets this process use, by their numbers; all where nothing says. */
function allowedThreads(): (thread: number) => boolean {
  const file = '/proc/self/status';
  const status = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  const [, list] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status) ?? [];
  const ranges = list?.split(',').map((range) => range.split('-').map(Number));
  return (thread) =>
    ranges?.some(([first = 0, last = first]) => first <= thread && thread <= last) ?? true;
}

/** The faster use, or undefined where it could not be measured, or a GPU computes. */
async function measuredUse(
  experiment: Experiment,
  mode: Mode | undefined,
  threads: number,
): Promise<ThreadUse | undefined> {
  console.error(
    'Timing a few steps by two uses of the threads, once for this model and processor …',
  );
  try {
    const look = (use: ThreadUse) => timed(experiment, mode, environmentOf(use, threads));
    const first = await look('divided');
    if (first.gpu) return undefined;
    // One before and one after the other two: what else the machine does changes with time.
    const middle = [await look('undivided'), await look('undivided')];
    const undivided = Math.min(...middle.map(({ seconds }) => seconds));
    const divided = Math.min(first.seconds, (await look('divided')).seconds);
    const use = undivided < worthIt * divided ? 'undivided' : 'divided';
    const [chosen, other] = use === 'divided' ? [divided, undivided] : [undivided, divided];
    console.error(
      `A step takes ${chosen.toFixed(3)} s with ${inWords[use]} (the other way ` +
        `${(other / chosen).toFixed(2)} times as long).`,
    );
    return use;
  } catch (error) {
    // The training itself says what is wrong with the model.
    console.error(`No steps could be timed: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}

const inWords: Record<ThreadUse, string> = {
  divided: 'each operation divided among all threads',
  undivided: 'a part of the batch in each thread',
};

const timeSchema = z.object({ seconds: z.number().positive(), gpu: z.boolean() });
type StepTime = z.infer<typeof timeSchema>;

/**
 * Seconds of a step in a process with some environment.
 * @throws Error with the line in which the process says what is wrong
 */
async function timed(
  experiment: Pick<Experiment, 'config' | 'settings'>,
  mode: Mode | undefined,
  environment: Record<string, string>,
): Promise<StepTime> {
  const bin = path.join(packageRoot(), 'src', 'cli', 'bin.js');
  const env = { ...process.env, TARFLOW_BACKEND: 'tensorflow', ...environment };
  const running = promisify(execFile)(process.execPath, [bin, command], { env, timeout: patience });
  // One that ends at once reads nothing; its status says so.
  running.child.stdin?.on('error', () => {});
  running.child.stdin?.end(JSON.stringify({ ...experiment, mode }));
  const { stdout } = await running.catch((error: Error & { stderr: string }) => {
    // In the words of what it wrote: the first line that names an error, or its last.
    const named = /^(?:tarflow|\w*Error): (.+)$/m.exec(error.stderr)?.[1];
    throw new Error(named ?? (lastLine(error.stderr) || error.message));
  });
  const time = jsonOf(timeSchema, lastLine(stdout));
  if (time) return time;
  throw new Error(`${command} answered '${lastLine(stdout)}'`);
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

/** Adds the command that {@link chooseTrainingThreads} calls: an experiment in, seconds out. */
export const stepTime: CliCommand = (program) => {
  program.command(command, { hidden: true }).action(async () => {
    const asked: Pick<Experiment, 'config' | 'settings'> & { mode?: Mode } = JSON.parse(
      fs.readFileSync(0, 'utf8'),
    );
    const { config, settings, mode } = asked;
    const { gpu } = await startEngine();
    const seconds = await secondsPerStep({ family: familyOf(config.kind), config, settings, mode });
    console.log(JSON.stringify({ seconds, gpu }));
  });
};
