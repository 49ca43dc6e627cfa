import type { Mode } from '@tarflow/graph';
import { tf, tidy } from '../core/tf.js';
import {
  type Leaves,
  leaves,
  packed,
  type Tree,
  under,
  unpacked,
  withPrefix,
} from '../core/tree.js';
import type { Model, ModelConfig } from '../flow/model.js';
import type { Task, Template } from './template.js';

/**
 * The state of a run is all that its steps change, as named tensors: `parameters.*`, for each leaf
 * that an objective trains AdamW's moments `first.*` and `second.*` and with averaging `average.*`,
 * and the buffers.
 *
 * A program that XLA compiles holds it packed: half of the time of a small model's step goes into the
 * number of its tensors there. All leaves of an objective are then one vector, and so are their
 * moments and means. Steps and evaluations take both forms; files hold the first one.
 */
export const prefixes = {
  parameter: 'parameters.',
  first: 'first.',
  second: 'second.',
  average: 'average.',
} as const;

/** Beside a state a program holds what an objective's loss reads and nothing changes, as `fixed.NAME.*`. */
export function fixedPrefix({ objective }: Task): string {
  return `fixed.${objective.name}.`;
}

/** The name of a buffer in a state. The variance of a prior has stood there bare from the start. */
export function bufferName(name: string): string {
  return name === 'var' ? name : `buffers.${name}`;
}

/** A model's parameters and buffers under the names of a state; the tensors stay the model's. */
export function namedInState({ parameters, buffers }: Model): Leaves {
  const named = Object.entries(buffers).map(([name, buffer]) => [bufferName(name), buffer]);
  return { ...Object.fromEntries(named), ...withPrefix(leaves(parameters), prefixes.parameter) };
}

/** The state of a run that begins with a model. The tensors are new. */
export function initialState<C extends ModelConfig, P extends Tree>(
  template: Template<C, P>,
  { parameters, buffers }: Model<C, P>,
  averages: boolean,
): Leaves {
  return tidy(() => {
    const state: Leaves = {};
    for (const [name, buffer] of Object.entries(buffers)) state[bufferName(name)] = buffer.clone();
    // One tensor of each shape, whose memory all of them share: large models have hundreds.
    const made = new Map<string, tf.Tensor>();
    const zeros = (shape: number[]): tf.Tensor => {
      const found = made.get(shape.join()) ?? tf.zeros(shape);
      made.set(shape.join(), found);
      return found.clone();
    };
    const trained = new Set(template.tasks.flatMap((task) => task.leaves));
    for (const [name, leaf] of Object.entries(leaves(parameters))) {
      state[prefixes.parameter + name] = leaf.clone();
      if (!trained.has(name)) continue;
      state[prefixes.first + name] = zeros(leaf.shape);
      state[prefixes.second + name] = zeros(leaf.shape);
      if (averages) state[prefixes.average + name] = leaf.clone();
    }
    return state;
  });
}

/** The buffers in a state, by their own names. */
export function buffersOf({ buffers }: Template, state: Leaves): Leaves {
  return Object.fromEntries(buffers.map((name) => [name, state[bufferName(name)] as tf.Tensor]));
}

/**
 * The model in a state, with averaged parameters where the state has them; it shares the state's
 * tensors, or has slices of a packed state's.
 */
export function modelOfState<C extends ModelConfig, P extends Tree>(
  template: Template<C, P>,
  state: Leaves,
): Model<C, P> {
  const found = { ...under(state, prefixes.parameter), ...under(state, prefixes.average) };
  return template.model(apart(template, found), buffersOf(template, state));
}

/** A state in the form that suits a program of this mode. The tensors are new. */
export function programState(template: Template, state: Leaves, mode: Mode | undefined): Leaves {
  return mapState(template, state, (found) => (mode === 'xla' ? together(template, found) : found));
}

/** A state with a tensor for each leaf, whichever form it has. The tensors are new. */
export function unpackedState(template: Template, state: Leaves): Leaves {
  return mapState(template, state, (found) => apart(template, found));
}

/** A state with `change` applied to the parameters, to each kind of moment, and to the means. */
function mapState(template: Template, state: Leaves, change: (found: Leaves) => Leaves): Leaves {
  return tidy(() => {
    const buffers = template.buffers.map(bufferName);
    const all: Leaves = Object.fromEntries(buffers.map((name) => [name, state[name] as tf.Tensor]));
    for (const prefix of Object.values(prefixes)) {
      Object.assign(all, withPrefix(change(under(state, prefix)), prefix));
    }
    return Object.fromEntries(Object.entries(all).map(([name, leaf]) => [name, tf.clone(leaf)]));
  });
}

/** In a packed state, the one vector of an objective's leaves. No leaf has a space in its name. */
function packedName({ objective }: Task): string {
  return `packed ${objective.name}`;
}

/** The tensors of a task that are there under a prefix: its leaves, or their vector. */
export function ofTask(task: Task, found: Leaves): Leaves {
  const name = packedName(task);
  const vector = found[name];
  if (vector) return { [name]: vector };
  return Object.fromEntries(task.leaves.map((leaf) => [leaf, found[leaf] as tf.Tensor]));
}

/** Leaves in the form that others have. */
export function inFormOf(task: Task, like: Leaves, found: Leaves): Leaves {
  const name = packedName(task);
  return like[name] ? { [name]: packed(found) } : found;
}

/** Leaves by their names, also where they are packed. */
export function apart(template: Template, found: Leaves): Leaves {
  const all = { ...found };
  for (const task of template.tasks) {
    const name = packedName(task);
    const vector = all[name];
    if (!vector) continue;
    delete all[name];
    const shapes = task.leaves.map((leaf) => {
      const shape = template.shapes[leaf] as readonly number[];
      return [leaf, { shape, size: tf.util.sizeFromShape([...shape]) }] as const;
    });
    Object.assign(all, unpacked(vector as tf.Tensor1D, Object.fromEntries(shapes)));
  }
  return all;
}

function together(template: Template, found: Leaves): Leaves {
  const all = { ...found };
  for (const task of template.tasks) {
    // In the template's order: a state from a file has its own.
    const own = task.leaves.filter((leaf) => all[leaf]);
    if (own.length === 0) continue;
    const vector = packed(ofTask({ ...task, leaves: own }, all));
    for (const leaf of own) delete all[leaf];
    all[packedName(task)] = vector;
  }
  return all;
}
