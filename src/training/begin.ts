import type { Mode } from '@tarflow/graph';
import { type Conditioned, emptyCaption } from '../conditions/given.js';
import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { type Leaves, leaves, type Tree, withLeaves } from '../core/tree.js';
import type { Conditions } from '../flow/autoregressive.js';
import { disposeModel, freshModel } from '../flow/flow.js';
import type { Feeds, Model, ModelConfig } from '../flow/model.js';
import { type BatchPlan, batchSource } from './batches/index.js';
import { heldOutSize } from './measure.js';
import { usualMode } from './mode.js';
import { type TrainingProgram, type TrainingProgramOptions, trainingProgram } from './program.js';
import type { StepRecord } from './record.js';
import type { StartingPoint } from './run-description.js';
import type { RunFolder } from './run-folder.js';
import { beginningState } from './starting-point.js';
import { initialState } from './state.js';
import { stepOptions } from './step.js';
import type { Task, Template } from './template.js';
import type { CheckedRun } from './training-run.js';

/** A run that is ready for its next step. */
export interface BegunRun {
  program: TrainingProgram;
  mode: Mode;
  /** Present where the run goes on from a state. */
  saved: { step: number; checkpointed: boolean } | undefined;
  /** Of the steps that are done already. */
  records: StepRecord[];
  /** Training steps behind what the run began with. */
  stepsBehind: number;
  /** Steps that the mean of the weights was over already where the run began: infinite where that is not known. */
  stepsOfMean: number;
}

/**
 * Begins a run, or meets it in its folder, which then is open.
 * @throws UserError where the folder holds another run, or what it holds is damaged
 */
export async function beginRun<C extends ModelConfig, P extends Tree>(
  folder: RunFolder | undefined,
  run: CheckedRun<C, P>,
): Promise<BegunRun> {
  const { template, settings, data, experiment } = run;
  const { config: _, latents: __, state: given, ...point } = run.from ?? {};
  const description = {
    experiment,
    data: data.name,
    config: template.config,
    settings,
    ...(data.latents && { latents: data.latents }),
    ...(run.from && { from: point as StartingPoint }),
  };
  const usual = usualMode(template, settings);
  const how = { asked: run.mode, usual, split: data.split, named: run.named };
  const opened = await folder?.open(description, run.resume ?? false, how);
  const mode = opened?.mode ?? run.mode ?? usual;
  const from = opened?.from ?? description.from;
  const saved = opened?.saved;
  if (from && !saved && !given) {
    throw new UserError(
      `The run in ${run.folder} began with ${from.checkpoint} and was stopped before it saved`,
      'Name that checkpoint again (--from)',
    );
  }
  const records = saved ? ((await folder?.records()) ?? []) : [];
  let state: Leaves = {};
  const fixed: Record<string, Leaves> = {};
  try {
    state = saved?.state ?? (await firstState(run));
    for (const { objective } of template.tasks) {
      if (objective.fixed) fixed[objective.name] = await objective.fixed(template.config);
    }
    const program = trainingProgram(template, state, { ...programOptions(run, mode), fixed });
    const stepsBehind = from?.steps ?? 0;
    const stepsOfMean = from && stepsBehind === 0 ? Number.POSITIVE_INFINITY : stepsBehind;
    return { program, mode, saved, records, stepsBehind, stepsOfMean };
  } catch (error) {
    if (!run.resume) await folder?.abandon();
    throw error;
  } finally {
    tf.dispose([state, fixed]);
  }
}

function programOptions<C extends ModelConfig, P extends Tree>(
  { parallel, validation, settings }: CheckedRun<C, P>,
  mode: Mode,
): TrainingProgramOptions {
  const { batchSize, precision } = settings;
  return {
    batchSize: batchSize / (parallel?.size ?? 1),
    heldOut: validation && heldOutSize(settings, validation),
    step: stepOptions(settings),
    mode,
    precision,
    mean: parallel?.mean,
  };
}

/** The state that a run begins with; the caller frees it. */
async function firstState<C extends ModelConfig, P extends Tree>({
  template,
  settings,
  plan,
  from,
}: CheckedRun<C, P>): Promise<Leaves> {
  const fresh = freshModel(template.family, template.config, settings.seed);
  const known = knownBuffers(plan);
  let started: Leaves = {};
  try {
    if (!from) started = await startedByData(template, plan, fresh);
    const parameters = withLeaves(fresh.parameters, { ...leaves(fresh.parameters), ...started });
    const buffers = { ...fresh.buffers, ...known };
    const averages = settings.averageDecay > 0;
    const state = initialState(template, { ...fresh, parameters, buffers }, averages);
    return from ? beginningState(state, from.state) : state;
  } finally {
    disposeModel(fresh);
    tf.dispose([started, known]);
  }
}

/** The buffers that the data know: the states of the empty caption, where the model reads captions. */
function knownBuffers({ config, data }: BatchPlan): Leaves {
  const { text }: Conditioned = config;
  if (!text || !data.text) return {};
  const { entries, width, empty } = data.text;
  return { [emptyCaption]: tf.tensor2d(empty, [entries, width]) };
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
    const { images, ...told } = tensors as Leaves & Conditions;
    return (family.start as NonNullable<typeof family.start>)(model, images as tf.Tensor4D, told);
  });
}
