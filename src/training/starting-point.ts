import { stat } from 'node:fs/promises';
import * as path from 'node:path';
import { startEngine } from '../backend/engine.js';
import { UserError } from '../backend/errors.js';
import { tf } from '../backend/tf.js';
import { disposeTree, type Leaves, leaves } from '../backend/tree.js';
import type { FlowConfig } from '../flow/config.js';
import { readLeaves } from '../formats/leaves.js';
import { openSafetensors, type SafetensorsFile } from '../formats/safetensors.js';
import { readCheckpoint } from './checkpoint.js';
import type { StartingPoint } from './run-description.js';
import {
  isState,
  openLastState,
  type StateHeader,
  startingNames,
  stateHeader,
} from './saved-state.js';

/** A starting point with what a run takes from it. */
export interface LoadedStartingPoint extends StartingPoint {
  config: FlowConfig;
  /** Under the names of a training state: parameters, and their running mean where there is one. */
  state: Leaves;
}

const [parameterPrefix, averagePrefix] = ['parameters.', 'average.'];

/**
 * Reads what a run can begin with, in the place of fresh parameters:
 * - the folder of a run, one of its states, or a snapshot (`tarflow snapshot`): parameters, their
 *   running mean where that run kept one, and the steps behind them;
 * - a checkpoint: the parameters that it holds, which are the mean where its run kept one, and the
 *   steps behind them.
 *
 * Starts the engine if none runs.
 *
 * @returns tensors that the caller frees (`state`)
 * @throws UserError where it is none of these, or damaged
 */
export async function readStartingPoint(from: string): Promise<LoadedStartingPoint> {
  await startEngine();
  const isFolder = (await stat(from).catch(() => undefined))?.isDirectory();
  const opened = isFolder ? await openLastState(from) : { file: await openSafetensors(from) };
  const { file } = opened;
  try {
    const digest = await file.sha256();
    const header = 'header' in opened ? opened.header : isState(file) && stateHeader(file);
    const learnt = header ? await ofState(file, header) : await ofCheckpoint(file);
    return { checkpoint: path.basename(path.resolve(from)), sha256: digest, ...learnt };
  } finally {
    await file.close();
  }
}

type Learnt = Omit<LoadedStartingPoint, 'checkpoint' | 'sha256'>;

async function ofState(file: SafetensorsFile, { config, steps }: StateHeader): Promise<Learnt> {
  return { config, steps, state: await readLeaves(file, startingNames(file)) };
}

async function ofCheckpoint(file: SafetensorsFile): Promise<Learnt> {
  const { config, parameters, variance, details } = await readCheckpoint(file);
  const state: Leaves = { var: variance };
  for (const [name, leaf] of Object.entries(leaves(parameters))) {
    state[parameterPrefix + name] = leaf;
  }
  return { config, steps: details.steps ?? 0, state };
}

/**
 * The state that a run begins with: a fresh one with all that a starting point has in its place. The
 * running mean, where the run keeps one, is the starting point's, or where that has none its
 * parameters; moments stay fresh.
 *
 * @param fresh is freed
 * @param given a starting point's state, which stays the caller's
 * @throws UserError where they are of different models
 */
export function beginningState(fresh: Leaves, given: Leaves): Leaves {
  try {
    const left = Object.keys(given).find(
      (name) => !(name in fresh) && !name.startsWith(averagePrefix),
    );
    if (left !== undefined) throw ofAnotherModel(left, given[left], undefined);
    return tf.tidy(() => {
      const begun = Object.entries(fresh).map(([name, leaf]): [string, tf.Tensor] => {
        const found =
          given[name] ??
          (name.startsWith(averagePrefix)
            ? given[parameterPrefix + name.slice(averagePrefix.length)]
            : undefined);
        const isTaken = found !== undefined || name.startsWith(parameterPrefix);
        if (isTaken && found?.shape.join() !== leaf.shape.join()) {
          throw ofAnotherModel(name, found, leaf);
        }
        return [name, tf.clone(found ?? leaf)];
      });
      return Object.fromEntries(begun);
    });
  } finally {
    disposeTree(fresh);
  }
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
