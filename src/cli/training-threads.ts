import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { cacheFolder } from '../backend/cache-folder.js';
import { startEngine } from '../backend/engine.js';
import { makeFolderSync } from '../backend/files.js';
import type { Mode } from '../backend/program/index.js';
import { familyOf } from '../models/registry.js';
import { processorName } from '../sampling/planner/machine.js';
import type { Experiment } from '../training/experiment.js';
import { longRun } from '../training/mode.js';
import { secondsPerStep } from '../training/step-time.js';
import { packageRoot } from '../workbook/results-folder.js';

/** The hidden command that measures in a process of its own. */
const command = 'step-time';

/** How threads are used: all of them by each operation, or one by each, for parts of a batch. */
type Use = 'divided' | 'undivided';

/** What a use has to gain to be chosen. */
const worthIt = 0.97;

/**
 * Chooses, before the engine starts, how the threads of a processor are used in a long training: by
 * dividing each operation, or by dividing each batch and computing its parts side by side. Which is
 * faster depends on processor and model, and so a few steps of both are timed, once: what was found is
 * kept in the cache folder. Nothing is chosen where TensorFlow's own variables say it, and where there
 * is but one thread or a GPU.
 *
 * @param steps of the run
 */
export async function chooseTrainingThreads(
  experiment: Experiment,
  mode: Mode | undefined,
): Promise<void> {
  const threads = os.availableParallelism();
  const { TF_NUM_INTRAOP_THREADS: within, TF_NUM_INTEROP_THREADS: between } = process.env;
  const engine = process.env.TARFLOW_BACKEND ?? 'tensorflow';
  const asked = within !== undefined || between !== undefined;
  const { config, settings } = experiment;
  const fits = engine === 'tensorflow' && mode !== 'eager' && familyOf(config.kind).flow;
  if (asked || threads === 1 || !fits || settings.steps < longRun) return;
  const { batchSize, precision, averageDecay, clipNorm } = settings;
  const use = await keptChoice(
    {
      processor: processorName(),
      ...{ threads, config, batchSize, precision, mode },
      averages: averageDecay > 0,
      clips: clipNorm > 0,
    },
    () => measuredUse(experiment, mode, threads),
  );
  if (use === 'undivided') Object.assign(process.env, environmentOf(use, threads));
}

/** What makes TensorFlow use threads so. */
function environmentOf(use: Use, threads: number): Record<string, string> {
  return use === 'divided'
    ? {}
    : { TF_NUM_INTRAOP_THREADS: '1', TF_NUM_INTEROP_THREADS: String(threads) };
}

/** The choice that is kept under what it depends on, or is made now. */
async function keptChoice(
  dependsOn: object,
  choose: () => Promise<Use | undefined>,
): Promise<Use | undefined> {
  const { version } = require('../../package.json') as { version: string };
  const key = createHash('sha256')
    .update(JSON.stringify([version, dependsOn]))
    .digest('hex');
  const file = path.join(cacheFolder(), 'threads', `${key.slice(0, 32)}.json`);
  try {
    return (JSON.parse(fs.readFileSync(file, 'utf8')) as { use: Use }).use;
  } catch {
    // Not there, or damaged: made now.
  }
  const use = await choose();
  if (!use) return undefined;
  try {
    makeFolderSync(path.dirname(file));
    fs.writeFileSync(file, `${JSON.stringify({ use, dependsOn })}\n`);
  } catch {
    // A cache that cannot be written costs the same measurement next time.
  }
  return use;
}

/** The faster use, or undefined where it could not be measured. */
async function measuredUse(
  experiment: Experiment,
  mode: Mode | undefined,
  threads: number,
): Promise<Use | undefined> {
  console.error(
    'Timing a few steps by two uses of the threads, once for this model and processor …',
  );
  try {
    const divided = await timed(experiment, mode, environmentOf('divided', threads));
    const undivided = await timed(experiment, mode, environmentOf('undivided', threads));
    const ratio = undivided / divided;
    const [shown, use]: [string, Use] =
      ratio < worthIt
        ? ['a part of the batch in each thread', 'undivided']
        : ['each operation divided among all threads', 'divided'];
    const seconds = Math.min(divided, undivided);
    console.error(
      `A step takes ${seconds.toFixed(3)} s with ${shown} (the other way ` +
        `${(Math.max(divided, undivided) / seconds).toFixed(2)} times as long).`,
    );
    return use;
  } catch (error) {
    // The training itself says what is wrong with the model.
    console.error(`No steps could be timed: ${(error as Error).message.split('\n')[0]}`);
    return undefined;
  }
}

/** Seconds of a step in a process with some environment. */
async function timed(
  experiment: Experiment,
  mode: Mode | undefined,
  environment: Record<string, string>,
): Promise<number> {
  const bin = path.join(packageRoot(), 'src', 'cli', 'bin.js');
  const call = promisify(execFile)(process.execPath, [bin, command], {
    env: { ...process.env, ...environment },
  });
  call.child.stdin?.end(JSON.stringify({ ...experiment, mode }));
  const { stdout } = await call;
  return (JSON.parse(stdout) as { seconds: number }).seconds;
}

/** Adds the command that {@link chooseTrainingThreads} calls: an experiment in, seconds out. */
export function addStepTime(program: Command): void {
  program.command(command, { hidden: true }).action(async () => {
    const { mode, ...experiment } = JSON.parse(fs.readFileSync(0, 'utf8')) as Experiment & {
      mode?: Mode;
    };
    const { config, settings } = experiment;
    await startEngine();
    const seconds = await secondsPerStep({ family: familyOf(config.kind), config, settings, mode });
    console.log(JSON.stringify({ seconds }));
  });
}
