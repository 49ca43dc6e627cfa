import { appendFile, readFile, rm } from 'node:fs/promises';
import * as path from 'node:path';
import { UserError } from '../backend/errors.js';
import { FileUnwritable, makeFolder, writeAtomically } from '../backend/files.js';
import type { Mode } from '../backend/program/index.js';
import { tf } from '../backend/tf.js';
import type { Leaves } from '../backend/tree.js';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.js';
import type { TarFlowConfig } from '../models/tarflow/config.js';
import { hostTensor } from './checkpoint.js';
import type { TrainingSettings } from './settings.js';

/** One line of a run's log: a training step, and at intervals a validation. */
export interface StepRecord {
  /** Steps done, this one included. */
  step: number;
  /** Epochs begun before this step, with the share of the current one. */
  epoch: number;
  /** ½·mean z² − mean log-determinant, nats per dimension. */
  loss: number;
  /** ½·mean z². */
  prior: number;
  /** Mean log-determinant per dimension. */
  logDet: number;
  /** Mean square of each block's output; tends to 1. */
  meanSquares: number[];
  gradientNorm: number;
  learningRate: number;
  imagesPerSecond: number;
  /** Share of the step's time spent on waiting for its batch. */
  dataShare: number;
  validation?: Validation;
}

/** The loss on held-out images, with noise drawn once and for all from the seed. */
export interface Validation {
  loss: number;
  /** Only where the noise is uniform: else the density is not that of the images. */
  bitsPerDimension?: number;
}

/** Settings that only plan a run: the state does not depend on them, so a run can be replanned. */
const planKeys = [
  'steps',
  'peakLearningRate',
  'warmupSteps',
  'clipNorm',
  'precision',
  'validateEvery',
  'validationImages',
  'saveEvery',
] as const;
type Plan = Pick<TrainingSettings, (typeof planKeys)[number]>;

/** A checkpoint whose parameters a run began with. */
export interface StartingPoint {
  /** The file's name without its folder. */
  checkpoint: string;
  sha256: string;
  /** Training steps behind it. */
  steps: number;
}

/** What `run.json` says. */
export interface RunDescription {
  experiment?: string | undefined;
  /** Name of the data set. */
  data: string;
  config: TarFlowConfig;
  settings: TrainingSettings;
  /** What it began with, where not with fresh parameters. */
  from?: StartingPoint | undefined;
  /** How its steps run, of which its rounding depends. */
  mode?: Mode;
  /** Earlier plans of a run that was replanned, and the step until which each held. */
  history?: { until: number; plan: Plan }[];
}

interface SavedState {
  step: number;
  state: Leaves;
}

interface OpenedRun {
  from: StartingPoint | undefined;
  mode: Mode;
  saved: SavedState | undefined;
}

/**
 * The folder of a training run: `run.json` says what it trains, `log.jsonl` has a line per step,
 * `state.safetensors` all that resuming needs, `checkpoint.safetensors` the flow.
 */
export class RunFolder {
  readonly checkpoint: string;
  private readonly state: string;
  private readonly log: string;
  private readonly description: string;

  constructor(readonly folder: string) {
    this.checkpoint = path.join(folder, 'checkpoint.safetensors');
    this.state = path.join(folder, 'state.safetensors');
    this.log = path.join(folder, 'log.jsonl');
    this.description = path.join(folder, 'run.json');
  }

  /**
   * Begins a run, or meets the one that is there.
   *
   * @param description what is trained
   * @param resume true to go on with a run of the same description; `'replanned'` to go on also
   *   where its plan differs (steps, learning rate, intervals): `run.json` then keeps the old plan
   *   under `history`, with the step until which it held
   * @param modes how the steps shall run where that is asked for; a run that is resumed else goes on
   *   as it began, and a new one as is usual
   * @returns the state to go on from, or none for a new run, how its steps run, and what the run
   *   began with, which a resumed one need not say again
   * @throws UserError where another run is in the way, or the folder holds a different one
   */
  async open(
    description: RunDescription,
    resume: boolean | 'replanned',
    modes: { asked?: Mode | undefined; usual: Mode },
  ): Promise<OpenedRun> {
    try {
      await makeFolder(this.folder);
    } catch (error) {
      throw new FileUnwritable(
        `The folder ${this.folder} cannot be made (${(error as Error).message})`,
        'Choose another with --out',
      );
    }
    const present = await readFile(this.description, 'utf8').catch(() => undefined);
    if (present === undefined) {
      if (resume) {
        throw new UserError(
          `${this.folder} holds no run to resume`,
          'Leave --resume away to begin one',
        );
      }
      const mode = modes.asked ?? modes.usual;
      await writeAtomically(this.description, jsonText({ ...description, mode }));
      await writeAtomically(this.log, '');
      return { from: description.from, mode, saved: undefined };
    }
    if (!resume) {
      throw new UserError(
        `${this.folder} holds a run already`,
        'Add --resume to go on with it, or choose another folder with --out',
      );
    }
    const { history, from, mode: earlier, ...before } = this.parsed(present);
    const { from: asked = from, ...now } = description;
    const [was, is] = [jsonText({ ...before, from }), jsonText({ ...now, from: asked })];
    const mode = modes.asked ?? earlier ?? modes.usual;
    const past = history && { history };
    if (was === is) {
      if (mode !== earlier) {
        await writeAtomically(this.description, jsonText({ ...before, from, mode, ...past }));
      }
      return { from, mode, saved: await this.readState() };
    }

    const replanned = { ...before, settings: { ...before.settings, ...plan(description) }, from };
    if (resume !== 'replanned' || jsonText(replanned) !== is) {
      throw new UserError(
        `${this.description} describes another run: ${difference(was, is)}`,
        jsonText(replanned) === is
          ? 'Resume with the same options, or add --replan to go on under the new plan'
          : 'Resume with the same experiment and options, or begin a new run in another folder',
      );
    }
    const resumed = await this.readState();
    const until = { until: resumed?.step ?? 0, plan: plan(before) };
    await writeAtomically(
      this.description,
      jsonText({ ...now, from, mode, history: [...(history ?? []), until] }),
    );
    return { from, mode, saved: resumed };
  }

  /** Undoes the beginning of a run that made no step. */
  async abandon(): Promise<void> {
    await Promise.all([this.description, this.log].map((file) => rm(file, { force: true })));
  }

  private parsed(text: string): RunDescription {
    try {
      const value = JSON.parse(text) as RunDescription;
      if (typeof value.settings === 'object') return value;
    } catch {
      // Falls through to the error below, which names the file.
    }
    throw new UserError(`${this.description} is damaged`, 'Begin a new run in another folder');
  }

  /**
   * Appends to the log.
   * @throws FileUnwritable
   */
  async append(record: StepRecord): Promise<void> {
    try {
      await appendFile(this.log, `${JSON.stringify(record)}\n`);
    } catch (error) {
      throw new FileUnwritable(
        `The file ${this.log} cannot be written (${(error as Error).message})`,
        'See that its folder is there and its disk has room, then resume the run',
      );
    }
  }

  /** The records so far. */
  async records(): Promise<StepRecord[]> {
    const text = await readFile(this.log, 'utf8').catch(() => '');
    const lines = text.split('\n').filter((line) => line !== '');
    return lines.flatMap((line, index) => {
      try {
        return [JSON.parse(line) as StepRecord];
      } catch {
        // A run that was killed may leave half of its last line, which is the only one allowed so.
        if (index === lines.length - 1) return [];
        throw new UserError(
          `${this.log}, line ${index + 1} is not JSON`,
          'Mend or delete the line',
        );
      }
    });
  }

  /** Saves all that resuming needs, whole or not at all. */
  async saveState(step: number, state: Leaves): Promise<void> {
    const tensors = Object.fromEntries(
      Object.entries(state).map(([name, tensor]) => [name, hostTensor(tensor, 'F32')]),
    );
    await writeSafetensors(this.state, tensors, { step: String(step) });
  }

  private async readState(): Promise<SavedState | undefined> {
    const present = await readFile(this.state).then(
      () => true,
      () => false,
    );
    // Stopped before the first save: begin anew.
    if (!present) {
      await writeAtomically(this.log, '');
      return undefined;
    }
    const { tensors, metadata } = await readSafetensors(this.state);
    const step = Number(metadata.step);
    if (!Number.isInteger(step)) {
      throw new UserError(`${this.state} does not say its step`, 'It is damaged: begin a new run');
    }
    // What was logged after the save is done again.
    const kept = (await this.records()).filter((record) => record.step <= step);
    await writeAtomically(this.log, kept.map((record) => `${JSON.stringify(record)}\n`).join(''));
    const state: Leaves = {};
    for (const [name, { shape, data }] of Object.entries(tensors)) {
      state[name] = tf.tensor(data as Float32Array, shape);
    }
    return { step, state };
  }
}

function jsonText(description: object): string {
  return `${JSON.stringify(description, null, 2)}\n`;
}

function plan({ settings }: RunDescription): Plan {
  return Object.fromEntries(planKeys.map((key) => [key, settings[key]])) as Plan;
}

/** The first line in which two descriptions differ. */
function difference(present: string, expected: string): string {
  const [old, now] = [present.split('\n'), expected.split('\n')];
  const at = now.findIndex((line, index) => line !== old[index]);
  return `it has '${(old[at] ?? '').trim()}', this one '${(now[at] ?? '').trim()}'`;
}
