import { constants, existsSync } from 'node:fs';
import { appendFile, readdir, readFile, rename, rm } from 'node:fs/promises';
import * as path from 'node:path';
import { type Mode, threadUse } from '@tarflow/graph';
import { UserError } from '../core/errors.js';
import {
  FileUnwritable,
  isTemporaryName,
  makeFolder,
  syncFile,
  writeAtomically,
} from '../core/files.js';
import { isNested } from '../core/schema.js';
import type { Leaves } from '../core/tree.js';
import type { Split } from '../data/source.js';
import { bestName, checkpointName, descriptionName } from './checkpoint.js';
import { checkStartedLatents } from './checks.js';
import type { StepRecord } from './record.js';
import {
  changeable,
  type Difference,
  descriptionText,
  differences,
  isChangeable,
  type NamedData,
  type RunDescription,
  readRunDescription,
  type StartingPoint,
  type TrainedThing,
} from './run-description.js';
import { lockFolder } from './run-lock.js';
import {
  isStateName,
  openLastState,
  readState,
  savedSteps,
  stateName,
  stepsOfCheckpoint,
  writeState,
} from './saved-state.js';
import type { TrainingSettings } from './settings.js';

interface SavedState {
  step: number;
  /** The caller frees it. */
  state: Leaves;
  /** Whether the folder's checkpoint is of this step: not where a save was cut short. */
  checkpointed: boolean;
}

/** What a run's folder notes of it beside what it trains. */
interface HowToRun {
  /** How its steps are to run, where that was asked for; a run that is resumed otherwise keeps its mode. */
  asked?: Mode | undefined;
  /** How they do if nothing was said. */
  usual: Mode;
  /** What of the data set it is trained on. */
  split: Split;
  named?: NamedData | undefined;
  /** How many processes share each step, where there are several. */
  processes?: number | undefined;
}

interface OpenedRun {
  from: StartingPoint | undefined;
  mode: Mode;
  saved: SavedState | undefined;
}

const logName = 'log.jsonl';

/** Whether a path is that of a file that belongs to a run. */
export function isFileOfRun(file: string): boolean {
  const { dir, base } = path.parse(file);
  const isOne =
    isStateName(base) || [descriptionName, logName, checkpointName, bestName].includes(base);
  return isOne && existsSync(path.join(dir, descriptionName));
}

/**
 * The folder of a training run: `run.json` says what it trains, `log.jsonl` has a line per step,
 * `state-<step>.safetensors` all that resuming needs, `checkpoint.safetensors` the model, and
 * `best.safetensors` the one with the least validation loss. While a run is open, its folder is locked by
 * `run.lock`.
 */
export class RunFolder {
  /** The path of the run's checkpoint, whether it is there yet or not. */
  readonly checkpoint: string;
  /** The path of the checkpoint of the step with the least validation loss, where one was validated. */
  readonly best: string;
  private readonly log: string;
  private readonly description: string;
  private opened: { description: TrainedThing; unlock: () => Promise<void> } | undefined;

  constructor(
    /** The path of the folder. */
    readonly folder: string,
  ) {
    this.checkpoint = path.join(folder, checkpointName);
    this.best = path.join(folder, bestName);
    this.log = path.join(folder, logName);
    this.description = path.join(folder, descriptionName);
  }

  /**
   * What the folder's `run.json` says.
   * @throws UserError where no run is there, or its `run.json` is damaged
   */
  described(): Promise<RunDescription> {
    return readRunDescription(this.folder);
  }

  /**
   * Checks that a new run can begin in the folder. Nothing is made or locked.
   * @throws UserError where a run, or a part of one, is in the way
   */
  async checkFree(): Promise<void> {
    if ((await descriptionText(this.folder)) !== undefined) {
      throw new UserError(
        `${this.folder} holds a run already`,
        'Go on with it by resume (--resume), or choose another folder',
      );
    }
    const names = await readdir(this.folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw new UserError(
        `${this.folder} cannot be read (${error.message})`,
        'Choose another folder',
      );
    });
    const saved = names.find((name) => isStateName(name) || name === checkpointName);
    if (saved === undefined) return;
    throw new UserError(
      `${this.folder} holds a ${saved}, and no ${descriptionName} of its run`,
      'Put it away, or choose another folder',
    );
  }

  /**
   * Begins a run, or meets the one that is there, and locks the folder until `close`.
   *
   * @internal Called by `train`.
   * @param description what is trained
   * @param resume true to go on with what the folder holds, which then must be the same run but for
   *   its mode; `'replanned'` to do so also where settings differ that may change (steps, learning
   *   rate, intervals): `run.json` then keeps the old ones
   * @param how what else is written down of it: how its steps run, on which split, and how its data open
   * @returns the state to go on from, or none for a new run, how its steps run, and what the run
   *   began with, which a resumed one need not say again
   * @throws UserError where another process has it open, another run is in the way, or the folder holds
   *   a different one
   */
  async open(
    description: TrainedThing,
    resume: boolean | 'replanned',
    how: HowToRun,
  ): Promise<OpenedRun> {
    await makeFolder(this.folder).catch((error: Error) => {
      const problem = `The folder ${this.folder} cannot be made (${error.message})`;
      throw new FileUnwritable(problem, 'Choose another folder');
    });
    const unlock = await lockFolder(path.join(this.folder, 'run.lock'), this.folder);
    try {
      const met = resume
        ? await this.goOn(description, resume, how)
        : await this.begin(description, how);
      this.opened = { description: { ...description, from: met.from }, unlock };
      return met;
    } catch (error) {
      await unlock();
      throw error;
    }
  }

  /**
   * Unlocks the folder; does nothing where it is not open.
   * @internal Called by `train`.
   */
  async close(): Promise<void> {
    const { opened } = this;
    this.opened = undefined;
    await opened?.unlock();
  }

  private async begin(
    description: TrainedThing,
    { asked, usual, split, named, processes }: HowToRun,
  ): Promise<OpenedRun> {
    await this.checkFree();
    const mode = asked ?? usual;
    await writeAtomically(this.log, '');
    await this.describe({ ...description, split, named, mode, threads: threadUse(), processes });
    return { from: description.from, mode, saved: undefined };
  }

  private async goOn(
    description: TrainedThing,
    resume: true | 'replanned',
    how: HowToRun,
  ): Promise<OpenedRun> {
    const described = await this.described();
    const recorded = trainedThing(described);
    checkStartedLatents(
      { which: `The latents of the run in ${this.folder}`, latents: recorded.latents },
      { name: description.data, latents: description.latents },
    );
    if (described.split !== how.split) {
      throw new UserError(
        `The run in ${this.folder} was trained on the split ${described.split}, and ${how.split} came`,
        'Resume it with the data that it was trained on, in the library by `train`',
      );
    }
    const latents = recorded.latents ?? description.latents;
    const before = { ...recorded, latents };
    const now = { ...description, latents, from: description.from ?? before.from };
    const changes = differences(before, now);
    const isSame = changes.length === 0;
    const mayChange = changes.every(isChangeable);
    if (!isSame && (resume !== 'replanned' || !mayChange)) {
      const all = changes.map(({ path, there, here }) => `${path}: ${there} there, ${here} here`);
      throw new UserError(
        `${this.description} describes another run: ${all.join('; ')}`,
        remedyOf(changes, mayChange),
      );
    }
    const saved = await this.readSaved(before);
    const step = saved?.step ?? 0;
    if (step > now.settings.steps) {
      throw new UserError(
        `${step} steps are done, and the new plan has ${now.settings.steps}`,
        `Give ${step} or more, or begin a new run`,
      );
    }
    const { history = [] } = described;
    const next: RunDescription = {
      ...described,
      ...now,
      named: how.named ?? described.named,
      mode: how.asked ?? described.mode,
      threads: threadUse(),
      processes: how.processes,
      ...(!isSame && { history: [...history, { until: step, plan: changeable(before) }] }),
    };
    if (differences(next, described).length > 0) await this.describe(next);
    return { from: now.from, mode: next.mode, saved };
  }

  private async describe(description: RunDescription): Promise<void> {
    await writeAtomically(this.description, `${JSON.stringify(description, null, 2)}\n`);
  }

  /**
   * Undoes the beginning of a run that made no step.
   * @internal Called by `train`.
   */
  async abandon(): Promise<void> {
    await Promise.all([this.description, this.log].map((file) => rm(file, { force: true })));
  }

  /**
   * Appends to the log.
   * @internal Called by `train`.
   * @throws UserError where it cannot be written
   */
  async append(record: { step: number }): Promise<void> {
    // A log that somebody took away is not begun again.
    const flag = constants.O_APPEND | constants.O_WRONLY;
    await appendFile(this.log, `${JSON.stringify(record)}\n`, { flag }).catch((error: Error) => {
      throw new FileUnwritable(
        `The file ${this.log} cannot be written (${error.message})`,
        'See that its folder is there and its disk has room, then resume the run',
      );
    });
  }

  /**
   * The records so far, one per step; none where there is no log.
   * @throws UserError for a line that is damaged, but for the last
   */
  async records(): Promise<StepRecord[]> {
    const text = await readFile(this.log, 'utf8').catch(() => '');
    const lines = text.split('\n').filter((line) => line !== '');
    return lines.flatMap((line, index) => {
      try {
        const record: StepRecord = JSON.parse(line);
        if (Number.isInteger(record.step) && !isNested(record, 2)) return [record];
        throw new Error();
      } catch {
        // A run that was killed may leave half of its last line, which is the only one allowed so.
        if (index === lines.length - 1) return [];
        throw new UserError(
          `${this.log}, line ${index + 1} is no record of a step`,
          'Put the log back that the run wrote',
        );
      }
    });
  }

  /**
   * Saves a step: all that resuming needs, and the model. A run that is stopped before the state has its
   * name goes on from the one before, which is kept.
   *
   * @internal Called by `train`.
   * @param writeCheckpoint writes the checkpoint, whole or not at all, whose details say the training
   *   steps behind it
   * @throws UserError where a file cannot be written
   */
  async save(
    step: number,
    state: Leaves,
    writeCheckpoint: (file: string) => Promise<void>,
  ): Promise<void> {
    if (!this.opened) throw new Error('The run folder is not open. Call `open` before `save`.');
    const { config, from, latents, settings } = this.opened.description;
    const steps = (from?.steps ?? 0) + step;
    await syncFile(this.log);
    await writeState(path.join(this.folder, stateName(step)), state, {
      config,
      step,
      steps,
      latents,
    });
    await writeCheckpoint(this.checkpoint);
    await this.removeLeftovers(step, settings);
  }

  private async readSaved({ config, settings }: TrainedThing): Promise<SavedState | undefined> {
    const last = await openLastState(this.folder);
    if (!last) {
      // Stopped before the first save: begin anew.
      await writeAtomically(this.log, '');
      await this.removeLeftovers(0, settings);
      return undefined;
    }
    const { file, header } = last;
    const { step } = header;
    try {
      const [other] = differences(header.config, config);
      if (other) {
        const problem = `${file.path} is of a model with ${other.path} ${other.there}, and the run's has ${other.here}`;
        throw new UserError(problem, 'Put the state back that the run wrote');
      }
      // What was logged after the save is done again.
      const before = (await this.records()).filter((record) => record.step <= step);
      if (before.length < step || before.some((record, index) => record.step !== index + 1)) {
        throw new UserError(
          `${this.log} has records of ${before.length} steps, and the last state is of step ${step}`,
          'Put the log back that the run wrote, or begin a new run with its checkpoint (from, --from)',
        );
      }
      await writeAtomically(
        this.log,
        before.map((record) => `${JSON.stringify(record)}\n`).join(''),
      );
      const state = await readState(file);
      await this.removeLeftovers(step, settings);
      // It is of a step that is done again.
      const kept = await stepsOfCheckpoint(this.best);
      if (kept === undefined || kept > header.steps) await rm(this.best, { force: true });
      // One of a later step, whose state is damaged, stays until the run is there again.
      const checkpointed = ((await stepsOfCheckpoint(this.checkpoint)) ?? -1) >= header.steps;
      return { step, state, checkpointed };
    } finally {
      await file.close();
    }
  }

  /** Removes all states but the last two until a step and those to keep, and what was not finished. */
  private async removeLeftovers(
    step: number,
    { keepEvery = Number.POSITIVE_INFINITY }: TrainingSettings,
  ): Promise<void> {
    const all = await savedSteps(this.folder);
    const steps = all.filter((saved) => saved <= step);
    // Newer ones are damaged, or this would not be the last: they are put aside.
    for (const name of all.filter((saved) => saved > step).map(stateName)) {
      await rename(path.join(this.folder, name), path.join(this.folder, `${name}.damaged`));
    }
    const kept = steps.filter((saved, index) => index < 2 || saved % keepEvery === 0);
    const names = await readdir(this.folder);
    const left = names.filter(
      (name) => (isStateName(name) && !kept.map(stateName).includes(name)) || isTemporaryName(name),
    );
    await Promise.all(left.map((name) => rm(path.join(this.folder, name), { force: true })));
  }
}

/** What a description says of what is trained. */
function trainedThing(described: RunDescription): TrainedThing {
  const { experiment, data, config, settings, latents, from } = described;
  return { experiment, data, config, settings, latents, from };
}

/** What to do where a run to resume is not the one in the folder. */
function remedyOf(changes: readonly Difference[], mayChange: boolean): string {
  if (changes.some(({ path }) => path.startsWith('from'))) {
    return 'Leave out what it is to begin with (from, --from): it has its own beginning';
  }
  if (changes.some(({ path }) => path === 'data')) {
    return 'Resume with the data that it was trained on (--data, and --fast-decode if it was begun so)';
  }
  const asItWas =
    'Resume with its own configuration and settings (tarflow train: without --experiment and --set)';
  return mayChange
    ? `${asItWas}, or go on under the new plan (resume: 'replanned', --replan)`
    : `${asItWas}, or begin a new run in another folder`;
}
