import { at } from '../core/errors.js';
import { foldIn, randomKey, uniform } from '../core/random.js';
import { tf } from '../core/tf.js';
import type { Feeds } from '../flow/model.js';
import { disposeModel, freshModel } from '../flow/state-dict.js';
import { modelSpec } from './model-spec.js';
import { type TrainingProgram, trainingProgram, usualMode } from './program.js';
import type { TrainingSettings } from './settings.js';
import { initialState } from './state.js';
import { ratesOf, stepOptions } from './step.js';
import type { TrainingRun } from './train.js';

/** Steps that are timed, after two that are not. */
const timedSteps = 5;

/**
 * Seconds that a training step takes here, by the first objective of a model: the median of some on random
 * numbers.
 *
 * @throws UserError for a configuration that does not fit
 */
export async function secondsPerStep({
  family,
  config,
  settings,
  mode,
}: Pick<TrainingRun, 'family' | 'config' | 'mode'> & {
  settings: TrainingSettings;
}): Promise<number> {
  const spec = modelSpec(family, family.check(config));
  const { batchSize, averageDecay, precision } = settings;
  const model = freshModel(family, config, 1);
  const state = initialState(spec, model, averageDecay > 0);
  disposeModel(model);
  let program: TrainingProgram | undefined;
  try {
    program = trainingProgram(spec, state, {
      batchSize,
      precision,
      mode: mode ?? usualMode(spec, settings),
      step: stepOptions(settings),
    });
    const { objective } = at(spec.tasks, 0);
    const feeds = randomFeeds(objective.inputs(spec.config, batchSize));
    const seconds: number[] = [];
    for (let step = 0; step < timedSteps + 2; step++) {
      const rates = { ...ratesOf(settings, step), learningRate: 1e-6 };
      const begun = performance.now();
      const found = await program.train(objective.name, feeds, rates);
      await found.loss?.data();
      seconds.push((performance.now() - begun) / 1000);
      tf.dispose(found);
    }
    const timed = seconds.slice(2).sort((a, b) => a - b);
    return at(timed, timedSteps >> 1);
  } finally {
    tf.dispose(state);
    program?.dispose();
  }
}

/** Numbers from 0 to 1 for inputs, zeros for whole numbers. */
function randomFeeds(specs: Record<string, { shape: readonly number[]; dtype: string }>): Feeds {
  return Object.fromEntries(
    Object.entries(specs).map(([name, { shape, dtype }]) => {
      const size = shape.reduce((product, side) => product * side, 1);
      const key = foldIn(randomKey(1), name);
      return [name, dtype === 'int32' ? new Int32Array(size) : uniform(key, size)];
    }),
  );
}
