import { type Conditioned, emptyCaption } from '../conditions/context.js';
import { UserError } from '../core/errors.js';
import { tf, tidy } from '../core/tf.js';
import { grouped, type Leaves, leaves, type Tree, withLeaves } from '../core/tree.js';
import type { LatentFacts } from '../data/source.js';
import type { Model, ModelConfig } from '../flow/model.js';
import { disposeModel, freshModel } from '../flow/state-dict.js';
import { type BatchOptions, batchSource } from './batches/index.js';
import type { CheckedParts } from './checks.js';
import type { ModelSpec } from './model-spec.js';
import type { StartingPoint } from './run-description.js';

/**
 * The state of a run is all that its steps change, as named tensors of some kinds: `parameters.*`; for
 * each leaf that an objective trains AdamW's moments `first.*` and `second.*`, and with averaging
 * `average.*`; and `buffers.*`.
 */
export type TrainingState = Record<
  'parameters' | 'first' | 'second' | 'average' | 'buffers',
  Leaves
>;

/** The named tensors of a state by their kinds. */
export function stateOf(named: Leaves): TrainingState {
  const { parameters = {}, first = {}, second = {}, average = {}, buffers = {} } = grouped(named);
  return { parameters, first, second, average, buffers };
}

/** A model's parameters and buffers under the names of a state; the tensors stay the model's. */
export function namedInState({ parameters, buffers }: Model): Leaves {
  return leaves({ buffers, parameters });
}

/** The state of a run that begins with a model. The tensors are new. */
export function initialState<C extends ModelConfig, P extends Tree>(
  { tasks }: ModelSpec<C, P>,
  { parameters, buffers }: Model<C, P>,
  averages: boolean,
): Leaves {
  return tidy(() => {
    const all = leaves(parameters);
    const names = new Set(tasks.flatMap((task) => task.leaves));
    const trained = Object.fromEntries(Object.entries(all).filter(([name]) => names.has(name)));
    // One tensor of each shape, whose memory all of them share: large models have hundreds.
    const zeros = new Map<string, tf.Tensor>();
    const moments: Leaves = {};
    for (const [name, { shape }] of Object.entries(trained)) {
      const found = zeros.get(shape.join()) ?? tf.zeros(shape);
      zeros.set(shape.join(), found);
      moments[name] = found;
    }
    const average = averages ? trained : {};
    return cloned(leaves({ buffers, parameters: all, first: moments, second: moments, average }));
  });
}

/**
 * The state that a run begins with: of fresh parameters, of those that start from data, or of what it
 * begins with. The caller frees it.
 */
export async function firstState<C extends ModelConfig, P extends Tree>({
  spec,
  settings,
  batchOptions,
  from,
}: CheckedParts<C, P> & { from?: LoadedStartingPoint | undefined }): Promise<Leaves> {
  const fresh = freshModel(spec.family, spec.config, settings.seed);
  const known = knownBuffers(batchOptions);
  let started: Leaves = {};
  let state: Leaves = {};
  try {
    if (!from) started = await startedByData(spec, batchOptions, fresh);
    const parameters = withLeaves(fresh.parameters, { ...leaves(fresh.parameters), ...started });
    const model = { ...fresh, parameters, buffers: { ...fresh.buffers, ...known } };
    state = initialState(spec, model, settings.averageDecay > 0);
    return from ? stateFrom(from, state) : state;
  } finally {
    disposeModel(fresh);
    tf.dispose([started, known, from ? state : {}]);
  }
}

/**
 * Checks that a saved state is one of a run: it has the run's tensors and no others.
 * @throws UserError that names one
 */
export function checkState(
  { shapes, buffers, tasks }: ModelSpec,
  averages: boolean,
  state: Leaves,
): void {
  const trained = tasks.flatMap((task) => task.leaves);
  const kinds = { parameters: Object.keys(shapes), first: trained, second: trained, buffers };
  const all = Object.entries({ ...kinds, average: averages ? trained : [] });
  const expected = new Set(all.flatMap(([kind, names]) => names.map((name) => `${kind}.${name}`)));
  const extra = Object.keys(state).find((name) => !expected.has(name));
  const missing = [...expected].find((name) => !(name in state));
  const name = extra ?? missing;
  if (name === undefined) return;
  const problem = extra ? 'which its model does not have' : 'which its model has, is not there';
  throw new UserError(
    `The saved state of the run does not fit: ${name}, ${problem}`,
    'Put the state back that the run wrote',
  );
}

/** The buffers that the data know: the states of the empty caption, where the model reads captions. */
function knownBuffers({ config, data }: BatchOptions): Leaves {
  const { text }: Conditioned = config;
  if (!text || !data.text) return {};
  const { entries, width, empty } = data.text;
  return { [emptyCaption]: tf.tensor2d(empty, [entries, width]) };
}

/** The parameters that start from data, from the first batch: the whole one, in every process. */
async function startedByData<C extends ModelConfig, P extends Tree>(
  { family, config, tasks }: ModelSpec<C, P>,
  options: BatchOptions,
  model: Model<C, P>,
): Promise<Leaves> {
  const [task] = tasks;
  if (!family.start || !task) return {};
  const batches = batchSource(options, 0, 1);
  const batch = await batches.next().finally(() => batches.close());
  const { objective } = task;
  const specs = Object.entries(objective.inputs(config, options.settings.batchSize));
  return tidy(() => {
    const tensors = specs.map(([input, { shape, dtype }]) => [
      input,
      tf.tensor(batch[objective.name]?.[input] ?? [], [...shape], dtype),
    ]);
    const { images, ...conditions } = Object.fromEntries(tensors);
    return family.start?.(model, images, conditions) ?? {};
  });
}

/** The model in a state, with averaged parameters where the state has them; it shares the state's tensors. */
export function trainedModel<C extends ModelConfig, P extends Tree>(
  spec: ModelSpec<C, P>,
  state: Leaves,
): Model<C, P> {
  const { parameters, average, buffers } = stateOf(state);
  return spec.model({ ...parameters, ...average }, buffers);
}

/** {@link trainedModel}, whose tensors are the caller's now; the others of the state are freed. */
export function extractModel<C extends ModelConfig, P extends Tree>(
  spec: ModelSpec<C, P>,
  state: Leaves,
): Model<C, P> {
  const model = trainedModel(spec, state);
  const kept = new Set(Object.values({ ...leaves(model.parameters), ...model.buffers }));
  tf.dispose(Object.values(state).filter((tensor) => !kept.has(tensor)));
  return model;
}

/** A starting point with what a run takes from it. */
export interface LoadedStartingPoint extends StartingPoint {
  config: ModelConfig;
  /** Of what latents it was trained on, as far as its file says it. */
  latents?: LatentFacts | undefined;
  /** Under the names of a training state: parameters, and their running mean where there is one. */
  state: Leaves;
}

/**
 * The state that a run begins with: a fresh one with all that a starting point has in its place. The
 * running mean, where the run keeps one, is the starting point's, or where that has none its
 * parameters; moments stay fresh. Parameters that the run does not train begin with their mean, where
 * there is one: they stay what they are in the other run's checkpoint. The tensors are new.
 *
 * @throws UserError where they are of different models
 */
function stateFrom({ state }: LoadedStartingPoint, fresh: Leaves): Leaves {
  const [theirs, ours] = [stateOf(state), stateOf(fresh)];
  const left = Object.keys(state).find((name) => !(name in fresh) && !name.startsWith('average.'));
  if (left !== undefined) throw ofAnotherModel(left, state[left], undefined);
  const parameters: Leaves = {};
  for (const name of Object.keys(ours.parameters)) {
    const isTrained = name in ours.first;
    const found = (!isTrained && theirs.average[name]) || theirs.parameters[name];
    if (found) parameters[name] = found;
  }
  const average: Leaves = {};
  for (const name of Object.keys(ours.average)) {
    const found = theirs.average[name] ?? theirs.parameters[name];
    if (found) average[name] = found;
  }
  const taken = leaves({ parameters, average, buffers: theirs.buffers });
  for (const [name, leaf] of Object.entries(fresh)) {
    const found = taken[name];
    const isNeeded = found !== undefined || name.startsWith('parameters.');
    if (isNeeded && found?.shape.join() !== leaf.shape.join()) {
      throw ofAnotherModel(name, found, leaf);
    }
  }
  return cloned({ ...fresh, ...taken });
}

function ofAnotherModel(
  name: string,
  came: tf.Tensor | undefined,
  expected: tf.Tensor | undefined,
): UserError {
  const shown = (tensor: tf.Tensor | undefined) =>
    tensor ? `(${tensor.shape.join(', ')})` : 'none';
  return new UserError(
    `What the run begins with has ${name} of shape ${shown(came)}, the run's model ${shown(expected)}`,
    'Begin with a file of the same model',
  );
}

function cloned(tensors: Leaves): Leaves {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [name, tf.clone(tensor)]),
  );
}
