import { foldIn, randomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import { leaves, withLeaves } from '../../src/core/tree.js';
import { disposeModel, freshModel } from '../../src/flow/flow.js';
import type { Family, Model, ModelConfig } from '../../src/flow/model.js';
import { biasCorrections } from '../../src/training/optimiser/adamw.js';
import { learningRate } from '../../src/training/optimiser/schedule.js';
import { trainingProgram } from '../../src/training/program.js';
import { initialState, modelOfState } from '../../src/training/state.js';
import { templateOf } from '../../src/training/template.js';
import { twoMoons } from './two-moons.js';

/** A model of two numbers after 350 steps of 256 points of the two moons; the caller frees it. */
export async function trainedOnTwoMoons(family: Family, config: ModelConfig): Promise<Model> {
  const [batchSize, steps, peak] = [256, 350, 1e-2];
  const template = templateOf(family, config);
  const points = (step: number): Float32Array => twoMoons(foldIn(randomKey(2), step), batchSize);
  const fresh = freshModel(family, config, 1);
  const state = tf.tidy(() => {
    const { channels, height, width } = config.image;
    const images = tf.tensor4d(points(steps), [batchSize, channels, height, width]);
    const parameters = { ...leaves(fresh.parameters), ...family.start?.(fresh, images, {}) };
    const started = { ...fresh, parameters: withLeaves(fresh.parameters, parameters) };
    return initialState(template, started, false);
  });
  disposeModel(fresh);
  const program = trainingProgram(template, state, { batchSize, step: {}, precision: 'float32' });
  tf.dispose(state);
  for (let step = 0; step < steps; step++) {
    const { first, second } = biasCorrections(step + 1);
    const rates = {
      learningRate: learningRate({ peak, warmup: 0, steps }, step),
      firstCorrection: first,
      secondCorrection: second,
    };
    tf.dispose(await program.train('likelihood', { images: points(step) }, rates));
  }
  // The state's tensors are the model's now, but for the moments.
  const held = program.read();
  program.dispose();
  const model = modelOfState(template, held);
  const kept = new Set(Object.values({ ...leaves(model.parameters), ...model.buffers }));
  tf.dispose(Object.values(held).filter((tensor) => !kept.has(tensor)));
  return model;
}
