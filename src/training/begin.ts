import { UserError } from '../backend/errors.js';
import type { Mode } from '../backend/program/index.js';
import { tf, tidy } from '../backend/tf.js';
import { type Leaves, leaves, type Tree, withLeaves } from '../backend/tree.js';
import { disposeModel, freshModel } from '../flow/flow.js';
import type { Feeds, Model, ModelConfig } from '../flow/model.js';
import { type CheckpointDetails, saveCheckpoint } from './checkpoint.js';
import { type BatchPlan, batchSource } from './batches/index.js';
import { heldOutSize } from './measure.js';
import { usualMode } from './mode.js';
import { type TrainingProgram, trainingProgram } from './program.js';
import type { StepRecord } from './record.js';
import type { StartingPoint } from './run-description.js';
import type { RunFolder } from './run-folder.js';
import type { TrainingSettings } from './settings.js';
import { beginningState } from './starting-point.js';
import { initialState, modelOfState } from './state.js';
import type { Task, Template } from './template.js';
import type { TrainingRun } from './training-run.js';

/** A run that is ready for its next step. */
export interface BegunRun {
  folder: RunFolder | undefined;
  mode: Mode;
  program: TrainingProgram;
  /** Of the steps that are done already. */
  records: StepRecord[];
  /** The number of them. */
  step: number;
  /** Steps behind the model that the run began with. */
  stepsBehind: number;
  /** Whether the folder's checkpoint is of this step: not where a save was cut short. */
  checkpointed: boolean;
}

/**
 * Begins a run, or meets it in its folder.
 * @throws UserError where the folder holds another run, or what it holds is damaged
 */
export async function beginRun<C extends ModelConfig, P extends Tree>(
  folder: RunFolder | undefined,
  run: TrainingRun<C, P>,
  template: Template<C, P>,
  settings: TrainingSettings,
  plan: BatchPlan,
): Promise<BegunRun> {
  const { config: _, state: startingState, ...given } = run.from ?? {};
  const description = {
    experiment: run.experiment,
    data: run.data.name,
    config: template.config,
    settings,
    ...(run.from && { from: given as StartingPoint }),
  };
  const modes = { asked: run.mode, usual: usualMode(template, settings) };
  const opened = await folder?.open(description, run.resume ?? false, modes);
  const mode = opened?.mode ?? modes.asked ?? modes.usual;
  const from = opened?.from ?? description.from;
  const saved = opened?.saved;
  if (from && !saved && !startingState) {
    throw new UserError(
      `The run in ${run.folder} began with ${from.checkpoint} and was stopped before it saved`,
      'Name that checkpoint again (--from)',
    );
  }
  const records = saved ? ((await folder?.records()) ?? []) : [];
  let state: Leaves = saved?.state ?? {};
  try {
    if (!saved) state = await firstState(template, plan, startingState, settings.averageDecay > 0);
    const program = trainingProgram(template, state, programOptions(run, settings, mode));
    const [step, stepsBehind] = [saved?.step ?? 0, from?.steps ?? 0];
    const checkpointed = saved?.checkpointed ?? false;
    return { folder, mode, program, records, step, stepsBehind, checkpointed };
  } catch (error) {
    if (!run.resume) await folder?.abandon();
    throw error;
  } finally {
    tf.dispose(state);
  }
}

function programOptions<C extends ModelConfig, P extends Tree>(
  { parallel, validation }: TrainingRun<C, P>,
  { batchSize, precision, weightDecay, clipNorm, averageDecay }: TrainingSettings,
  mode: Mode,
): Parameters<typeof trainingProgram>[2] {
  return {
    batchSize: batchSize / (parallel?.size ?? 1),
    heldOut: validation && heldOutSize({ batchSize }, validation),
    step: {
      weightDecay,
      ...(clipNorm > 0 && { clipNorm }),
      ...(averageDecay > 0 && { averageDecay }),
    },
    mode,
    precision,
    mean: parallel?.mean,
  };
}

async function firstState<C extends ModelConfig, P extends Tree>(
  template: Template<C, P>,
  plan: BatchPlan,
  given: Leaves | undefined,
  averages: boolean,
): Promise<Leaves> {
  const fresh = freshModel(template.family, template.config, plan.settings.seed);
  let started: Leaves = {};
  try {
    if (given) return beginningState(initialState(template, fresh, averages), given);
    started = await startedByData(template, plan, fresh);
    const parameters = withLeaves(fresh.parameters, { ...leaves(fresh.parameters), ...started });
    return initialState(template, { ...fresh, parameters }, averages);
  } finally {
    disposeModel(fresh);
    tf.dispose(started);
  }
}

/** The parameters that start from data, from the first batch: the whole one, in every process. */
async function startedByData<C extends ModelConfig, P extends Tree>(
  { family, config, tasks }: Template<C, P>,
  plan: BatchPlan,
  model: Model<C, P>,
): Promise<Leaves> {
  if (!family.start) return {};
  const batches = batchSource(plan, 0, 1);
  const batch = await batches.next().finally(() => batches.close());
  const [{ objective }] = tasks as [Task<C, P>];
  const inputs = Object.entries(objective.inputs(config, plan.settings.batchSize));
  const feeds = batch[objective.name] as Feeds;
  return tidy(() => {
    const tensors: Leaves = Object.fromEntries(
      inputs.map(([name, { shape, dtype }]) => [
        name,
        tf.tensor(feeds[name] as Feeds[string], [...shape], dtype),
      ]),
    );
    const { images, classes } = tensors as { images: tf.Tensor4D; classes?: tf.Tensor2D };
    return (family.start as NonNullable<typeof family.start>)(model, images, { classes });
  });
}

/** What is known of a run after some steps, in its folder: the state, and the model for everyone. */
export async function saveRun<C extends ModelConfig, P extends Tree>(
  folder: RunFolder,
  program: TrainingProgram,
  template: Template<C, P>,
  step: number,
  details: CheckpointDetails,
): Promise<void> {
  const state = program.read();
  try {
    await folder.save(step, state, (file, steps) =>
      saveCheckpoint(modelOfState(template, state), file, { ...details, steps }),
    );
  } finally {
    tf.dispose(state);
  }
}
